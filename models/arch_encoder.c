/* See arch_encoder.h. Owns no family: rows and names are in arch_<family>.c. */
#include "models/arch_encoder.h"

#include <inttypes.h>
#include <string.h>

static const char *const tasks[PM_N_ENCODER_TASKS] = {"features", "fill",   "classify",
                                                      "tag",      "answer", "detect"};

pm_encoder_task pm_encoder_task_of(const pm_model *m) {
    for (int i = 0; i < PM_N_ENCODER_TASKS; i++)
        if (strcmp(m->arch->task, tasks[i]) == 0) return (pm_encoder_task)i;
    return PM_ENCODER_FEATURES;
}

pm_pair pm_encoder_pair(pm_model *m, const char *prefix, const char *name) {
    const char *full = pm_model_name(m, prefix, name),
               *gamma = full ? pm_model_name(m, full, ".gamma") : NULL;
    if (!gamma) return (pm_pair){0};
    if (pm_checkpoint_has(&m->checkpoint, gamma)) return (pm_pair){gamma, pm_model_name(m, full, ".beta")};
    return (pm_pair){pm_model_name(m, full, ".weight"), pm_model_name(m, full, ".bias")};
}

pm_status pm_encoder_want_absolute(const pm_config *c) {
    static const char *const positions[] = {"absolute"};
    int position;
    return pm_config_choose(c, NULL, &(pm_config_choice){"position_embedding_type", "absolute", positions, 1},
                            &position);
}

static pm_status check(const pm_config *c, const pm_encoder_family *f, pm_encoder *s) {
    const char *heads = f->fields[0].key, *width = heads;
    for (size_t i = 0; i < f->n_fields; i++) {
        if (f->fields[i].offset == offsetof(pm_encoder, heads)) heads = f->fields[i].key;
        if (f->fields[i].offset == offsetof(pm_encoder, width)) width = f->fields[i].key;
    }
    PM_TRY(pm_check_divides(heads, s->heads, width, s->width));
    if (s->decoder) return pm_raise(PM_ERR_FILE, "config.json: is_decoder is true, expected false");
    if (f->counted && s->positions < s->pad + 2)
        return pm_raise(PM_ERR_FILE,
                        "config.json: max_position_embeddings is %" PRId64 ", expected more than %" PRId64
                        " with pad_token_id %" PRId64,
                        s->positions, s->pad + 1, s->pad);
    if (!s->labels) s->labels = (int64_t)pm_config_size(c, "id2label");
    if (!s->labels) s->labels = 2; /* that library's default */
    if (!s->embedding) s->embedding = s->width;
    return PM_OK;
}

/* ---- names ---- */

static bool name_body(pm_model *m, const pm_encoder_family *f, const char *prefix) {
    pm_embedding *e = &m->spec.embed[0];
    pm_stack *st = &m->spec.stack[0];
    const char **inside[] = {&e->tokens,           &e->positions,          &e->types,           &st->prefix,
                             &st->relative.weight, &st->final_norm.weight, &st->final_norm.bias};
    const char *const names[] = {f->tokens,
                                 f->positions,
                                 f->types,
                                 f->stack.prefix,
                                 f->stack.relative.weight,
                                 f->stack.final_norm.weight,
                                 f->stack.final_norm.bias};
    for (size_t i = 0; i < PM_COUNT(inside); i++) {
        *inside[i] = names[i] ? pm_model_name(m, prefix, names[i]) : NULL;
        if (names[i] && !*inside[i]) return false;
    }
    if (f->norm) e->norm = pm_encoder_pair(m, prefix, f->norm);
    if (f->project && e->width != st->width) e->project = pm_encoder_pair(m, prefix, f->project);
    return (!f->norm || e->norm.bias) && (!f->project || e->width == st->width || e->project.bias);
}

static const char *either(const pm_model *m, const char *first, const char *second) {
    const pm_checkpoint *c = &m->checkpoint;
    return pm_checkpoint_has(c, first) || !pm_checkpoint_has(c, second) ? first : second;
}

