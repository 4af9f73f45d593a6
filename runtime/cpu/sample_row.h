/* Choosing a token by chance, for one row of logits: the operation `sample` (shaders/sample.params.h) in C. The reference kernel
 * and the fast one share what a weight is and where chance comes from; each finds the chosen one its own way. */
#ifndef PM_SAMPLE_ROW_H
#define PM_SAMPLE_ROW_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "runtime/sampling.h"

/* Places in the order: the greater is the likelier, 0 is what is no finite number. Both zeros are one. */
static inline uint32_t pm_sample_rank(uint32_t word) {
    uint32_t magnitude = word & 0x7fffffffu;
    if (magnitude >= 0x7f800000u) return 0;
    return magnitude != word && magnitude ? ~word : magnitude | 0x80000000u;
}
static inline uint32_t pm_sample_word(uint32_t rank) {
    return rank & 0x80000000u ? rank & 0x7fffffffu : ~rank;
}

/* How distances from a row's greatest logit are counted. */
typedef struct pm_sample_unit {
    uint32_t top;      /* in units */
    uint32_t exponent; /* a unit is 2^(exponent - PM_SAMPLE_UNIT_BIAS) */
    uint32_t scale, shift;
} pm_sample_unit;

static inline uint32_t pm_sample_exponent(uint32_t magnitude) {
    return magnitude >> 23 ? magnitude >> 23 : 1;
}

/* In units, modulo 2^32; of an exponent not above the unit's. */
static inline uint32_t pm_sample_fixed(uint32_t word, uint32_t exponent) {
    uint32_t magnitude = word & 0x7fffffffu, own = pm_sample_exponent(magnitude), shift = exponent - own;
    uint32_t x = ((magnitude & 0x7fffffu) | (magnitude >> 23 ? 0x800000u : 0)) << PM_SAMPLE_GUARD;
    x >>= shift < 31 ? shift : 31;
    return magnitude != word ? 0u - x : x;
}

/* What has a weight is less than 2^(place - 32 - 126) away from top: its exponent is at most one above that and top's. */
static inline pm_sample_unit pm_sample_unit_of(const uint32_t *settings, uint32_t top_rank) {
    uint32_t word = pm_sample_word(top_rank), own = pm_sample_exponent(word & 0x7fffffffu);
    int32_t place = (int32_t)settings[PM_SAMPLE_PLACE];
    place = place < -PM_SAMPLE_PLACES  ? -PM_SAMPLE_PLACES
            : place < PM_SAMPLE_PLACES ? place
                                       : PM_SAMPLE_PLACES;
    int32_t reach = place - PM_SAMPLE_REACH;
    uint32_t exponent = (reach > (int32_t)own ? (uint32_t)reach : own) + 1;
    int32_t shift = place - (int32_t)exponent;
    return (pm_sample_unit){.top = pm_sample_fixed(word, exponent),
                            .exponent = exponent,
                            .scale = settings[PM_SAMPLE_SCALE],
                            .shift = shift < PM_SAMPLE_LEAST_SHIFT ? PM_SAMPLE_LEAST_SHIFT : (uint32_t)shift};
}

static inline uint32_t pm_sample_high(uint32_t a, uint32_t b) {
    return (uint32_t)((uint64_t)a * b >> 32);
}

static inline uint32_t pm_sample_exp2(uint32_t q) { /* 2^31 2^-(q / 2^24), q < 2^29 */
    uint32_t f = q << (32 - PM_SAMPLE_FRACTION);
    uint32_t y = PM_SAMPLE_C4 - pm_sample_high(f, PM_SAMPLE_C5);
    y = PM_SAMPLE_C3 - pm_sample_high(f, y);
    y = PM_SAMPLE_C2 - pm_sample_high(f, y);
    y = PM_SAMPLE_C1 - pm_sample_high(f, y);
    return (PM_SAMPLE_C0 - pm_sample_high(f, y)) >> (q >> PM_SAMPLE_FRACTION);
}

/* Without branches, so that compilers vectorise it. */
static inline uint32_t pm_sample_weight(const pm_sample_unit *u, uint32_t word) {
    uint32_t magnitude = word & 0x7fffffffu;
    uint64_t q = (uint64_t)(u->top - pm_sample_fixed(word, u->exponent)) * u->scale >> u->shift;
    uint32_t weight = pm_sample_exp2((uint32_t)q & (PM_SAMPLE_END - 1));
    bool absent =
        (magnitude >= 0x7f800000u) | (pm_sample_exponent(magnitude) > u->exponent) | (q >= PM_SAMPLE_END);
    return absent ? 0 : weight;
}

/* floor(sum share / 2^32), for sums below 2^63 */
static inline uint64_t pm_sample_share(uint64_t sum, uint32_t share) {
    return (sum >> 32) * share + ((sum & 0xffffffffu) * share >> 32);
}
/* The same, rounded up: the running sum that has to be reached. */
static inline uint64_t pm_sample_share_up(uint64_t sum, uint32_t share) {
    return pm_sample_share(sum, share) + ((uint32_t)((sum & 0xffffffffu) * share) != 0);
}

/* Philox4x32-10: counter in, random words out. */
void pm_sample_philox(uint32_t counter[4], const uint32_t key[2]);

#endif
