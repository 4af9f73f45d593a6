/* Selection: which shader variant runs a dispatch on a device, with which workgroups. One table; the first
 * row whose kernel matches and that fits wins, so faster rows stand before the baseline ones, which need
 * nothing of a device. A new variant is a row. Reads kernel, parameters and spec[8..]; writes variant,
 * spec[0..7] and groups, and nothing else. */
#include "graph/compile.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shaders/attention.params.h"
#include "shaders/data.params.h"
#include "shaders/matmul.params.h"
#include "shaders/rowwise.params.h"
#include "shaders/sample.params.h"
#include "shaders/softmax.params.h"

#define MOST_ROWS_FOR_VEC 4     /* products with so few rows read b once anyway: no tile is worth filling */
#define SUBGROUP          8     /* lanes of the subgroup variants */
#define MOST_FOLDED       65535 /* groups along x; folded kernels put the rest along y */

typedef struct row {
    pm_variant variant;
    bool (*fits)(const pm_caps *caps, const pm_dispatch *d); /* NULL: always */
    void (*configure)(const pm_caps *caps, pm_dispatch *d);
    uint64_t (*loops)(const pm_dispatch *d); /* iterations of one invocation, configured; NULL: few */
} row;

static uint32_t ceil_div(uint32_t n, uint32_t by) {
    return n / by + (n % by != 0);
}

static void set_groups(pm_dispatch *d, uint32_t x, uint32_t y, uint32_t z) {
    d->groups[0] = x;
    d->groups[1] = y;
    d->groups[2] = z;
}

static void set_local(pm_dispatch *d, uint32_t x, uint32_t y) {
    d->spec[0] = x;
    d->spec[1] = y;
    d->spec[2] = 1;
}

/* Shaders count a group as y * (groups along x) + x. */
static void fold_groups(const pm_caps *caps, pm_dispatch *d, uint32_t n) {
    uint32_t most = caps->max_groups[0] < MOST_FOLDED ? caps->max_groups[0] : MOST_FOLDED;
    uint32_t x = most && n > most ? most : n;
    set_groups(d, x, ceil_div(n, x), 1);
}

/* A device that is a CPU: a lane's loads are dear, and what a lane holds is cheap to give to the others. */
static bool is_vector_of_eight(const pm_caps *caps) {
    return caps->type == PM_DEVICE_SOFTWARE_GPU && caps->subgroup_broadcast &&
           caps->subgroup_min == SUBGROUP && caps->subgroup_max == SUBGROUP;
}

static bool suits_subgroups(const pm_caps *caps, const pm_dispatch *d) {
    (void)d;
    return is_vector_of_eight(caps);
}

/* ---- one invocation an element ---- */

static uint32_t element_count(const pm_dispatch *d) {
    uint32_t n;
    if (d->kernel == PM_KERNEL_GATHER) {
        pm_gather_params p;
        memcpy(&p, d->params, sizeof p);
        return p.n_ids * p.n_cols;
    }
    memcpy(&n, d->params, sizeof n); /* the first word of the others */
    return n;
}

static void by_elements(const pm_caps *caps, pm_dispatch *d) {
    uint32_t local = caps->max_workgroup_invocations >= 256 && caps->max_workgroup_size[0] >= 256 ? 256 : 128;
    set_local(d, local, 1);
    fold_groups(caps, d, ceil_div(element_count(d), local));
}

/* ---- one workgroup a row ---- */

static uint32_t row_count(const pm_dispatch *d) {
    uint32_t n;
    if (d->kernel == PM_KERNEL_SOFTMAX) {
        pm_softmax_params p;
        memcpy(&p, d->params, sizeof p);
        return p.dims[0] * p.dims[1] * p.dims[2] * p.dims[3];
    }
    memcpy(&n, d->params, sizeof n); /* n_rows is the first word of the others */
    return n;
}

static void by_rows(const pm_caps *caps, pm_dispatch *d) {
    set_local(d, 64, 1);
    fold_groups(caps, d, row_count(d));
}

/* As by_rows, a subgroup a row. */
static bool rows_suit_subgroups(const pm_caps *caps, const pm_dispatch *d) {
    return suits_subgroups(caps, d) && caps->subgroup_arithmetic;
}

