/* Tokens by text and by id: an open-addressing hash table over one block of bytes. Ids may have holes. */
#include "models/tokenizer/tok_data.h"

#include <inttypes.h>

uint64_t pm_tok_hash(const char *s, size_t n) {
    uint64_t h = 0x9E3779B97F4A7C15u ^ n, word;
    for (; n >= 8; s += 8, n -= 8) {
        memcpy(&word, s, 8);
        h = (h ^ word) * 0xBF58476D1CE4E5B9u;
        h ^= h >> 29;
    }
    word = 0;
    memcpy(&word, s, n);
    h = (h ^ word) * 0x94D049BB133111EBu;
    h ^= h >> 32;
    return (h * 0xBF58476D1CE4E5B9u) ^ (h >> 27);
}

static uint32_t *find_slot(const pm_tok_vocab *v, const char *s, size_t n) {
    size_t mask = v->n_slots - 1;
    for (size_t i = (size_t)pm_tok_hash(s, n) & mask;; i = (i + 1) & mask) {
        uint32_t k = v->slot[i];
        if (k == 0) return &v->slot[i];
        const pm_tok_entry *e = &v->entry[k - 1];
        if (e->n == n && memcmp(v->bytes + e->at, s, n) == 0) return &v->slot[i];
    }
}

static pm_status grow_slots(pm_tok_vocab *v) {
    if (v->n_slots > 2 * (v->n + 1)) return PM_OK;
    uint32_t *old = v->slot;
    size_t n_old = v->n_slots, n = n_old ? 2 * n_old : 64;
    uint32_t *slot = pm_calloc(n, sizeof *slot);
    if (!slot) return PM_ERR_MEMORY;
    v->slot = slot;
    v->n_slots = n;
    for (size_t i = 0; i < n_old; i++)
        if (old[i]) *find_slot(v, v->bytes + v->entry[old[i] - 1].at, v->entry[old[i] - 1].n) = old[i];
    pm_free(old);
    return PM_OK;
}

static pm_status put_id(pm_tok_vocab *v, int64_t id, size_t entry) {
    size_t k = (size_t)id, had = v->by_id_capacity;
    if (k >= had) {
        PM_TRY(pm_grow((void **)&v->by_id, &v->by_id_capacity, k + 1, sizeof *v->by_id));
        memset(v->by_id + had, 0, (v->by_id_capacity - had) * sizeof *v->by_id);
    }
    v->by_id[k] = (uint32_t)entry + 1;
    if (k >= v->n_ids) v->n_ids = k + 1;
    return PM_OK;
}

static pm_status append(pm_tok_vocab *v, const char *s, size_t n, int64_t id, double score) {
    if (id < 0 || id >= PM_TOK_MAX_ID)
        return pm_raise(PM_ERR_FILE, "tokenizer: token \"%.*s\" has id %" PRId64 ", expected 0..%d",
                        (int)(n < 60 ? n : 60), s, id, PM_TOK_MAX_ID - 1);
    if (n > UINT32_MAX / 2 || v->n >= UINT32_MAX / 4)
        return pm_raise(PM_ERR_FILE, "tokenizer: token %" PRId64 " has %zu bytes, too many", id, n);
    PM_TRY(pm_grow((void **)&v->bytes, &v->bytes_capacity, v->n_bytes + n + 1, 1));
    PM_TRY(pm_grow((void **)&v->entry, &v->capacity, v->n + 1, sizeof *v->entry));
    PM_TRY(put_id(v, id, v->n));
    if (n) memcpy(v->bytes + v->n_bytes, s, n);
    v->entry[v->n++] = (pm_tok_entry){v->n_bytes, (uint32_t)n, (int32_t)id, score};
    v->n_bytes += n;
    if (n > v->longest) v->longest = n;
    return PM_OK;
}

pm_status pm_tok_vocab_add(pm_tok_vocab *v, const char *s, size_t n, int64_t id, double score) {
    PM_TRY(grow_slots(v));
    PM_TRY(append(v, s, n, id, score));
    *find_slot(v, s, n) = (uint32_t)v->n;
    return PM_OK;
}

pm_status pm_tok_vocab_add_id(pm_tok_vocab *v, const char *s, size_t n, int64_t id) {
    return append(v, s, n, id, 0);
}

const pm_tok_entry *pm_tok_vocab_find(const pm_tok_vocab *v, const char *s, size_t n) {
    uint32_t k = v->n_slots && n <= v->longest ? *find_slot(v, s, n) : 0;
    return k ? &v->entry[k - 1] : NULL;
}

const pm_tok_entry *pm_tok_vocab_by_id(const pm_tok_vocab *v, int64_t id) {
    uint32_t k = id >= 0 && (uint64_t)id < v->n_ids ? v->by_id[id] : 0;
    return k ? &v->entry[k - 1] : NULL;
}

void pm_tok_vocab_free(pm_tok_vocab *v) {
    pm_free(v->bytes);
    pm_free(v->entry);
    pm_free(v->slot);
    pm_free(v->by_id);
    *v = (pm_tok_vocab){0};
}
