/* A computation's tensors by name, many at once: from a set, from a seed, and back into a set. */
#include "models/compute_data.h"

#include <math.h>
#include <string.h>

#include "models/convert.h"

/* ---- what is given ---- */

/* Whether the program wants the leaf's values: weights and states that nothing depends on are not in it. */
static bool is_used(const pm_compute *c, const pm_given_leaf *leaf) {
    return leaf->kind == PM_GIVEN_INPUT || pm_compute_stored(c, leaf->name);
}

static bool is_given(const pm_compute *c, const pm_given_leaf *leaf) {
    if (leaf->kind == PM_GIVEN_INPUT) return c->inputs[pm_program_input(c->program, leaf->name)];
    const pm_external *e = pm_compute_stored(c, leaf->name);
    return e && pm_executor_has(c->executor, e->name); /* of pieces, the first */
}

const char *pm_compute_missing(const pm_compute *c) {
    for (size_t i = 0; i < c->n_leaves; i++)
        if (c->leaves[i].kind != PM_GIVEN_STATE && is_used(c, &c->leaves[i]) && !is_given(c, &c->leaves[i]))
            return c->leaves[i].name;
    return NULL;
}

static pm_status give(pm_compute *c, const pm_given_leaf *leaf, const void *words) {
    uint64_t bytes = 4 * leaf->n_elems;
    return leaf->kind == PM_GIVEN_INPUT ? pm_compute_input(c, leaf->name, words, bytes)
                                        : pm_compute_put(c, leaf->name, words, bytes);
}

/* ---- from a set ---- */

static pm_status look_up(const pm_tensors *set, const pm_given_leaf *leaf, const pm_array **out) {
    char with_in[256] = "in.";
    bool fits = leaf->kind == PM_GIVEN_INPUT && strlen(leaf->name) + 4 < sizeof with_in;
    if (fits) strcat(with_in, leaf->name);
    const char *refusal = NULL;
    for (int i = 0; i < 2 && !refusal; i++) {
        const char *name = i ? with_in : leaf->name;
        if (i && !fits) break;
        if ((*out = pm_tensors_get(set, name))) return PM_OK;
        refusal = pm_tensors_refusal(set, name);
    }
    return refusal ? pm_raise(PM_ERR_FILE, "tensor %s: %s", leaf->name, refusal) : PM_OK;
}

static pm_status check_shape(const pm_given_leaf *leaf, const pm_array *a) {
    char got[PM_SHAPE_CHARS], want[PM_SHAPE_CHARS];
    if (a->rank == leaf->rank && !memcmp(a->dims, leaf->dims, (size_t)a->rank * sizeof a->dims[0]))
        return PM_OK;
    return pm_raise(PM_ERR_FILE, "tensor %s: has shape %s, the graph's is %s", leaf->name,
                    pm_array_shape(a->rank, a->dims, got), pm_array_shape(leaf->rank, leaf->dims, want));
}

static pm_status convert(const pm_given_leaf *leaf, const pm_array *a, void *words) {
    if (leaf->dtype == PM_F32) return pm_convert_f32(a, words);
    PM_TRY(pm_convert_i32(a, words));
    int32_t *values = words;
    for (uint64_t i = 0, n = pm_array_elems(a); leaf->dtype == PM_BOOL && i < n; i++)
        values[i] = values[i] != 0;
    return PM_OK;
}

pm_status pm_compute_feed(pm_compute *c, const pm_tensors *set) {
    for (size_t i = 0; i < c->n_leaves; i++) {
        const pm_given_leaf *leaf = &c->leaves[i];
        const pm_array *a = NULL;
        if (!is_used(c, leaf)) continue;
        PM_TRY(look_up(set, leaf, &a));
        if (!a) continue;
        PM_TRY(check_shape(leaf, a));
        void *words = pm_alloc(4 * (size_t)pm_array_elems(a));
        if (!words) return PM_ERR_MEMORY;
        pm_status s = convert(leaf, a, words);
        if (s == PM_OK) s = give(c, leaf, words);
        pm_free(words);
        PM_TRY(s);
    }
    return PM_OK;
}

/* ---- from a seed ---- */