static void by_subgroup_rows(const pm_caps *caps, pm_dispatch *d) {
    by_rows(caps, d);
    set_local(d, SUBGROUP, 1);
}

/* Columns of a row, of which each invocation takes every 64th (8th): softmax thrice, with parts; norms thrice, in eights. */
static uint64_t row_loops(const pm_dispatch *d) {
    uint64_t n;
    if (d->kernel == PM_KERNEL_SOFTMAX) {
        pm_softmax_params p;
        memcpy(&p, d->params, sizeof p);
        n = p.dims[4];
    } else if (d->kernel == PM_KERNEL_REDUCE || d->kernel == PM_KERNEL_ARGMAX) {
        pm_reduce_params p;
        memcpy(&p, d->params, sizeof p);
        n = p.n_cols;
    } else {
        pm_norm_params p;
        memcpy(&p, d->params, sizeof p);
        n = p.n_cols;
    }
    return 3 * (n / d->spec[PM_SPEC_LOCAL_X]) + n / (4 * d->spec[PM_SPEC_LOCAL_X]) + 64;
}

/* A pass over the row for each of k. */
static uint64_t top_k_loops(const pm_dispatch *d) {
    pm_top_k_params p;
    memcpy(&p, d->params, sizeof p);
    return (uint64_t)p.k * (p.n_cols / 64 + 16);
}

/* Hardly ever more than a few passes, but at most three over all, and to narrow down 3 rounds by value and 12 by rank for each
 * of three targets, 8 by column for two of them, and one for each list. A pass looks at all columns, and again at those that it
 * is about. Then lists are sorted and gone through. */
static uint64_t sample_loops(const pm_dispatch *d) {
    pm_sample_params p;
    memcpy(&p, d->params, sizeof p);
    uint64_t passes = 3 + 3 * (3 + 12) + 2 * 8 + 3, local = d->spec[PM_SPEC_LOCAL_X];
    return passes * (2 * (p.n_cols / local) + p.n_cols / (32 * local) + 32) +
           4 * (55 * (512 / local + 2) + 400);
}

/* More invocations for longer rows. On a device that is a CPU they help nobody, but for shorter loops. */
static void by_sampled_rows(const pm_caps *caps, pm_dispatch *d) {
    bool software = caps->type == PM_DEVICE_SOFTWARE_GPU;
    uint32_t most = caps->max_workgroup_invocations, local = software ? 64 : 128,
             columns = software ? 8192 : 256;
    pm_sample_params p;
    memcpy(&p, d->params, sizeof p);
    if (caps->max_workgroup_size[0] < most) most = caps->max_workgroup_size[0];
    for (;; local *= 2) {
        set_local(d, local, 1);
        bool long_loops = caps->max_loops && sample_loops(d) > caps->max_loops;
        if (2 * local > most || local == 1024 || !(p.n_cols / local > columns || long_loops)) break;
    }
    fold_groups(caps, d, p.n_rows);
}

/* ---- matmul ---- */

static pm_matmul_params matmul_params(const pm_dispatch *d) {
    pm_matmul_params p;
    memcpy(&p, d->params, sizeof p);
    return p;
}

static uint32_t n_batches(const pm_matmul_params *p) {
    return p->batch[0] * p->batch[1] * p->batch[2];
}

static bool has_few_rows(const pm_caps *caps, const pm_dispatch *d) {
    (void)caps;
    return matmul_params(d).m <= MOST_ROWS_FOR_VEC;
}

/* b contiguous along n: neighbours compute neighbouring columns; else a workgroup shares the sum over k. */
static void matmul_vec(const pm_caps *caps, pm_dispatch *d) {
    const pm_matmul_params p = matmul_params(d);
    bool columns = p.b_n == 1 && p.b_k != 1;
    uint32_t local = 64, per_group = 4; /* columns of a workgroup */
    while (!columns && ceil_div(p.n, per_group) > caps->max_groups[0] && per_group < 1u << 16) per_group *= 2;
    set_local(d, local, 1);
    d->spec[3] = per_group;
    d->spec[4] = columns;
    set_groups(d, ceil_div(p.n, columns ? local : per_group), p.m, n_batches(&p));
}

