// What a logit weighs in `sample`, and where chance comes from: integers alone, as sample.params.h has it.
#ifndef PM_SAMPLE_GLSL
#define PM_SAMPLE_GLSL

#include "sample.params.h"

// A place in the order: the greater is the likelier, 0 is what is no finite number. Both zeros are one.
uint rank_of_word(uint word) {
    uint magnitude = word & 0x7fffffffu;
    if (magnitude >= 0x7f800000u) return 0u;
    return magnitude != word && magnitude != 0u ? ~word : magnitude | 0x80000000u;
}
uint word_of_rank(uint rank) { return rank >= 0x80000000u ? rank & 0x7fffffffu : ~rank; }

// How distances from the row's greatest logit are counted.
struct Unit {
    uint top, exponent, scale, shift;
};

uint exponent_of(uint magnitude) { return max(magnitude >> 23, 1u); }

// In units, modulo 2^32; of an exponent not above the unit's.
uint fixed_point(uint word, uint exponent) {
    uint magnitude = word & 0x7fffffffu;
    uint x = ((magnitude & 0x7fffffu) | (magnitude >= 0x800000u ? 0x800000u : 0u)) << PM_SAMPLE_GUARD;
    x >>= min(exponent - exponent_of(magnitude), 31u);
    return magnitude != word ? 0u - x : x;
}

Unit unit_of(uint top_rank, uint scale, int place) {
    Unit u;
    uint word = word_of_rank(top_rank);
    place = clamp(place, -PM_SAMPLE_PLACES, PM_SAMPLE_PLACES);
    u.exponent = uint(max(int(exponent_of(word & 0x7fffffffu)), place - PM_SAMPLE_REACH) + 1);
    u.top = fixed_point(word, u.exponent);
    u.scale = scale;
    u.shift = uint(max(place - int(u.exponent), PM_SAMPLE_LEAST_SHIFT));
    return u;
}

uint high_word(uint a, uint b) {
    uint high, low;
    umulExtended(a, b, high, low);
    return high;
}

uint weight_of_word(Unit u, uint word) {
    uint magnitude = word & 0x7fffffffu;
    if (magnitude >= 0x7f800000u || exponent_of(magnitude) > u.exponent) return 0u;
    uint high, low;
    umulExtended(u.top - fixed_point(word, u.exponent), u.scale, high, low);
    if (high >> (u.shift - PM_SAMPLE_LEAST_SHIFT) != 0u) return 0u;
    uint q = high << (32u - u.shift) | low >> u.shift;
    uint f = q << (32 - PM_SAMPLE_FRACTION);
    uint y = PM_SAMPLE_C4 - high_word(f, PM_SAMPLE_C5);
    y = PM_SAMPLE_C3 - high_word(f, y);
    y = PM_SAMPLE_C2 - high_word(f, y);
    y = PM_SAMPLE_C1 - high_word(f, y);
    return (PM_SAMPLE_C0 - high_word(f, y)) >> (q >> PM_SAMPLE_FRACTION);
}

// Sums are 64 bits in two words: x the low one.
uvec2 plus(uvec2 a, uvec2 b) {
    uint low = a.x + b.x;
    return uvec2(low, a.y + b.y + uint(low < a.x));
}
bool is_less(uvec2 a, uvec2 b) { return a.y < b.y || (a.y == b.y && a.x < b.x); }

// sum * share / 2^32, and one more where `up` and it is no whole number.
uvec2 share_of(uvec2 sum, uint share, bool up) {
    uint high, low, rest;
    uvec2 product;
    umulExtended(sum.x, share, high, rest);
    umulExtended(sum.y, share, product.y, product.x);
    return plus(product, plus(uvec2(high, 0u), uvec2(uint(up && rest != 0u), 0u)));
}

// Word 0 of Philox4x32-10.
uint random_word(uint count, uvec2 key) {
    uvec4 c = uvec4(count, 0u, 0u, 0u);
    for (int i = 0; i < PM_PHILOX_ROUNDS; i++) {
        uint high0, low0, high1, low1;
        umulExtended(c.x, PM_PHILOX_M0, high0, low0);
        umulExtended(c.z, PM_PHILOX_M1, high1, low1);
        c = uvec4(high1 ^ c.y ^ key.x, low1, high0 ^ c.w ^ key.y, low0);
        key += uvec2(PM_PHILOX_W0, PM_PHILOX_W1);
    }
    return c.x;
}
#endif
