/* See gguf_quants.h. Each type's function gives the layout of its block and the formula; i is an element of the block.
 * Scales d, m are 16-bit floats. Products are taken in the order that ggml takes them, so that results are the same in
 * every bit. Layouts: https://github.com/ggml-org/ggml (ggml-common.h), dequantisation: its ggml-quants.c. */
#include "models/gguf_quants.h"

#include <math.h>
#include <string.h>

#include "models/convert.h"

static float half_at(const unsigned char *p) {
    return pm_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

/* ---- blocks of 32: the low nibbles of 16 bytes are elements 0..15, the high ones 16..31 ---- */

static int nibble(const unsigned char *q, int i) {
    return q[i % 16] >> (i < 16 ? 0 : 4) & 15;
}
/* bits: 32, from the lowest bit of the first byte on. */
static int fifth_bit(const unsigned char *bits, int i) {
    return (bits[i / 8] >> i % 8 & 1) << 4;
}

/* d, q[16]: d (q - 8) */
static void q4_0(const unsigned char *b, float *out) {
    float d = half_at(b);
    for (int i = 0; i < 32; i++) out[i] = (float)(nibble(b + 2, i) - 8) * d;
}
/* d, m, q[16]: d q + m */
static void q4_1(const unsigned char *b, float *out) {
    float d = half_at(b), m = half_at(b + 2);
    for (int i = 0; i < 32; i++) out[i] = (float)nibble(b + 4, i) * d + m;
}
/* d, bits[4], q[16]: d (q - 16) */
static void q5_0(const unsigned char *b, float *out) {
    float d = half_at(b);
    for (int i = 0; i < 32; i++) out[i] = (float)((nibble(b + 6, i) | fifth_bit(b + 2, i)) - 16) * d;
}
/* d, m, bits[4], q[16]: d q + m */
static void q5_1(const unsigned char *b, float *out) {
    float d = half_at(b), m = half_at(b + 2);
    for (int i = 0; i < 32; i++) out[i] = (float)(nibble(b + 8, i) | fifth_bit(b + 4, i)) * d + m;
}

static int signed_byte(unsigned char c) {
    return c < 128 ? c : c - 256;
}

/* d, q[32] signed: d q */
static void q8_0(const unsigned char *b, float *out) {
    float d = half_at(b);
    for (int i = 0; i < 32; i++) out[i] = (float)signed_byte(b[2 + i]) * d;
}

/* e, q[16]: 2^(e - 127) times a value of sign, two bits of exponent and one of mantissa (OCP Microscaling Formats 1.0) */
static void mxfp4(const unsigned char *b, float *out) {
    static const float values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    for (int i = 0; i < 32; i++) {
        int q = nibble(b + 1, i);
        float v = ldexpf(values[q & 7], b[0] - 127);
        out[i] = q & 8 ? -v : v;
    }
}

/* ---- super-blocks of 256: parts of 16 or 32 elements have small scales of their own ---- */

/* Two bits of element i in 64 bytes: half i/128 has 32 bytes, whose bit pairs are 32 elements each. */
static int two_bits(const unsigned char *q, int i) {
    return q[i / 128 * 32 + i % 32] >> 2 * (i / 32 % 4) & 3;
}

/* s[16] (low nibble: scale, high: min, of 16 elements), q[64], d, m: d s q - m min */
static void q2_k(const unsigned char *b, float *out) {
    float d = half_at(b + 80), m = half_at(b + 82);
    for (int i = 0; i < 256; i++) {
        float scale = d * (float)(b[i / 16] & 15), min = m * (float)(b[i / 16] >> 4);
        out[i] = scale * (float)two_bits(b + 16, i) - min;
    }
}

/* The scale of part k of 16, six bits: nibbles of bytes 0..7, pairs of bytes 8..11. */
static int q3_scale(const unsigned char *s, int k) {
    return (s[k % 8] >> 4 * (k / 8) & 15) | (s[8 + k % 4] >> 2 * (k / 4) & 3) << 4;
}

/* bits[32] (the third: bit i/32 of byte i%32), q[64], s[12], d: d (s - 32) (q - 4) */
static void q3_k(const unsigned char *b, float *out) {
    float d = half_at(b + 108);
    for (int i = 0; i < 256; i++) {
        float scale = d * (float)(q3_scale(b + 96, i / 16) - 32);
        int q = two_bits(b + 32, i) | (b[i % 32] >> i / 32 & 1) << 2;
        out[i] = scale * (float)(q - 4);
    }
}

/* Scale and min of part k of 8, six bits each: parts 0..3 in the low bits of bytes 0..3 and 4..7; parts 4..7 in the
 * nibbles of bytes 8..11, with the high two bits of those before. */
static void part_scales(const unsigned char *s, int k, int *scale, int *min) {
    *scale = k < 4 ? s[k] & 63 : (s[k + 4] & 15) | s[k - 4] >> 6 << 4;
    *min = k < 4 ? s[k + 4] & 63 : s[k + 4] >> 4 | s[k] >> 6 << 4;
}

/* d, m, s[12], then bits[32] if fifth (bit i/32 of byte i%32), q[128] (64 elements in 32 bytes): d s q - m min */
static void q4_or_5_k(const unsigned char *b, bool fifth, float *out) {
    float d = half_at(b), m = half_at(b + 2);
    const unsigned char *bits = b + 16, *q = fifth ? bits + 32 : bits;
    for (int k = 0; k < 8; k++) {
        int s, min;
        part_scales(b + 4, k, &s, &min);
        float scale = d * (float)s, less = m * (float)min;
        for (int i = 0; i < 32; i++) {
            int v = q[k / 2 * 32 + i] >> (k % 2 ? 4 : 0) & 15;
            if (fifth) v |= (bits[i] >> k & 1) << 4;
            out[32 * k + i] = scale * (float)v - less;
        }
    }
}
static void q4_k(const unsigned char *b, float *out) {
    q4_or_5_k(b, false, out);
}
static void q5_k(const unsigned char *b, float *out) {
    q4_or_5_k(b, true, out);
}

/* q[128] (a half of 128 elements in 64 bytes: low nibbles, then high ones), bits[64], s[16] signed, d:
 * d s (q - 32) */
static void q6_k(const unsigned char *b, float *out) {
    float d = half_at(b + 208);
    for (int i = 0; i < 256; i++) {
        int low = b[i / 128 * 64 + i % 64] >> (i / 64 % 2 ? 4 : 0) & 15;
        int q = low | two_bits(b + 128, i) << 4;
        out[i] = d * (float)signed_byte(b[192 + i / 16]) * (float)(q - 32);
    }
}

/* ---- the table ---- */

#define BLOCK(n) ((pm_dtype)(PM_FIRST_BLOCK + (n)))
static const pm_block_type rows[] = {
    {"F32", 0, 1, 4, PM_F32, NULL},         {"F16", 1, 1, 2, PM_F16, NULL},
    {"BF16", 30, 1, 2, PM_BF16, NULL},      {"Q8_0", 8, 32, 34, BLOCK(0), q8_0},
    {"Q4_0", 2, 32, 18, BLOCK(1), q4_0},    {"Q4_1", 3, 32, 20, BLOCK(2), q4_1},
    {"Q5_0", 6, 32, 22, BLOCK(3), q5_0},    {"Q5_1", 7, 32, 24, BLOCK(4), q5_1},
    {"Q2_K", 10, 256, 84, BLOCK(5), q2_k},  {"Q3_K", 11, 256, 110, BLOCK(6), q3_k},
    {"Q4_K", 12, 256, 144, BLOCK(7), q4_k}, {"Q5_K", 13, 256, 176, BLOCK(8), q5_k},
    {"Q6_K", 14, 256, 210, BLOCK(9), q6_k}, {"MXFP4", 39, 32, 17, BLOCK(10), mxfp4},
};

const pm_block_type *pm_block_of_gguf(uint64_t gguf) {
    for (size_t i = 0; i < PM_COUNT(rows); i++)
        if (rows[i].gguf == gguf) return &rows[i];
    return NULL;
}

const pm_block_type *pm_block_of_dtype(pm_dtype dtype) {
    for (size_t i = 0; i < PM_COUNT(rows); i++)
        if (rows[i].dtype == dtype && rows[i].to_f32) return &rows[i];
    return NULL;
}

void pm_gguf_list_types(pm_text *t) {
    for (size_t i = 0; i < PM_COUNT(rows); i++) pm_text_add(t, "%s%s", i ? ", " : "", rows[i].name);
}