static uint64_t matmul_vec_loops(const pm_dispatch *d) {
    uint64_t k = matmul_params(d).k, per_group = d->spec[3];
    return d->spec[4] ? k + ceil_div((uint32_t)k, 8) : per_group / 4 * (k / 64 + 32);
}

/* Tiles of bm x bn; an invocation computes side x side elements. Any number of invocations along x serves the
 * shader; a device that gets near-square workgroups wrong is given a row of them. */
static void set_tiles(const pm_caps *caps, pm_dispatch *d, uint32_t bm, uint32_t bn, uint32_t side) {
    const pm_matmul_params p = matmul_params(d);
    uint32_t local = bm / side * (bn / side);
    bool no_square = caps->quirks & PM_QUIRK_NO_SQUARE_WORKGROUPS;
    set_local(d, no_square ? local : bn / side, no_square ? 1 : bm / side);
    d->spec[3] = bm;
    d->spec[4] = bn;
    d->spec[5] = 16; /* steps of k in shared memory */
    set_groups(d, ceil_div(p.n, bn), ceil_div(p.m, bm), n_batches(&p));
}

/* A step of k: loading both tiles, and multiplying. */
static uint64_t matmul_tiled_loops(const pm_dispatch *d) {
    uint64_t steps = ceil_div(matmul_params(d).k, d->spec[5]), tiles = d->spec[3] + d->spec[4];
    return steps * (d->spec[5] + d->spec[5] * tiles / (d->spec[0] * d->spec[1]) + 5);
}

/* Large enough for tiles of 64 x 64. Then 64 invocations with 8 x 8 sums each need half the reads of shared
 * memory that 4 x 4 sums do (lavapipe: about twice as fast), and fit any device. */
static bool fills_large_tiles(const pm_caps *caps, const pm_dispatch *d) {
    const pm_matmul_params p = matmul_params(d);
    (void)caps;
    return p.m > 32 && p.n > 32;
}

static void matmul_tiled8(const pm_caps *caps, pm_dispatch *d) {
    set_tiles(caps, d, 64, 64, 8);
}

static void matmul_subgroup(const pm_caps *caps, pm_dispatch *d) {
    const pm_matmul_params p = matmul_params(d);
    uint32_t rows = p.m < 4 * SUBGROUP ? ceil_div(p.m, SUBGROUP) * SUBGROUP : 4 * SUBGROUP;
    (void)caps;
    set_local(d, SUBGROUP, 1);
    d->spec[3] = rows;
    set_groups(d, ceil_div(p.n, 4 * SUBGROUP), ceil_div(p.m, rows), n_batches(&p));
}

static uint64_t matmul_subgroup_loops(const pm_dispatch *d) {
    uint64_t k = matmul_params(d).k;
    return k + k / 16 + 1;
}

/* At least one side is short: at most 128 invocations. */
static void matmul_tiled(const pm_caps *caps, pm_dispatch *d) {
    const pm_matmul_params p = matmul_params(d);
    uint32_t bm = p.m <= 32 ? 32 : 64;
    set_tiles(caps, d, bm, bm == 64 || p.n <= 32 ? 32 : 64, 4);
}

/* ---- grouped matmul ---- */

enum { PAIR_TILE = 32, COLUMN_TILE = 64, GROUPED_STEP = 16, PAIRS_FOR_TILES = 16 };

static pm_grouped_params grouped_params(const pm_dispatch *d) {
    pm_grouped_params p;
    memcpy(&p, d->params, sizeof p);
    return p;
}

/* Half a tile of pairs for each expert: with fewer, most of a tile is empty, and dots are faster. */
static bool has_many_pairs(const pm_caps *caps, const pm_dispatch *d) {
    const pm_grouped_params p = grouped_params(d);
    (void)caps;
    return p.n_pairs / PAIRS_FOR_TILES >= p.n_experts;
}

