#version 450
#extension GL_GOOGLE_include_directive : require
// advance: the end of one step of a decode loop, one invocation a sequence. The id that the step chose is written down and becomes
// what the next one feeds, one position on. After an end, or where there is no finite logit (or no id: -1), the sequence halts: its words
// do not change from then on.
#include "data.params.h"
#include "index.glsl"

layout(push_constant) uniform Push { pm_advance_params p; };
layout(std430, set = 0, binding = 0) readonly restrict buffer Next { int next[]; };
layout(std430, set = 0, binding = 1) readonly restrict buffer Logit { uint logit[]; };
layout(std430, set = 0, binding = 2) restrict buffer Loop { int words[]; };

uint word(uint w, uint b) { return p.loop_offset + w * p.n + b; }

void main() {
    uint b = folded_invocation();
    if (b >= p.n || words[word(PM_LOOP_HALT, b)] != 0) return;
    int id = next[p.next_offset + b * p.next_stride];
    bool stuck = id < 0;
    if (p.has_logit != 0u) // its bits, since a device need not keep infinities and NaN
        stuck = stuck || (logit[p.logit_offset + b * p.logit_stride] & 0x7f800000u) == 0x7f800000u;
    if (stuck) {
        words[word(PM_LOOP_HALT, b)] = PM_HALT_STUCK;
        return;
    }
    uint count = uint(words[word(PM_LOOP_COUNT, b)]);
    words[word(PM_LOOP_IDS + count % PM_LOOP_RING, b)] = id;
    words[word(PM_LOOP_COUNT, b)] = int(count + 1u);
    words[word(PM_LOOP_POSITION, b)] += 1;
    words[word(PM_LOOP_ID, b)] = id;
    uint n_ends = min(uint(words[word(PM_LOOP_N_ENDS, b)]), PM_LOOP_MAX_ENDS);
    for (uint i = 0u; i < n_ends; i++)
        if (words[word(PM_LOOP_ENDS + i, b)] == id) words[word(PM_LOOP_HALT, b)] = PM_HALT_END;
}
