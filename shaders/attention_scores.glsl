// Scores of the attention kernels that take a tile of queries: TILE x TILE keys at a time. The includer has declared TILE, parameters `p`
// and the buffers, and included activation.glsl, mask.glsl and attention_bias.glsl before.
#ifndef PM_ATTENTION_SCORES_GLSL
#define PM_ATTENTION_SCORES_GLSL

float score(uint b, uint s, uvec3 range, uvec2 biases, float dot_qk) {
    if (!key_seen(b, s, range)) return NONE;
    float z = soft_cap(p.scale * dot_qk, p.softcap);
    if ((MASK & PM_MASK_BIAS) != 0u) z += bias_of(biases, s);
    return z > MASKED ? z : NONE;
}

// The scores of query t and keys s, s + 8, s + 16, s + 24.
vec4 score_row(uint b, uint h, uint t, uint s, vec4 dots) {
    if (t >= p.n_queries) return vec4(NONE);
    uvec3 range = key_range(b, t, p.n_keys);
    uvec2 biases = bias_row(b, h, t);
    return vec4(score(b, s, range, biases, dots.x), score(b, s + 8, range, biases, dots.y),
                score(b, s + 16, range, biases, dots.z), score(b, s + 24, range, biases, dots.w));
}

float weight(float z, float largest) { return z > NONE ? exp(z - largest) : 0.0; }

// Keys that any of the queries sees. Both ends of the band grow with t; the lengths of rows are in no order.
uvec3 tile_range(uint b, uint t0, uint last) {
    uint limit = key_limit(b, last, p.n_keys);
    if (HAS_ROWS)
        [[dont_unroll]] for (uint t = t0; t < last; t++) limit = max(limit, key_limit(b, t, p.n_keys));
    return uvec3(key_band(b, t0, p.n_keys).x, min(key_band(b, last, p.n_keys).y, limit), limit);
}

#endif
