// Reductions over the workgroup: every invocation gives a value and receives the result. LOCAL_X (specialization constant
// PM_SPEC_LOCAL_X, a multiple of 8) sizes the scratch. All invocations must call these together. Needs no subgroup operation.
// Two steps: one in eight joins eight values, then all join the rest. That is two barriers where a tree of halves has seven,
// and barriers are what is slow on CPUs. The order is fixed, so that runs agree bit for bit.
#ifndef PM_REDUCE_GLSL
#define PM_REDUCE_GLSL
#include "common.params.h"

layout(constant_id = PM_SPEC_LOCAL_X) const uint LOCAL_X = 64;
const uint N_EIGHTS = LOCAL_X / 8;
shared float reduce_scratch[LOCAL_X];
shared float reduce_eights[N_EIGHTS];

#define VALUE(i) reduce_scratch[lane + i * N_EIGHTS]
#define JOIN_EIGHT(join)                                                                                          \
    join(join(join(VALUE(0), VALUE(1)), join(VALUE(2), VALUE(3))), join(join(VALUE(4), VALUE(5)), join(VALUE(6), VALUE(7))))

float add(float a, float b) { return a + b; }

float group_sum(float v) {
    uint lane = gl_LocalInvocationID.x;
    reduce_scratch[lane] = v;
    barrier(); // also: every invocation is past its reads of reduce_eights in the reduction before
    if (lane < N_EIGHTS) reduce_eights[lane] = JOIN_EIGHT(add);
    barrier();
    float total = reduce_eights[0];
    for (uint i = 1; i < N_EIGHTS; i++) total += reduce_eights[i];
    return total;
}

float group_max(float v) {
    uint lane = gl_LocalInvocationID.x;
    reduce_scratch[lane] = v;
    barrier();
    if (lane < N_EIGHTS) reduce_eights[lane] = JOIN_EIGHT(max);
    barrier();
    float largest = reduce_eights[0];
    for (uint i = 1; i < N_EIGHTS; i++) largest = max(largest, reduce_eights[i]);
    return largest;
}

#endif
