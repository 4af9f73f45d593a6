/* The numbers that benchmarks make their problems of: the same ones on every machine. */
#ifndef PM_BENCH_RANDOM_H
#define PM_BENCH_RANDOM_H

#include <stdint.h>

static uint64_t random_state = 1;

static uint32_t below(uint32_t n) { /* splitmix64 */
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) % n);
}

#endif
