/* See convert.h. Files are little-endian, so words are put together from bytes: right on any machine. */
#include "models/convert.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/gguf_quants.h"

uint64_t pm_array_elems(const pm_array *a) {
    uint64_t n = 1;
    for (int32_t i = 0; i < a->rank; i++) n *= (uint64_t)a->dims[i];
    return n;
}

const char *pm_array_shape(int32_t rank, const int64_t *dims, char out[PM_SHAPE_CHARS]) {
    size_t used = 1;
    out[0] = '[';
    for (int32_t i = 0; i < rank; i++)
        used += (size_t)snprintf(out + used, PM_SHAPE_CHARS - used, "%s%" PRId64, i ? "," : "", dims[i]);
    memcpy(out + used, "]", 2);
    return out;
}

static uint16_t word16(const unsigned char *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t word32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static float float_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

float pm_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 1023;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000u | mantissa << 13);
    if (exponent) return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    float small = (float)mantissa * 0x1p-24f; /* subnormal or zero: exact in fp32 */
    return sign ? -small : small;
}

pm_status pm_convert_f32(const pm_array *a, float *out) {
    uint64_t n = pm_array_elems(a);
    const unsigned char *p = a->data;
    switch (a->dtype) {
    case PM_F32:
        for (uint64_t i = 0; i < n; i++) out[i] = float_of_bits(word32(p + 4 * i));
        return PM_OK;
    case PM_F16:
        for (uint64_t i = 0; i < n; i++) out[i] = pm_f16_to_f32(word16(p + 2 * i));
        return PM_OK;
    case PM_BF16:
        for (uint64_t i = 0; i < n; i++) out[i] = float_of_bits((uint32_t)word16(p + 2 * i) << 16);
        return PM_OK;
    default: break;
    }
    const pm_block_type *type = pm_block_of_dtype(a->dtype);
    if (!type)
        return pm_raise(PM_ERR_FILE, "tensor %s: its type is %s, f32, f16 or bf16 was expected", a->name,
                        pm_dtype_name(a->dtype));
    for (uint64_t i = 0; i < n / type->elems; i++) type->to_f32(p + i * type->bytes, out + i * type->elems);
    return PM_OK;
}

pm_status pm_convert_i32(const pm_array *a, int32_t *out) {
    uint64_t n = pm_array_elems(a);
    const unsigned char *p = a->data;
    for (uint64_t i = 0; i < n; i++) {
        int64_t v;
        switch (a->dtype) {
        case PM_I64:
            v = (int64_t)((uint64_t)word32(p + 8 * i) | (uint64_t)word32(p + 8 * i + 4) << 32);
            break;
        case PM_I32: v = (int32_t)word32(p + 4 * i); break;
        case PM_U8: v = p[i]; break;
        case PM_BOOL: v = p[i] != 0; break; /* one byte in files */
        default:
            return pm_raise(PM_ERR_FILE, "tensor %s: its type is %s, i64, i32, u8 or bool was expected",
                            a->name, pm_dtype_name(a->dtype));
        }
        if (v < INT32_MIN || v > INT32_MAX)
            return pm_raise(PM_ERR_FILE,
                            "tensor %s: element %" PRIu64 " is %" PRId64 ", which does not fit in 32 bits",
                            a->name, i, v);
        out[i] = (int32_t)v;
    }
    return PM_OK;
}

void pm_words_to_file(void *words, uint64_t n) {
    uint32_t probe = 1;
    unsigned char *p = words;
    if (word32((const unsigned char *)&probe) == 1) return; /* this machine is little-endian */
    for (uint64_t i = 0; i < n; i++, p += 4) {
        unsigned char q[4] = {p[3], p[2], p[1], p[0]};
        memcpy(p, q, 4);
    }
}