/* The last layer of FILL is the embedding, or one of its own; its bias may stand in the file under two names. */
static void name_fill(pm_model *m, const pm_head_names *names, bool tied) {
    pm_pair *out = &m->spec.last.out;
    if (names->tied_bias)
        out->bias = tied ? either(m, names->tied_bias, out->bias) : either(m, out->bias, names->tied_bias);
    if (tied) out->weight = m->spec.embed[0].tokens;
}

static bool name_head(pm_model *m, const pm_encoder_family *f, const char *prefix, const pm_encoder *s) {
    pm_encoder_task task = pm_encoder_task_of(m);
    const pm_head_names *names = &f->heads[task];
    pm_head *h = &m->spec.last;
    const int64_t rows[] = {0, s->vocab, s->labels, s->labels, 2, 1};
    *h = (pm_head){.pick = names->pick, .rows = rows[task]};
    h->inner = task == PM_ENCODER_FILL ? s->embedding : s->width;
    h->act = names->stack_act ? m->spec.stack[0].act : names->act;
    if (names->dense) h->dense = pm_encoder_pair(m, names->dense_inside ? prefix : "", names->dense);
    if (names->norm) h->norm = pm_encoder_pair(m, "", names->norm);
    if (names->out) h->out = pm_encoder_pair(m, "", names->out);
    if ((names->dense && !h->dense.bias) || (names->norm && !h->norm.bias) || (names->out && !h->out.bias))
        return false;
    if (task == PM_ENCODER_FEATURES && h->dense.weight && !pm_checkpoint_has(&m->checkpoint, h->dense.weight))
        h->dense = (pm_pair){0}; /* many files leave the pooler out */
    if (task == PM_ENCODER_FILL) name_fill(m, names, s->tied);
    return true;
}

/* ---- the whole ---- */

static void set_sizes(pm_spec *spec, const pm_encoder_family *f, const pm_encoder *s) {
    pm_stack *st = &spec->stack[0];
    pm_embedding *e = &spec->embed[0];
    *st = f->stack;
    st->n_layers = s->layers;
    st->width = s->width;
    st->n_heads = st->n_kv_heads = s->heads;
    st->head_dim = s->width / s->heads;
    st->ffn = s->inner;
    st->eps = s->eps;
    st->hidden_out = "hidden_states";
    st->self_out = "attentions";
    *e = (pm_embedding){.vocab = s->vocab, .n_types = s->types, .width = s->embedding};
    spec->max_positions = s->positions;
    spec->n_labels = s->labels;
    if (!f->counted) return;
    e->counted = true;
    e->blank = (int32_t)s->pad;
    e->skipped = s->pad + 1;
    spec->max_positions -= e->skipped;
}

/* Files of the base model have names without the prefix. */
static const char *find_prefix(pm_model *m, const pm_encoder_family *f) {
    return pm_checkpoint_has(&m->checkpoint, f->tokens) ? "" : f->prefix;
}

pm_status pm_encoder_configure(pm_model *m, const pm_config *c, const pm_encoder_family *f) {
    pm_encoder s = {.tied = true, .eps = 1e-12f, .pad = 1};
    int act;
    PM_TRY(pm_config_read(c, NULL, f->fields, f->n_fields, &s));
    PM_TRY(check(c, f, &s));
    PM_TRY(pm_config_choose(
        c, NULL, &(pm_config_choice){f->act_key, f->act, pm_activation_names, pm_n_activation_names}, &act));
    set_sizes(&m->spec, f, &s);
    m->spec.stack[0].act = pm_activation_of(act);
    const char *prefix = find_prefix(m, f);
    if (!name_body(m, f, prefix) || !name_head(m, f, prefix, &s)) return PM_ERR_MEMORY;
    return f->adjust ? f->adjust(m, c, &s) : PM_OK;
}
