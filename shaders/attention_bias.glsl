// The bias of a score of attention: of its place, or of its distance. The includer has declared p, MASK, position[], bias[].
#ifndef PM_ATTENTION_BIAS_GLSL
#define PM_ATTENTION_BIAS_GLSL

// x: where the biases of query t begin; y: of a relative bias the row of the table for key 0, as a number that wraps.
uvec2 bias_row(uint b, uint h, uint t) {
    if ((MASK & PM_MASK_RELATIVE) == 0u)
        return uvec2(p.bias_offset + b * p.bias_stride[0] + h * p.bias_stride[1] + t * p.bias_stride[2], 0u);
    if ((MASK & PM_MASK_POSITION) != 0u) t += uint(position[p.position_offset + b * p.position_stride]);
    return uvec2(p.bias_offset + h * p.bias_stride[1], p.bias_stride[PM_ATTN_RELATIVE_ORIGIN] - t);
}

float bias_of(uvec2 row, uint s) {
    uint at = row.y + s;
    if ((MASK & PM_MASK_RELATIVE) != 0u && at >= p.bias_stride[PM_ATTN_RELATIVE_COUNT]) return 0.0;
    return bias[row.x + at];
}

#endif
