/* Transformer-XL (Dai et al. 2019) as Hugging Face kept it: one qkv matrix, distances by a sinusoid and a matrix of each
 * layer, adaptive embedding and softmax with clusters of words. The graph is in transfo_xl.c. */
#include "models/arch.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    MAX_TOKENS = 1 << 16
}; /* no position is learned: a limit for what is fed at once, and of a generation */

typedef struct settings {
    int64_t vocab, width, embed, heads, head_dim, inner, div, layers, rows, skipped, clamp, kind;
    float eps;
    bool same_length, norm_first, untied_r, tied, tied_too, shared_projection;
} settings;

static const pm_config_field fields[] = {
    {"vocab_size", PM_CONFIG_INT, offsetof(settings, vocab), PM_CONFIG_REQUIRED, 1, 1 << 24},
    {"d_model", PM_CONFIG_INT, offsetof(settings, width), PM_CONFIG_REQUIRED, 2, 65536},
    {"d_embed", PM_CONFIG_INT, offsetof(settings, embed), 0, 1, 65536},
    {"n_head", PM_CONFIG_INT, offsetof(settings, heads), PM_CONFIG_REQUIRED, 1, 1024},
    {"d_head", PM_CONFIG_INT, offsetof(settings, head_dim), PM_CONFIG_REQUIRED, 1, 1024},
    {"d_inner", PM_CONFIG_INT, offsetof(settings, inner), PM_CONFIG_REQUIRED, 1, 1 << 20},
    {"div_val", PM_CONFIG_INT, offsetof(settings, div), 4, 1, 65536},
    {"n_layer", PM_CONFIG_INT, offsetof(settings, layers), PM_CONFIG_REQUIRED, 1, 512},
    {"mem_len", PM_CONFIG_INT, offsetof(settings, rows), 1600, 0, MAX_TOKENS},
    {"ext_len", PM_CONFIG_INT, offsetof(settings, skipped), 0, 0, MAX_TOKENS},
    {"clamp_len", PM_CONFIG_INT, offsetof(settings, clamp), 1000, -1, 1 << 24},
    {"attn_type", PM_CONFIG_INT, offsetof(settings, kind), 0, 0, 0},
    {"layer_norm_epsilon", PM_CONFIG_REAL, offsetof(settings, eps), 1e-5, 0, 1},
    {"same_length", PM_CONFIG_BOOL, offsetof(settings, same_length), 1, 0, 1},
    {"pre_lnorm", PM_CONFIG_BOOL, offsetof(settings, norm_first), 0, 0, 1},
    {"untie_r", PM_CONFIG_BOOL, offsetof(settings, untied_r), 1, 0, 1},
    {"tie_word_embeddings", PM_CONFIG_BOOL, offsetof(settings, tied), 1, 0, 1},
    {"tie_weight", PM_CONFIG_BOOL, offsetof(settings, tied_too), 1, 0, 1},
    {"proj_share_all_but_first", PM_CONFIG_BOOL, offsetof(settings, shared_projection), 1, 0, 1},
};

static const pm_stack names = {
    .label = "layers",
    .norm = PM_NORM_LAYER,
    .causal = true,
    .self = {.qkv = {"dec_attn.qkv_net.weight", NULL}, .o = {"dec_attn.o_net.weight", NULL}},
    .self_norm = {"dec_attn.layer_norm.weight", "dec_attn.layer_norm.bias"},
    .ffn_norm = {"pos_ff.layer_norm.weight", "pos_ff.layer_norm.bias"},
    .up = {"pos_ff.CoreNet.0.weight", "pos_ff.CoreNet.0.bias"},
    .down = {"pos_ff.CoreNet.3.weight", "pos_ff.CoreNet.3.bias"},
    .self_out = "attentions",
};

static pm_status check(const settings *c) {
    if (c->width % 2)
        return pm_raise(PM_ERR_FILE, "config.json: d_model is %" PRId64 ", expected an even number",
                        c->width);
    if (c->same_length && c->rows == 0)
        return pm_raise(PM_ERR_FILE,
                        "config.json: same_length is true and mem_len is 0, which leaves no key to a query");
    return PM_OK;
}

