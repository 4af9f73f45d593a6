/* See arch_causal.h. Owns no family: rows and names are in arch_<family>.c. */
#include "models/arch_causal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

const pm_config_field pm_llama_sizes[PM_N_LLAMA_SIZES] = {
    {"vocab_size", PM_CONFIG_INT, offsetof(pm_causal, vocab), PM_CONFIG_REQUIRED, 1, 1 << 24},
    {"max_position_embeddings", PM_CONFIG_INT, offsetof(pm_causal, positions), 2048, 1, 1 << 20},
    {"hidden_size", PM_CONFIG_INT, offsetof(pm_causal, width), PM_CONFIG_REQUIRED, 1, 65536},
    {"num_hidden_layers", PM_CONFIG_INT, offsetof(pm_causal, layers), PM_CONFIG_REQUIRED, 1, 512},
    {"num_attention_heads", PM_CONFIG_INT, offsetof(pm_causal, heads), PM_CONFIG_REQUIRED, 1, 1024},
    {"num_key_value_heads", PM_CONFIG_INT, offsetof(pm_causal, kv_heads), 0, 1, 1024},
    {"head_dim", PM_CONFIG_INT, offsetof(pm_causal, head_dim), 0, 2, 1024},
    {"intermediate_size", PM_CONFIG_INT, offsetof(pm_causal, inner), PM_CONFIG_REQUIRED, 1, 1 << 20},
};

static pm_status check(pm_causal *c, const pm_stack *st) {
    if (!c->kv_heads) c->kv_heads = c->heads;
    if (!c->inner) c->inner = 4 * c->width;
    PM_TRY(pm_check_divides("num_key_value_heads", c->kv_heads, "num_attention_heads", c->heads));
    if (!c->head_dim) PM_TRY(pm_check_divides("num_attention_heads", c->heads, "hidden_size", c->width));
    if (!c->head_dim) c->head_dim = c->width / c->heads;
    return st->rotary ? pm_check_rotary(c->head_dim, c->positions) : PM_OK;
}

/* Biases that the table names and the settings say are not there. */
static void drop_biases(const pm_causal *c, pm_stack *st) {
    pm_pair *attention[] = {&st->self.q, &st->self.k, &st->self.v, &st->self.qkv, &st->self.o};
    pm_pair *mlp[] = {&st->gate, &st->up, &st->gate_up, &st->down};
    for (size_t i = 0; !c->attention_bias && i < PM_COUNT(attention); i++) attention[i]->bias = NULL;
    for (size_t i = 0; !c->mlp_bias && i < PM_COUNT(mlp); i++) mlp[i]->bias = NULL;
}

/* Files of the base model leave the prefix out up to its first dot ("decoder." of OPT's stays), or all of it. NULL when
 * memory is out. */
static const char *find_prefix(pm_model *m, const pm_causal_family *f) {
    const char *const prefixes[] = {f->prefix, strchr(f->prefix, '.') + 1, ""};
    for (size_t i = 0; i < PM_COUNT(prefixes); i++) {
        const char *tokens = pm_model_name(m, prefixes[i], f->tokens);
        if (!tokens) return NULL;
        if (pm_checkpoint_has(&m->checkpoint, tokens)) return prefixes[i];
    }
    return f->prefix;
}

static bool name_all(pm_model *m, const pm_causal_family *f) {
    pm_spec *spec = &m->spec;
    pm_stack *st = &spec->stack[0];
    const char *prefix = find_prefix(m, f);
    if (!prefix) return false;
    pm_pair *norm = &st->final_norm;
    st->prefix = pm_model_name(m, prefix, f->stack.prefix);
    if (norm->weight) norm->weight = pm_model_name(m, prefix, norm->weight);
    if (norm->bias) norm->bias = pm_model_name(m, prefix, norm->bias);
    spec->embed[0].tokens = pm_model_name(m, prefix, f->tokens);
    return st->prefix && (norm->weight || !f->stack.final_norm.weight) &&
           (norm->bias || !f->stack.final_norm.bias) && spec->embed[0].tokens;
}

