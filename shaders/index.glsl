// Positions: which element or row an invocation owns, and where it lies in a strided tensor.
#ifndef PM_INDEX_GLSL
#define PM_INDEX_GLSL

// Declared here because it must precede every use of gl_WorkGroupSize: glslang takes 1 for a use that comes first, and
// says nothing.
layout(local_size_x_id = 0) in;

// Workgroups are folded in x and y, since a device may allow only 65535 of them along one axis.
uint folded_group() { return gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x; }
uint folded_invocation() { return folded_group() * gl_WorkGroupSize.x + gl_LocalInvocationID.x; }

// The coordinates of element i, dims innermost last.
void unflatten(uint i, uint dims[5], out uint at[5]) {
    for (int d = 4; d > 0; d--) {
        uint outer = i / dims[d];
        at[d] = i - outer * dims[d];
        i = outer;
    }
    at[0] = i;
}

void unflatten(uint i, uint dims[4], out uint at[4]) {
    for (int d = 3; d > 0; d--) {
        uint outer = i / dims[d];
        at[d] = i - outer * dims[d];
        i = outer;
    }
    at[0] = i;
}

uint strided(uint at[5], uint stride[5]) {
    return at[0] * stride[0] + at[1] * stride[1] + at[2] * stride[2] + at[3] * stride[3] + at[4] * stride[4];
}

uint strided(uint at[4], uint stride[4]) {
    return at[0] * stride[0] + at[1] * stride[1] + at[2] * stride[2] + at[3] * stride[3];
}

#endif