/* Work of an invocation when one expert has all pairs. */
static uint64_t grouped_tiled_loops(const pm_dispatch *d) {
    const pm_grouped_params p = grouped_params(d);
    uint64_t share = ceil_div(p.n_pairs, d->spec[0]), tiles = ceil_div(p.n_pairs, PAIR_TILE),
             loads = GROUPED_STEP * (PAIR_TILE + COLUMN_TILE) / d->spec[0];
    uint64_t tile = share + ceil_div(p.k, GROUPED_STEP) * (GROUPED_STEP + loads + 5);
    return share * (COLUMN_TILE + 2) + d->spec[0] + (tiles + d->groups[2] - 1) / d->groups[2] * tile;
}

/* Along z as many groups as an expert has tiles on average; more where a driver's loops are short. */
static void grouped_tiled(const pm_caps *caps, pm_dispatch *d) {
    const pm_grouped_params p = grouped_params(d);
    uint32_t tiles = ceil_div(p.n_pairs, PAIR_TILE), shares = ceil_div(tiles, p.n_experts);
    set_local(d, PAIR_TILE / 4 * (COLUMN_TILE / 4), 1);
    d->spec[3] = PAIR_TILE;
    d->spec[4] = COLUMN_TILE;
    d->spec[5] = GROUPED_STEP;
    set_groups(d, ceil_div(p.n, COLUMN_TILE), p.n_experts, shares);
    while (caps->max_loops && d->groups[2] < tiles && grouped_tiled_loops(d) > caps->max_loops)
        d->groups[2] = d->groups[2] * 2 < tiles ? d->groups[2] * 2 : tiles;
}

static void grouped_vec(const pm_caps *caps, pm_dispatch *d) {
    const pm_grouped_params p = grouped_params(d);
    uint32_t per_group = 4, most = caps->max_groups[1] < MOST_FOLDED ? caps->max_groups[1] : MOST_FOLDED;
    while (ceil_div(p.n, per_group) > caps->max_groups[0] && per_group < 1u << 16) per_group *= 2;
    set_local(d, 64, 1);
    d->spec[3] = per_group;
    uint32_t y = most && p.n_pairs > most ? most : p.n_pairs;
    set_groups(d, ceil_div(p.n, per_group), y, ceil_div(p.n_pairs, y));
}

static uint64_t grouped_vec_loops(const pm_dispatch *d) {
    return (uint64_t)d->spec[3] / 4 * (grouped_params(d).k / 64 + 32);
}

/* ---- attention ---- */

#define ATTENTION_LOCAL 64

/* Shared memory: the query row, a weight a key of the block, and the scratch of a reduction. */
static bool attention_has_room(const pm_caps *caps, const pm_dispatch *d) {
    uint64_t words = (uint64_t)d->spec[PM_SPEC_HEAD_SIZE] * (1 + d->spec[PM_SPEC_PLACES]) +
                     2 * ATTENTION_LOCAL + ATTENTION_LOCAL / 8;
    return 4 * words <= caps->shared_bytes;
}

/* Many queries share the keys of a tile; few would leave most of it empty. The shader's tiles take 14 KiB. */
#define QUERY_TILE 32

static bool attention_fills_tiles(const pm_caps *caps, const pm_dispatch *d) {
    pm_attention_params p;
    (void)caps;
    memcpy(&p, d->params, sizeof p);
    return !d->spec[PM_SPEC_PLACES] && p.n_queries >= QUERY_TILE / 2 && d->spec[PM_SPEC_HEAD_SIZE] <= 128;
}

static void attention_tiled(const pm_caps *caps, pm_dispatch *d) {
    pm_attention_params p;
    (void)caps;
    memcpy(&p, d->params, sizeof p);
    set_local(d, ATTENTION_LOCAL, 1);
    d->spec[3] = QUERY_TILE;
    set_groups(d, ceil_div(p.n_queries, QUERY_TILE), p.n_heads, p.n_batch);
}

