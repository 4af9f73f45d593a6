// For workgroups that are one subgroup of eight: what a lane holds is given to all. Drivers that make a shader into code for a
// CPU's vectors load and store lane by lane, which costs as much as tens of vector operations, and have the lanes of a
// vector at hand. So kernels of this kind load a word once a subgroup and read it from there, and have no barriers.
#ifndef PM_SUBGROUP8_GLSL
#define PM_SUBGROUP8_GLSL
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_ballot : require

const uint LANES = 8;

// f(row, vector that holds it, its lane) for 32 rows.
#define EIGHT_ROWS(f, i, of) \
    f(i, of, 0) f(i + 1, of, 1) f(i + 2, of, 2) f(i + 3, of, 3) f(i + 4, of, 4) f(i + 5, of, 5) f(i + 6, of, 6) f(i + 7, of, 7)
#define EACH_ROW(f) EIGHT_ROWS(f, 0, x) EIGHT_ROWS(f, 8, y) EIGHT_ROWS(f, 16, z) EIGHT_ROWS(f, 24, w)

#endif
