/* A trie whose edges lie in one hash table: a step is one probe. */
#include "models/tokenizer/tok_data.h"

struct pm_tok_trie_edge {
    uint64_t key; /* (node + 1) << 8 | byte; 0: empty */
    uint32_t to;
};

static size_t probe(const pm_tok_trie *t, uint64_t key) {
    size_t mask = t->n_slots - 1;
    size_t i = (size_t)((key * 0x9E3779B97F4A7C15u) >> 20) & mask;
    while (t->edge[i].key && t->edge[i].key != key) i = (i + 1) & mask;
    return i;
}

static uint64_t edge_key(uint32_t node, unsigned char byte) {
    return ((uint64_t)node + 1) << 8 | byte;
}

static pm_status grow_edges(pm_tok_trie *t) {
    if (t->n_slots > 2 * (t->n_edges + 1)) return PM_OK;
    size_t n_old = t->n_slots;
    struct pm_tok_trie_edge *old = t->edge, *edge = pm_calloc(n_old ? 2 * n_old : 256, sizeof *edge);
    if (!edge) return PM_ERR_MEMORY;
    t->edge = edge;
    t->n_slots = n_old ? 2 * n_old : 256;
    for (size_t i = 0; i < n_old; i++)
        if (old[i].key) t->edge[probe(t, old[i].key)] = old[i];
    pm_free(old);
    return PM_OK;
}

static pm_status add_node(pm_tok_trie *t, uint32_t *out) {
    if (t->n_nodes == UINT32_MAX)
        return pm_raise(PM_ERR_FILE, "tokenizer: the tokens have too many bytes in all");
    PM_TRY(pm_grow((void **)&t->value, &t->value_capacity, t->n_nodes + (size_t)1, sizeof *t->value));
    t->value[t->n_nodes] = -1;
    *out = t->n_nodes++;
    return PM_OK;
}

pm_status pm_tok_trie_add(pm_tok_trie *t, const char *s, size_t n, int64_t value) {
    uint32_t node = 0;
    if (n > PM_TOK_MAX_TOKEN)
        return pm_raise(PM_ERR_FILE, "tokenizer: token \"%.40s...\" has %zu bytes, at most %d were expected",
                        s, n, PM_TOK_MAX_TOKEN);
    if (t->n_nodes == 0) PM_TRY(add_node(t, &node));
    for (size_t i = 0; i < n; i++) {
        PM_TRY(grow_edges(t));
        size_t k = probe(t, edge_key(node, (unsigned char)s[i]));
        if (!t->edge[k].key) {
            uint32_t to = 0;
            PM_TRY(add_node(t, &to));
            t->edge[k] = (struct pm_tok_trie_edge){edge_key(node, (unsigned char)s[i]), to};
            t->n_edges++;
        }
        node = t->edge[k].to;
    }
    t->value[node] = value;
    return PM_OK;
}

bool pm_tok_trie_step(const pm_tok_trie *t, uint32_t *node, unsigned char byte) {
    if (!t->n_slots) return false;
    size_t k = probe(t, edge_key(*node, byte));
    *node = t->edge[k].to;
    return t->edge[k].key != 0;
}

size_t pm_tok_trie_longest(const pm_tok_trie *t, const char *s, size_t n, int64_t *out_value) {
    size_t longest = 0;
    uint32_t node = 0;
    for (size_t i = 0; i < n && pm_tok_trie_step(t, &node, (unsigned char)s[i]); i++)
        if (t->value[node] >= 0) {
            longest = i + 1;
            *out_value = t->value[node];
        }
    return longest;
}

void pm_tok_trie_free(pm_tok_trie *t) {
    pm_free(t->edge);
    pm_free(t->value);
    *t = (pm_tok_trie){0};
}