/* Keys that the queries of a workgroup go through, blocks that are not full counted whole. */
static uint32_t keys_seen(const pm_dispatch *d, uint32_t n_keys) {
    const uint32_t band = PM_MASK_CAUSAL | PM_MASK_WINDOW;
    uint32_t mask = d->spec[PM_SPEC_MASK], window = d->spec[PM_SPEC_WINDOW], tile = d->spec[3];
    if ((mask & (band | PM_MASK_GLOBAL)) != band || window >= n_keys) return n_keys;
    return n_keys - window > tile ? window + tile : n_keys;
}

static bool attention_suits_subgroups(const pm_caps *caps, const pm_dispatch *d) {
    return is_vector_of_eight(caps) && caps->subgroup_arithmetic && attention_fills_tiles(caps, d);
}

static void attention_subgroup(const pm_caps *caps, pm_dispatch *d) {
    attention_tiled(caps, d);
    set_local(d, SUBGROUP, 1);
}

/* A block of keys: products over the head's size, masks of each query, then all keys for each 64 of the head's size. */
static uint64_t attention_subgroup_loops(const pm_dispatch *d) {
    pm_attention_params p;
    memcpy(&p, d->params, sizeof p);
    uint32_t size = d->spec[PM_SPEC_HEAD_SIZE];
    return (uint64_t)ceil_div(keys_seen(d, p.n_keys), 32) *
               (size + ceil_div(size, 32) + QUERY_TILE + 32 * ceil_div(size, 64) + 4) +
           3 * QUERY_TILE;
}

static void attention_online(const pm_caps *caps, pm_dispatch *d) {
    pm_attention_params p;
    (void)caps;
    memcpy(&p, d->params, sizeof p);
    set_local(d, ATTENTION_LOCAL, 1);
    d->spec[3] = 1; /* queries of a workgroup */
    set_groups(d, p.n_queries, p.n_heads, p.n_batch);
}

/* A block of keys: tiles of 32 along the head's size, each loaded and multiplied, for scores and for values. */
static uint64_t attention_tiled_loops(const pm_dispatch *d) {
    pm_attention_params p;
    memcpy(&p, d->params, sizeof p);
    return (uint64_t)ceil_div(keys_seen(d, p.n_keys), 32) *
           (104ull * ceil_div(d->spec[PM_SPEC_HEAD_SIZE], 32) + 8);
}

/* A block of keys: a product over the head's size, then all keys for each of an invocation's values. */
static uint64_t attention_online_loops(const pm_dispatch *d) {
    pm_attention_params p;
    memcpy(&p, d->params, sizeof p);
    uint64_t size = d->spec[PM_SPEC_HEAD_SIZE], values = ceil_div((uint32_t)size, ATTENTION_LOCAL);
    return (uint64_t)ceil_div(keys_seen(d, p.n_keys), ATTENTION_LOCAL) *
           ((size + size / 16) * (1 + d->spec[PM_SPEC_PLACES]) +
            values * (ATTENTION_LOCAL + ATTENTION_LOCAL / 8) + 16);
}

/* ---- the table ---- */

