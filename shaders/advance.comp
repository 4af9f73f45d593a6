#version 450
#extension GL_GOOGLE_include_directive : require
// advance: the end of one step of a decode loop. The id that the step chose is written down and becomes what the next one
// feeds, one position on. After an end, or where there is no finite logit, the loop halts: nothing changes from then on.
#include "data.params.h"
#include "index.glsl"

layout(push_constant) uniform Push { pm_advance_params p; };
layout(std430, set = 0, binding = 0) readonly restrict buffer Next { int next[]; };
layout(std430, set = 0, binding = 1) readonly restrict buffer Logit { uint logit[]; };
layout(std430, set = 0, binding = 2) restrict buffer Loop { int words[]; };

void main() {
    uint l = p.loop_offset;
    if (folded_invocation() >= p.n || words[l + PM_LOOP_HALT] != 0) return;
    if ((logit[p.logit_offset] & 0x7f800000u) == 0x7f800000u) { // the bits: a device need not keep infinities and NaN
        words[l + PM_LOOP_HALT] = PM_HALT_STUCK;
        return;
    }
    int id = next[p.next_offset];
    uint count = uint(words[l + PM_LOOP_COUNT]);
    words[l + PM_LOOP_IDS + count % PM_LOOP_RING] = id;
    words[l + PM_LOOP_COUNT] = int(count + 1u);
    words[l + PM_LOOP_POSITION] += 1;
    words[l + PM_LOOP_ID] = id;
    uint n_ends = min(uint(words[l + PM_LOOP_N_ENDS]), PM_LOOP_MAX_ENDS);
    for (uint i = 0u; i < n_ends; i++)
        if (words[l + PM_LOOP_ENDS + i] == id) words[l + PM_LOOP_HALT] = PM_HALT_END;
}