static uint64_t next(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Reals of both signs, evenly within 1; those of weights within sqrt(3 / K), so that a product of K terms is no larger
 * than what goes in. */
static void fill(const pm_given_leaf *leaf, uint64_t seed, void *words) {
    uint64_t n = leaf->n_elems, state = seed;
    bool weight = leaf->kind == PM_GIVEN_WEIGHT && leaf->rank >= 2;
    float scale = weight ? sqrtf(3.0f / (float)leaf->dims[leaf->rank - 1]) : 1.0f;
    uint64_t n_ids = leaf->dtype == PM_I32 && leaf->n_ids ? (uint64_t)leaf->n_ids : 2;
    for (const char *at = leaf->name; *at; at++) state = (state ^ (unsigned char)*at) * 1099511628211u;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t z = next(&state);
        if (leaf->dtype == PM_F32)
            ((float *)words)[i] = scale * ((float)(int32_t)(z >> 40) / 8388608.0f - 1.0f); /* 24 bits */
        else
            ((int32_t *)words)[i] = (int32_t)(z % n_ids & INT32_MAX);
    }
}

pm_status pm_compute_feed_random(pm_compute *c, uint64_t seed) {
    for (size_t i = 0; i < c->n_leaves; i++) {
        const pm_given_leaf *leaf = &c->leaves[i];
        if (leaf->kind == PM_GIVEN_STATE || !is_used(c, leaf) || is_given(c, leaf)) continue;
        void *words = pm_alloc(4 * (size_t)leaf->n_elems);
        if (!words) return PM_ERR_MEMORY;
        fill(leaf, seed, words);
        pm_status s = give(c, leaf, words);
        pm_free(words);
        PM_TRY(s);
    }
    return pm_compute_put_zeros(c);
}

/* ---- into a set ---- */

/* Words of a device, in place, to what a set holds. */
static void to_file(pm_dtype type, void *words, uint64_t n) {
    const uint32_t *from = words;
    unsigned char *to = words;
    if (type != PM_BOOL) {
        pm_words_to_file(words, n);
        return;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint32_t word = from[i]; /* read before byte i of it is written */
        to[i] = word != 0;
    }
}

/* The words are the caller's and are changed. */
static pm_status add(pm_tensors *set, pm_array a, void *words, uint64_t bytes) {
    to_file(a.dtype, words, bytes / 4);
    a.data = words;
    return pm_tensors_add(set, &a, NULL);
}

static pm_status add_output(const pm_compute *c, const pm_io *io, pm_tensors *set) {
    pm_array a = {.name = io->name, .dtype = io->dtype, .rank = io->rank};
    memcpy(a.dims, io->dims, sizeof a.dims);
    void *words = pm_alloc((size_t)io->range.bytes);
    if (!words) return PM_ERR_MEMORY;
    pm_status s = pm_loaded_read(c->loaded, (uint32_t)(io - c->program->outputs), words, io->range.bytes);
    if (s == PM_OK) s = add(set, a, words, io->range.bytes);
    pm_free(words);
    return s;
}

static pm_status add_state(const pm_compute *c, const pm_given_leaf *leaf, pm_tensors *set) {
    pm_array a = {.name = leaf->name, .dtype = leaf->dtype, .rank = leaf->rank};
    uint64_t bytes = 4 * leaf->n_elems;
    memcpy(a.dims, leaf->dims, sizeof a.dims);
    void *words = pm_alloc((size_t)bytes);
    if (!words) return PM_ERR_MEMORY;
    pm_status s = pm_executor_get(c->executor, leaf->name, words, bytes);
    if (s == PM_OK) s = add(set, a, words, bytes);
    pm_free(words);
    return s;
}

pm_status pm_compute_results(const pm_compute *c, pm_tensors *set) {
    const pm_program *p = c->program;
    if (!c->loaded) return pm_raise(PM_ERR_USAGE, "results: nothing ran yet");
    for (size_t i = 0; i < c->n_leaves; i++) {
        const pm_given_leaf *leaf = &c->leaves[i];
        if (leaf->kind == PM_GIVEN_STATE && is_used(c, leaf) && pm_program_output(p, leaf->name) < 0)
            PM_TRY(add_state(c, leaf, set));
    }
    for (uint32_t i = 0; i < p->n_outputs; i++) PM_TRY(add_output(c, &p->outputs[i], set));
    return PM_OK;
}