static const row rows[] = {
    {PM_VARIANT_UNARY_F32, NULL, by_elements, NULL},
    {PM_VARIANT_BINARY_F32, NULL, by_elements, NULL},
    {PM_VARIANT_WHERE_F32, NULL, by_elements, NULL},
    {PM_VARIANT_REDUCE_F32, NULL, by_rows, row_loops},
    {PM_VARIANT_ARGMAX_F32, NULL, by_rows, row_loops},
    {PM_VARIANT_TOP_K_F32, NULL, by_rows, top_k_loops},
    {PM_VARIANT_SAMPLE_F32, NULL, by_sampled_rows, sample_loops},
    {PM_VARIANT_SOFTMAX_F32, NULL, by_rows, row_loops},
    {PM_VARIANT_LOG_SOFTMAX_F32, NULL, by_rows, row_loops},
    {PM_VARIANT_LAYER_NORM_F32_SUBGROUP, rows_suit_subgroups, by_subgroup_rows, row_loops},
    {PM_VARIANT_LAYER_NORM_F32, NULL, by_rows, row_loops},
    {PM_VARIANT_RMS_NORM_F32_SUBGROUP, rows_suit_subgroups, by_subgroup_rows, row_loops},
    {PM_VARIANT_RMS_NORM_F32, NULL, by_rows, row_loops},
    {PM_VARIANT_MATMUL_F32_F32_VEC, has_few_rows, matmul_vec, matmul_vec_loops},
    {PM_VARIANT_MATMUL_F32_F32_SUBGROUP, suits_subgroups, matmul_subgroup, matmul_subgroup_loops},
    {PM_VARIANT_MATMUL_F32_F32_TILED8, fills_large_tiles, matmul_tiled8, matmul_tiled_loops},
    {PM_VARIANT_MATMUL_F32_F32_TILED, NULL, matmul_tiled, matmul_tiled_loops},
    {PM_VARIANT_MATMUL_F32_F32_VEC, NULL, matmul_vec, matmul_vec_loops}, /* sums too long for tiles */
    {PM_VARIANT_GROUPED_F32_F32_TILED, has_many_pairs, grouped_tiled, grouped_tiled_loops},
    {PM_VARIANT_GROUPED_F32_F32_VEC, NULL, grouped_vec, grouped_vec_loops},
    {PM_VARIANT_ATTENTION_F32_F32_SUBGROUP, attention_suits_subgroups, attention_subgroup,
     attention_subgroup_loops},
    {PM_VARIANT_ATTENTION_F32_F32_TILED, attention_fills_tiles, attention_tiled, attention_tiled_loops},
    {PM_VARIANT_ATTENTION_F32_F32_ONLINE, attention_has_room, attention_online, attention_online_loops},
    {PM_VARIANT_GATHER_F32, NULL, by_elements, NULL},
    {PM_VARIANT_CACHE_WRITE_F32, NULL, by_elements, NULL},
    {PM_VARIANT_ADVANCE_I32, NULL, by_elements, NULL},
    {PM_VARIANT_ROTARY_F32, NULL, by_elements, NULL},
    {PM_VARIANT_REL_SHIFT_F32, NULL, by_elements, NULL},
};

static bool groups_fit(const pm_caps *caps, const pm_dispatch *d) {
    for (int i = 0; i < 3; i++)
        if (d->groups[i] > caps->max_groups[i]) return false;
    return true;
}

static pm_status refuse(const pm_caps *caps, const pm_dispatch *d, const char *why) {
    const char *what = d->label ? d->label : pm_kernel_get(d->kernel)->name;
    return pm_raise(PM_ERR_DEVICE, "selection: no variant of kernel %s fits %s on device %s: %s",
                    pm_kernel_get(d->kernel)->name, what, caps->name, why);
}

/* Why a configured dispatch cannot be: false, and nothing written, when it can. */
static bool describe_limit(const pm_caps *caps, const row *r, const pm_dispatch *d, char *out, size_t bytes) {
    if (!groups_fit(caps, d))
        snprintf(out, bytes,
                 "%" PRIu32 " x %" PRIu32 " x %" PRIu32 " workgroups, at most %" PRIu32 " x %" PRIu32
                 " x %" PRIu32 " are possible",
                 d->groups[0], d->groups[1], d->groups[2], caps->max_groups[0], caps->max_groups[1],
                 caps->max_groups[2]);
    else if (caps->max_loops && r->loops && r->loops(d) > caps->max_loops)
        snprintf(out, bytes, "%" PRIu64 " iterations of loops, its driver does at most %" PRIu32, r->loops(d),
                 caps->max_loops);
    else
        return false;
    return true;
}

pm_status pm_select(const pm_caps *caps, pm_dispatch *d) {
    char why[256] = "too little shared memory";
    bool tried = false; /* the first reason counts: it speaks of the variant that was meant for it */
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        const row *r = &rows[i];
        if (pm_variant_get(r->variant)->kernel != d->kernel || (r->fits && !r->fits(caps, d))) continue;
        d->variant = r->variant;
        memset(d->spec, 0, PM_SPEC_OP * sizeof d->spec[0]);
        r->configure(caps, d);
        char limit[sizeof why];
        if (!describe_limit(caps, r, d, limit, sizeof limit)) return PM_OK;
        if (!tried) memcpy(why, limit, sizeof why);
        tried = true;
    }
    return refuse(caps, d, why);
}
