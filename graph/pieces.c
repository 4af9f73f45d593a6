/* Tensors larger than one allocation (program.h). Arithmetic alone, in 64 bits: whoever stores a weight and whoever compiles for it
 * come to the same pieces. */
#include "graph/program.h"

#include <inttypes.h>
#include <stdio.h>

static uint64_t ceil_div(uint64_t n, uint64_t by) {
    return n / by + (n % by != 0);
}

pm_pieces pm_pieces_of(const pm_caps *caps, int32_t rank, const int64_t *dims) {
    uint64_t bytes = 4, most;
    int32_t at = rank;
    while (at > 0) bytes *= (uint64_t)dims[--at];
    pm_pieces p = {.bytes = bytes, .n = 1, .group_bytes = bytes, .piece_bytes = bytes, .row_bytes = bytes};
    if (!caps->max_block_bytes || bytes <= caps->max_block_bytes || rank == 0) return p;
    for (p.row_bytes = bytes / (uint64_t)dims[0]; at + 1 < rank && p.row_bytes > caps->max_block_bytes;
         at++) {
        p.group_bytes = p.row_bytes;
        p.row_bytes /= (uint64_t)dims[at + 1];
    }
    if (p.row_bytes > caps->max_block_bytes) p.row_bytes = 4; /* nobody will find a use for such pieces */
    most = caps->max_block_bytes / p.row_bytes;
    if (!most) most = 1;
    const uint64_t rows = p.group_bytes / p.row_bytes, each = ceil_div(rows, ceil_div(rows, most));
    p.piece_bytes = each * p.row_bytes;
    p.n = bytes / p.group_bytes * ceil_div(rows, each);
    return p;
}

void pm_piece_at(const pm_pieces *p, uint64_t i, uint64_t *out_first, uint64_t *out_bytes) {
    const uint64_t per_group = ceil_div(p->group_bytes, p->piece_bytes),
                   within = i % per_group * p->piece_bytes, left = p->group_bytes - within;
    *out_first = i / per_group * p->group_bytes + within;
    *out_bytes = left < p->piece_bytes ? left : p->piece_bytes;
}

uint64_t pm_piece_of(const pm_pieces *p, uint64_t byte) {
    return byte / p->group_bytes * ceil_div(p->group_bytes, p->piece_bytes) +
           byte % p->group_bytes / p->piece_bytes;
}

pm_piece_name pm_piece_name_of(const pm_pieces *p, uint64_t i, const char *prefix, const char *name) {
    pm_piece_name out;
    uint64_t first, bytes;
    pm_piece_at(p, i, &first, &bytes);
    if (p->n > 1)
        (void)snprintf(out.s, sizeof out.s, "%s%.480s[%" PRIu64 ":%" PRIu64 "]", prefix, name,
                       first / p->row_bytes, (first + bytes) / p->row_bytes);
    else
        (void)snprintf(out.s, sizeof out.s, "%s%s", prefix, name);
    return out;
}
