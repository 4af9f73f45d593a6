// Reductions over the workgroup: every invocation gives a value and receives the result. LOCAL_X (specialization constant
// PM_SPEC_LOCAL_X, a multiple of 32) sizes the scratch. All invocations must call these together. Needs no subgroup operation.
// Two steps: one in eight joins eight values, then all join the rest. That is two barriers where a tree of halves has seven,
// and barriers are what is slow on CPUs. The order is fixed, so that runs agree bit for bit.
#ifndef PM_REDUCE_GLSL
#define PM_REDUCE_GLSL
#include "common.params.h"

layout(constant_id = PM_SPEC_LOCAL_X) const uint LOCAL_X = 64;

#ifdef SUBGROUP8 // the workgroup is one subgroup of eight
#extension GL_KHR_shader_subgroup_arithmetic : require
float group_sum(float v) { return subgroupAdd(v); }
float group_max(float v) { return subgroupMax(v); }
#else
const uint N_EIGHTS = LOCAL_X / 8;
shared float reduce_scratch[LOCAL_X];
shared float reduce_eights[N_EIGHTS];

#define VALUE(i) reduce_scratch[lane + (i) * N_EIGHTS]
#define EIGHTH(i) reduce_eights[i]
#define JOIN_FOUR(join, of, i) join(join(of(i), of(i + 1)), join(of(i + 2), of(i + 3)))
#define JOIN_EIGHT(join, of) join(JOIN_FOUR(join, of, 0), JOIN_FOUR(join, of, 4))

float add(float a, float b) { return a + b; }

float group_sum(float v) {
    uint lane = gl_LocalInvocationID.x;
    reduce_scratch[lane] = v;
    barrier(); // also: every invocation is past its reads of reduce_eights in the reduction before
    if (lane < N_EIGHTS) reduce_eights[lane] = JOIN_EIGHT(add, VALUE);
    barrier();
    float even = 0.0, odd = 0.0;
    for (uint i = 0; i < N_EIGHTS; i += 2) even += reduce_eights[i], odd += reduce_eights[i + 1];
    return even + odd;
}

float group_max(float v) {
    uint lane = gl_LocalInvocationID.x;
    reduce_scratch[lane] = v;
    barrier();
    if (lane < N_EIGHTS) reduce_eights[lane] = JOIN_EIGHT(max, VALUE);
    barrier();
    float largest = reduce_eights[0];
    for (uint i = 1; i < N_EIGHTS; i++) largest = max(largest, reduce_eights[i]);
    return largest;
}
#endif

// Long sums. A chain of n equal terms may lose n u / 4, and a bound that a row of any length keeps allows 4 u. So terms are
// joined in eights, by halves, and what each addition of an eight loses is kept and added at the end (2Sum of Knuth).
// `precise`: a compiler that may reorder would find that nothing is lost.
float add_part(float sum, float part, inout float lost) {
    precise float next = sum + part;
    precise float added = next - sum;
    precise float missed = (sum - (next - added)) + (part - added);
    lost += missed;
    return next;
}

// What was lost of an infinite sum is no number.
float add_lost(float sum, float lost) { return abs(sum) < 3.0e38 ? sum + lost : sum; }

// sum = this invocation's share of n terms, every LOCAL_X-th; term(c) is a macro. First what is left beyond the eights.
#define SUM_TERMS(sum, n, term)                                                                           \
    {                                                                                                     \
        uint end_of_eights = n / (8 * LOCAL_X) * (8 * LOCAL_X);                                           \
        float lost = 0.0;                                                                                 \
        sum = 0.0;                                                                                        \
        for (uint c = end_of_eights + lane; c < n; c += LOCAL_X) sum += term(c);                          \
        for (uint c = lane; c < end_of_eights; c += 8 * LOCAL_X)                                          \
            sum = add_part(sum, TERMS_4(term, c) + TERMS_4(term, c + 4 * LOCAL_X), lost);                 \
        sum = add_lost(sum, lost);                                                                        \
    }
#define TERMS_4(term, c) ((term(c) + term(c + LOCAL_X)) + (term(c + 2 * LOCAL_X) + term(c + 3 * LOCAL_X)))

#endif