/* ---- clusters ---- */

/* First ids of the clusters, then the vocabulary's size. */
static pm_status read_cutoffs(const pm_config *config, const settings *c, int64_t *ends, int *out_n) {
    int32_t cutoffs[PM_MAX_CLUSTERS - 1];
    size_t n;
    PM_TRY(pm_config_ids(config, "cutoffs", cutoffs, PM_COUNT(cutoffs), &n));
    ends[0] = 0;
    for (size_t i = 0; i < n; i++) {
        if (cutoffs[i] <= ends[i] || cutoffs[i] >= c->vocab)
            return pm_raise(PM_ERR_FILE,
                            "config.json: cutoffs has %d at %zu, expected ids that rise from %" PRId64
                            " and stay below vocab_size, which is %" PRId64,
                            (int)cutoffs[i], i, i ? ends[i] + 1 : 1, c->vocab);
        ends[i + 1] = cutoffs[i];
    }
    ends[n + 1] = c->vocab;
    *out_n = (int)n + 1;
    return PM_OK;
}

static const char *numbered(pm_model *m, const char *text, int i) {
    char name[96];
    snprintf(name, sizeof name, "%s.%d", text, i);
    return pm_model_name(m, "", name);
}

static pm_pair numbered_pair(pm_model *m, const char *text, int i) {
    const char *name = numbered(m, text, i);
    return name ? (pm_pair){pm_model_name(m, name, ".weight"), pm_model_name(m, name, ".bias")}
                : (pm_pair){NULL, NULL};
}

static bool is_named(const pm_cluster *c, bool projected, bool biased) {
    return c->table.weight && (c->project || !projected) && (c->table.bias || !biased);
}

static const char embeddings[] = "transformer.word_emb.emb_layers",
                  inward[] = "transformer.word_emb.emb_projs", outputs[] = "crit.out_layers",
                  outward[] = "crit.out_projs";

/* How the words of one side are kept. */
typedef struct layout {
    const char *tables, *projects;
    bool biased, apart, projected;
} layout;

static bool has(const pm_model *m, const char *text, const char *end) {
    char name[96];
    snprintf(name, sizeof name, "%s%s", text, end);
    return pm_checkpoint_has(&m->checkpoint, name);
}

/* Without a div_val the authors' code keeps all words in one table, and has no matrices where d_embed is d_model; there are
 * checkpoints with a table and a matrix a cluster, though. What the file has says which. */
static layout find_layout(const pm_model *m, const settings *c, bool output) {
    layout l = {output ? outputs : embeddings, output ? outward : inward, output, c->div != 1,
                c->div != 1 || c->embed != c->width};
    l.apart |= has(m, l.tables, output ? ".1.bias" : ".1.weight"); /* weights may be left out, tied */
    l.projected |= has(m, l.projects, ".0");
    return l;
}

/* Cluster i's vectors are shorter by div_val^i. */
static pm_status make_clusters(pm_model *m, const settings *c, const int64_t *ends, int n, const layout *l,
                               pm_cluster *out) {
    int64_t width = c->embed;
    for (int i = 0; i < n; i++, width /= c->div) {
        int64_t words = ends[i + 1] - ends[i];
        if (!width)
            return pm_raise(PM_ERR_FILE,
                            "config.json: d_embed is %" PRId64 ", expected enough for div_val %" PRId64
                            " and %d clusters",
                            c->embed, c->div, n);
        out[i] = (pm_cluster){.first = ends[i], .n = words, .rows = words, .width = width};
        if (!l->apart) out[i].row = ends[i], out[i].rows = c->vocab;
        out[i].table = numbered_pair(m, l->tables, l->apart ? i : 0);
        if (l->projected) out[i].project = numbered(m, l->projects, i);
        if (!is_named(&out[i], l->projected, l->biased)) return PM_ERR_MEMORY;
    }
    return PM_OK;
}

