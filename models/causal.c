/* The graph of any decoder-only model: embeddings, one stack, one head. Owns no names: the spec has them. */
#include "models/stack.h"

void pm_causal_build(pm_build *b) {
    const pm_spec *spec = &b->model->spec;
    const pm_stack *st = &spec->stack[0];
    const pm_build_options *o = &b->options;
    pm_tensor *ids = pm_build_ids(b, "input_ids", o->batch, o->length);
    pm_context context = {.keys =
                              o->key_mask ? pm_build_ids(b, "attention_mask", o->batch, o->length) : NULL};
    pm_build_label(b, "embed", -1, NULL);
    pm_tensor *x = pm_block_embed(b, &spec->embed[0], st->width, ids, NULL);
    x = pm_stack_layers(b, st, x, &context);
    if (o->kind == PM_BUILD_STEP) x = pm_block_last_row(b, x);
    x = pm_stack_finish(b, st, x);
    pm_build_label(b, "head", -1, NULL);
    x = pm_block_linear(b, x, &spec->head, &(pm_linear_shape){st->width, spec->embed[0].vocab, false});
    x = pm_block_softcap(b, x, spec->softcap);
    pm_build_output(b, "logits", -1, true, x);
    pm_block_next(b, x);
}
