/* The graph of any decoder-only model: embeddings, one stack, one head or none. Owns no names: the spec has them. */
#include "models/pooling.h"
#include "models/stack.h"

/* A label for each text, from its last token that is not padding; which that is the ids say, as in that library, or else
 * the mask. */
static pm_tensor *classify(pm_build *b, pm_tensor *x, pm_tensor *ids, pm_tensor *keys) {
    const pm_spec *spec = &b->model->spec;
    int32_t pad = b->model->info.pad_id;
    if (pad >= 0) keys = pm_ne(b->g, ids, pm_const_i32(b->g, pad));
    x = pm_pool(b, x, keys, PM_POOL_LAST);
    return pm_block_linear(b, x, &spec->head,
                           &(pm_linear_shape){spec->stack[0].width, spec->n_labels, false});
}

static void words(pm_build *b, pm_tensor *x) {
    const pm_spec *spec = &b->model->spec;
    x = pm_block_linear(b, x, &spec->head,
                        &(pm_linear_shape){spec->stack[0].width, spec->embed[0].vocab, false});
    x = pm_block_softcap(b, x, spec->softcap);
    pm_build_output(b, "logits", -1, true, x);
    pm_block_next(b, x);
}

void pm_causal_build(pm_build *b) {
    const pm_spec *spec = &b->model->spec;
    const pm_stack *st = &spec->stack[0];
    const pm_build_options *o = &b->options;
    pm_tensor *ids = pm_build_new_ids(b, "input_ids", o->batch, o->length);
    pm_context context = {.keys =
                              o->key_mask ? pm_build_ids(b, "attention_mask", o->batch, o->length) : NULL};
    pm_build_label(b, "embed", -1, NULL);
    pm_tensor *x = pm_block_embed(b, &spec->embed[0], st->width, ids, NULL);
    x = pm_stack_layers(b, st, x, &context);
    if (o->kind == PM_BUILD_STEP) x = pm_block_last_row(b, x);
    x = pm_stack_finish(b, st, x);
    if (!spec->head.weight) pm_build_output(b, "last_hidden_state", -1, true, x);
    if (o->kind == PM_BUILD_FORWARD) pm_pool_outputs(b, x, context.keys);
    pm_build_label(b, "head", -1, NULL);
    if (spec->head.weight && spec->n_labels)
        pm_build_output(b, "logits", -1, true, classify(b, x, ids, context.keys));
    else if (spec->head.weight)
        words(b, x);
}