static void set_sizes(pm_spec *spec, const pm_causal *c) {
    pm_stack *st = &spec->stack[0];
    st->n_layers = c->layers;
    st->width = c->width;
    st->n_heads = c->heads;
    st->n_kv_heads = c->kv_heads;
    st->head_dim = c->head_dim;
    st->ffn = c->inner;
    st->eps = c->eps;
    st->window = c->window;
    st->softcap = c->softcap;
    st->score_scale = c->query_scalar != 0 ? 1 / sqrtf(c->query_scalar) : 0;
    spec->embed[0].vocab = c->vocab;
    spec->softcap = c->final_softcap;
    spec->max_positions = c->positions;
}

pm_status pm_causal_read_head(pm_model *m, const pm_config *c, bool tied, const char *own) {
    const pm_config_field field = {"num_labels", PM_CONFIG_INT, offsetof(pm_spec, n_labels), 0, 1, 1 << 20};
    pm_spec *spec = &m->spec;
    if (strcmp(m->arch->task, "features") == 0) return PM_OK;
    spec->head.weight = tied ? spec->embed[0].tokens : own;
    if (strcmp(m->arch->task, "classify") != 0) return PM_OK;
    spec->head.weight = "score.weight";
    PM_TRY(pm_config_read(c, NULL, &field, 1, spec));
    if (!spec->n_labels) spec->n_labels = (int64_t)pm_config_size(c, "id2label");
    if (!spec->n_labels) spec->n_labels = 2; /* that library's default */
    return PM_OK;
}

pm_status pm_causal_configure(pm_model *m, const pm_config *c, const pm_causal_family *f) {
    pm_causal s = {.tied = true, .attention_bias = true, .mlp_bias = true};
    pm_spec *spec = &m->spec;
    int act;
    for (size_t i = 0; f->tables[i]; i++) PM_TRY(pm_config_read(c, NULL, f->tables[i], f->n_fields[i], &s));
    PM_TRY(check(&s, &f->stack));
    PM_TRY(pm_config_choose(
        c, NULL, &(pm_config_choice){f->act_key, f->act, pm_activation_names, pm_n_activation_names}, &act));
    spec->stack[0] = f->stack;
    set_sizes(spec, &s);
    drop_biases(&s, &spec->stack[0]);
    spec->stack[0].act = pm_activation_of(act);
    spec->stack[0].hidden_out = "hidden_states";
    spec->stack[0].self_out = "attentions";
    if (!name_all(m, f)) return PM_ERR_MEMORY;
    PM_TRY(pm_causal_read_head(m, c, s.tied, f->head));
    if (f->stack.rotary) PM_TRY(pm_rope_read(c, NULL, 10000, &spec->rope[0]));
    return f->adjust ? f->adjust(m, c, &s) : PM_OK;
}

pm_status pm_read_windows(pm_model *m, const pm_config *c, int64_t pattern) {
    static const char *const types[] = {"full_attention", "sliding_attention"};
    pm_stack *st = &m->spec.stack[0];
    bool *windows = pm_arena_alloc(&m->arena, (size_t)st->n_layers * sizeof *windows);
    int *kinds = pm_arena_alloc(&m->arena, (size_t)st->n_layers * sizeof *kinds);
    if (!windows || !kinds) return PM_ERR_MEMORY;
    bool listed = pm_config_has(c, NULL, "layer_types");
    if (listed)
        PM_TRY(pm_config_choose_each(c, &(pm_config_choice){"layer_types", NULL, types, PM_COUNT(types)},
                                     kinds, (size_t)st->n_layers));
    for (int64_t i = 0; i < st->n_layers; i++)
        windows[i] = listed ? kinds[i] == 1 : !pattern || (i + 1) % pattern != 0;
    st->has_window = windows;
    return PM_OK;
}
