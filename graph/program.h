/* A program: a flat list of dispatches over planned memory. The one thing that the graph hands to the runtime.
 *
 * Memory is seen as slots. Slots 0 .. n_blocks-1 are the arena's blocks; slot n_blocks + e is external e (a weight or a
 * state, found by name in the executor's store, or the program's own constants or parameter words). A range is
 * (slot, byte offset, bytes). Inputs and outputs are ranges of the arena (or of an external, for outputs).
 * The struct owns all its arrays; pm_program_destroy frees them. Nothing in it changes after lowering.
 */
#ifndef PM_PROGRAM_H
#define PM_PROGRAM_H

#include "graph/base.h"
#include "graph/caps.h"
#include "shaders/common.params.h"

#define PM_MAX_BINDINGS    8
#define PM_MAX_PARAM_BYTES 128

/* Kernels: what a dispatch computes. The CPU executors have one C function each; Vulkan has shader variants. */
typedef enum pm_kernel {
#define PM_KERNEL(id, name, n_bindings, params) PM_KERNEL_##id,
#include "graph/kernels.def"
#undef PM_KERNEL
    PM_N_KERNELS
} pm_kernel;

/* Shader variants: one row a SPIR-V module. */
typedef enum pm_variant {
#define PM_VARIANT(id, ...) PM_VARIANT_##id,
#include "shaders/variants.def"
#undef PM_VARIANT
    PM_N_VARIANTS
} pm_variant;

typedef struct pm_kernel_info {
    const char *name;
    uint32_t
        n_bindings; /* the last one is written (cache_write, advance: read before, too), a product's caches, too */
    uint32_t param_bytes;
} pm_kernel_info;
const pm_kernel_info *pm_kernel_get(pm_kernel k); /* kernels.c */
typedef struct pm_variant_info {
    pm_kernel kernel;
    const char *name; /* <op>_<in>_<acc>_<method> */
} pm_variant_info;
const pm_variant_info *pm_variant_get(pm_variant v);

typedef struct pm_range {
    uint32_t slot;
    uint64_t offset, bytes;
} pm_range;

typedef struct pm_dispatch {
    pm_kernel kernel;
    pm_variant variant;
    uint32_t n_bindings;
    pm_range bindings
        [PM_MAX_BINDINGS]; /* as bound: offset aligned for the device; params hold the rest in elements */
    uint32_t written;      /* bit i: binding i is written */
    uint32_t unused;       /* bit i: binding i stands in for an absent operand or result and is not touched */
    uint32_t param_bytes;
    unsigned char params[PM_MAX_PARAM_BYTES]; /* <op>.params.h */
    uint32_t spec[PM_N_SPEC];
    uint32_t groups[3];
    bool barrier;  /* must wait for the writes and reads of the dispatches before it */
    bool submit;   /* starts a new submission */
    uint64_t cost; /* multiply-adds, or elements moved */
    uint64_t
        loads[PM_MAX_BINDINGS]; /* bytes that its workgroups load from each binding, together (stream.h) */
    uint32_t node;              /* id of the tensor in the planned graph, for dumps */
    const char *label;          /* "op name of the tensor", owned by the program */
} pm_dispatch;

/* A range that is idle from the end of dispatch `dispatch`: the test executor fills it with NaN then. */
typedef struct pm_death {
    uint32_t dispatch;
    pm_range range;
} pm_death;

typedef enum pm_external_kind {
    PM_EXTERNAL_WEIGHT,
    PM_EXTERNAL_STATE,
    PM_EXTERNAL_CONSTANTS,
    PM_EXTERNAL_PARAMS
} pm_external_kind;

typedef struct pm_external {
    pm_external_kind kind;
    const char *name; /* WEIGHT, STATE: the key in the executor's store; others "constants", "params" */
    pm_dtype dtype;
    uint64_t bytes;
    const char *tensor; /* of whose bytes from `first` on it is: itself, or a weight in pieces */
    uint64_t first;
} pm_external;

/* A weight that is larger than one allocation (pm_caps.max_block_bytes) lies in the store in pieces, each a tensor of its own there:
 * rows along its first dim, or along the first one whose entries fit. Rows 0..99 of "w" are "w[0:100]". Pieces are of nearly one size.
 * Dims are dense, elements have 4 bytes. */
typedef struct pm_pieces {
    uint64_t bytes, n;    /* of all; 1: it is whole */
    uint64_t group_bytes; /* cut alike each: all of it, or an entry of a dim that is too large itself */
    uint64_t piece_bytes; /* of each but the last of a group */
    uint64_t row_bytes;
} pm_pieces;
pm_pieces pm_pieces_of(const pm_caps *caps, int32_t rank, const int64_t *dims);
void pm_piece_at(const pm_pieces *p, uint64_t i, uint64_t *out_first, uint64_t *out_bytes);
uint64_t pm_piece_of(const pm_pieces *p, uint64_t byte); /* in which piece it is */
typedef struct pm_piece_name {
    char s[576];
} pm_piece_name;
pm_piece_name pm_piece_name_of(const pm_pieces *p, uint64_t i, const char *prefix, const char *name);

typedef struct pm_io {
    const char *name;
    pm_dtype dtype; /* F32, I32 or BOOL: 32-bit words */
    int32_t rank;
    int64_t dims[PM_MAX_DIMS];
    pm_range range; /* exactly the tensor, dense */
} pm_io;

typedef struct pm_program {
    const char *name;
    uint32_t n_blocks;
    uint64_t *block_bytes;
    uint32_t n_externals;
    pm_external *externals;
    uint32_t n_dispatches;
    pm_dispatch *dispatches;
    uint32_t n_inputs, n_outputs;
    pm_io *inputs, *outputs;
    uint32_t n_params;        /* 32-bit words of the parameter slot */
    const char **param_names; /* word i */
    bool has_halt;            /* a program that feeds itself (pm_loaded_repeat): */
    pm_range
        halt; /* when none of these words is 0, running it again changes no output and nothing that is read later */
    const void *constants; /* contents of the constants external */
    uint64_t constants_bytes;
    uint32_t n_deaths;
    pm_death *deaths; /* ordered by dispatch */
    /* figures for people */
    uint64_t arena_bytes, lower_bound_bytes, largest_tensor_bytes;
    uint32_t n_barriers, n_submits,
        n_fallback;        /* fallback: dispatches that no variant of the device could run */
    uint32_t n_copies;     /* dispatches that only move data: copies, parts of concats, cache writes */
    uint64_t copied_bytes; /* and what they write */
    struct pm_placement
        *placement; /* NULL, or where its weights lie within a limit it was compiled for (placement.h) */
    pm_arena arena;
} pm_program;

void pm_program_destroy(pm_program *p); /* accepts NULL */

/* Of all externals of a kind: what weights and states take in the executor's store. */
uint64_t pm_program_external_bytes(const pm_program *p, pm_external_kind kind);

/* Indices by name; -1 when there is none. */
int pm_program_input(const pm_program *p, const char *name);
int pm_program_output(const pm_program *p, const char *name);
int pm_program_param(const pm_program *p, const char *name);

#endif