/* The output's tables may be the embedding's, and so may its matrices. */
static pm_status tie(const pm_config *config, const settings *c, const pm_adaptive *a, const pm_cluster *in,
                     pm_cluster *out) {
    for (int i = 0; i < a->n_out; i++) {
        const pm_cluster *from = &in[a->n_in == 1 ? 0 : i];
        bool tied = c->shared_projection && i > 0, alike = from->rows == out[i].rows;
        if (c->tied && c->tied_too && alike) out[i].table.weight = from->table.weight;
        PM_TRY(pm_config_flag_of(config, "tie_projs", (size_t)i, &tied));
        if (tied && out[i].project && from->project) out[i].project = from->project;
    }
    return PM_OK;
}

/* Gates stand as the clusters do in what Hugging Face trained and converted, whose class writes one of these keys; the
 * authors' code took them from the end. "cluster_order" says it outright. */
static pm_status read_order(const pm_config *config, bool *out_backwards) {
    static const char *const orders[] = {"rising", "falling"};
    bool converted =
        pm_config_has(config, NULL, "transformers_version") || pm_config_has(config, NULL, "sample_softmax");
    int order;
    PM_TRY(pm_config_choose(
        config, NULL, &(pm_config_choice){"cluster_order", orders[!converted], orders, PM_COUNT(orders)},
        &order));
    *out_backwards = order == 1;
    return PM_OK;
}

static pm_status read_words(pm_model *m, const pm_config *config, const settings *c) {
    pm_adaptive *a = &m->spec.adaptive;
    int64_t ends[PM_MAX_CLUSTERS + 1];
    int n = 0;
    PM_TRY(read_cutoffs(config, c, ends, &n));
    pm_cluster *in = pm_arena_alloc(&m->arena, (size_t)n * sizeof *in),
               *out = pm_arena_alloc(&m->arena, (size_t)n * sizeof *out);
    if (!in || !out) return PM_ERR_MEMORY;
    const layout inside = find_layout(m, c, false), outside = find_layout(m, c, true);
    PM_TRY(make_clusters(m, c, ends, n, &inside, in));
    PM_TRY(make_clusters(m, c, ends, n, &outside, out));
    *a = (pm_adaptive){.n_in = inside.apart ? n : 1,
                       .n_out = n,
                       .in = in,
                       .out = out,
                       .gates = {"crit.cluster_weight", "crit.cluster_bias"}};
    if (!inside.apart) in[0].n = c->vocab;
    PM_TRY(tie(config, c, a, in, out));
    return read_order(config, &a->gates_backwards);
}

/* ---- the whole ---- */

static pm_recurrence recurrence_of(const settings *c) {
    return (pm_recurrence){.on = true,
                           .rows = c->rows,
                           .skipped = c->skipped,
                           .farthest = c->clamp > 0 ? c->clamp : 0,
                           .same_length = c->same_length,
                           .r = {"dec_attn.r_net.weight", NULL},
                           .u = c->untied_r ? "dec_attn.r_w_bias" : "transformer.r_w_bias",
                           .v = c->untied_r ? "dec_attn.r_r_bias" : "transformer.r_r_bias",
                           .shared_u_and_v = !c->untied_r};
}

pm_status pm_transfo_xl_configure(pm_model *m, const pm_config *config) {
    settings c;
    pm_spec *spec = &m->spec;
    pm_stack *st = &spec->stack[0];
    PM_TRY(pm_config_read(config, NULL, fields, PM_COUNT(fields), &c));
    if (!c.embed) c.embed = c.width;
    PM_TRY(check(&c));
    *st = names;
    st->prefix = "transformer.layers.";
    st->n_layers = c.layers;
    st->width = c.width;
    st->n_heads = st->n_kv_heads = c.heads;
    st->head_dim = c.head_dim;
    st->ffn = c.inner;
    st->eps = c.eps;
    st->norm_first = c.norm_first;
    spec->recurrence = recurrence_of(&c);
    spec->embed[0].vocab = c.vocab;
    spec->max_positions = MAX_TOKENS;
    return read_words(m, config, &c);
}
