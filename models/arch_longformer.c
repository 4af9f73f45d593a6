/* Longformer (Beltagy, Peters, Cohan 2020): RoBERTa whose tokens see their neighbours, and global tokens that see all and
 * are seen by all. See sparse_attention in stack.c, and docs/design.md for the mask. */
#include "models/arch_encoder.h"

#include <inttypes.h>

static const pm_config_field fields[] = {
    PM_BERT_FIELDS,
    PM_ENCODER_INT("pad_token_id", pad, 1, 0, 1 << 24),
};

/* A window counts the keys of both sides. */
static pm_status read_reach(pm_model *m, const pm_config *c) {
    const pm_config_field field = {.key = "attention_window", .fallback = 512, .min = 2, .max = 1 << 20};
    pm_stack *st = &m->spec.stack[0];
    size_t n = (size_t)st->n_layers;
    int64_t *reach = pm_arena_alloc(&m->arena, n * sizeof *reach);
    if (!reach) return PM_ERR_MEMORY;
    PM_TRY(pm_config_ints(c, &field, reach, n));
    for (size_t i = 0; i < n; i++) {
        if (reach[i] % 2)
            return pm_raise(PM_ERR_FILE,
                            "config.json: attention_window is %" PRId64 ", expected an even number",
                            reach[i]);
        reach[i] /= 2;
        if (reach[i] > st->longest_reach) st->longest_reach = reach[i];
    }
    st->reach = reach;
    return PM_OK;
}

static pm_status adjust(pm_model *m, const pm_config *c, const pm_encoder *s) {
    const pm_config_field field = {"sep_token_id", PM_CONFIG_INT, 0, 2, 0, 1 << 24};
    pm_encoder_task task = pm_encoder_task_of(m);
    int64_t separator;
    (void)s;
    PM_TRY(pm_config_read(c, NULL, &field, 1, &separator));
    m->spec.separator = (int32_t)separator;
    m->spec.global = task == PM_ENCODER_CLASSIFY ? PM_GLOBAL_FIRST
                     : task == PM_ENCODER_ANSWER ? PM_GLOBAL_QUESTION
                                                 : PM_GLOBAL_NONE;
    m->spec.stack[0].global = (pm_attention_names){.q = PM_ENCODER_PAIR("attention.self.query_global"),
                                                   .k = PM_ENCODER_PAIR("attention.self.key_global"),
                                                   .v = PM_ENCODER_PAIR("attention.self.value_global")};
    return read_reach(m, c);
}

static const pm_encoder_family longformer = {
    .fields = fields,
    .n_fields = PM_COUNT(fields),
    .prefix = "longformer.",
    PM_BERT_BODY,
    .counted = true,
    .heads = PM_ROBERTA_HEADS,
    .adjust = adjust,
};

pm_status pm_longformer_configure(pm_model *m, const pm_config *c) {
    return pm_encoder_configure(m, c, &longformer);
}
