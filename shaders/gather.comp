#version 450
#extension GL_GOOGLE_include_directive : require
// gather: y[i,c] = table[ids[i] - first_row, c]; ids outside of the table's rows give 0 or are left to another part.
// One invocation an element (i, c); neighbours share a row. Words are moved as integers, so that the table may hold I32.
#include "data.params.h"
#include "index.glsl"

layout(push_constant) uniform Push { pm_gather_params p; };
layout(std430, set = 0, binding = 0) readonly restrict buffer Table { uint table[]; };
layout(std430, set = 0, binding = 1) readonly restrict buffer Ids { int ids[]; };
layout(std430, set = 0, binding = 2) writeonly restrict buffer Y { uint y[]; };

void main() {
    uint index = folded_invocation();
    if (index >= p.n_ids * p.n_cols) return;
    uint i = index / p.n_cols;
    uint c = index - i * p.n_cols;
    uint row = uint(ids[p.ids_offset + i * p.ids_stride]) - p.first_row; // a smaller or negative id: a large row
    uint value = 0u;
    if (row >= p.n_rows && p.keep_others != 0u) return;
    if (row < p.n_rows) value = table[p.table_offset + row * p.table_row_stride + c * p.table_col_stride];
    y[p.y_offset + i * p.y_row_stride + c * p.y_col_stride] = value;
}
