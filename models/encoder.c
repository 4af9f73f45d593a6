/* The graph of encoders (see arch_encoder.h): embedding, layers, and the head of the task. */
#include "models/arch_encoder.h"
#include "models/pooling.h"
#include "models/stack.h"

static pm_tensor *pick(pm_build *b, const pm_head *head, pm_tensor *x, pm_tensor *keys) {
    if (head->pick == PM_PICK_ALL) return x;
    return pm_pool(b, x, keys, head->pick == PM_PICK_MEAN ? PM_POOL_MEAN : PM_POOL_CLS);
}

/* What the head's last layer is given, *out_n wide, of hidden states x[B,T,C]; keys: I32 [B,T], absent tokens are 0; or NULL. */
static pm_tensor *build_inner(pm_build *b, const pm_head *head, pm_tensor *x, pm_tensor *keys,
                              int64_t *out_n) {
    const pm_stack *st = &b->model->spec.stack[0];
    int64_t n = st->width;
    pm_build_label(b, "head", -1, NULL);
    x = pick(b, head, x, keys);
    if (head->dense.weight) {
        x = pm_block_linear(b, x, &head->dense, &(pm_linear_shape){n, head->inner, false});
        x = pm_block_activation(b, x, head->act);
        n = head->inner;
    }
    if (head->norm.weight) x = pm_block_norm(b, x, &(pm_norm){PM_NORM_LAYER, st->eps, false}, &head->norm);
    *out_n = n;
    return x;
}

static pm_tensor *build_head(pm_build *b, const pm_head *head, pm_tensor *x, pm_tensor *keys) {
    int64_t n;
    x = build_inner(b, head, x, keys, &n);
    return head->out.weight ? pm_block_linear(b, x, &head->out, &(pm_linear_shape){n, head->rows, false}) : x;
}

/* Row i of the last layer alone, [B,T]: as an output of its own it is a product of its own. */
static pm_tensor *build_row(pm_build *b, const pm_head *head, pm_tensor *x, int64_t n, int64_t i) {
    const int64_t dims[] = {pm_tensor_dim(x, 0), pm_tensor_dim(x, 1)};
    pm_tensor *w = pm_build_weight(b, head->out.weight, 2, (int64_t[]){head->rows, n});
    x = pm_matmul(b->g, x, pm_slice(b->g, w, 0, i, 1));
    if (head->out.bias)
        x = pm_add(b->g, x, pm_slice(b->g, pm_build_weight(b, head->out.bias, 1, &head->rows), 0, i, 1));
    return pm_reshape(b->g, x, 2, dims);
}

/* Column i of x[B,T,n]: [B,T]. */
static pm_tensor *column(pm_build *b, pm_tensor *x, int64_t i) {
    int64_t dims[] = {pm_tensor_dim(x, 0), pm_tensor_dim(x, 1)};
    return pm_reshape(b->g, pm_slice(b->g, x, 2, i, 1), 2, dims);
}

/* The outputs that the task has, from the last hidden states. */
static void build_outputs(pm_build *b, pm_tensor *x, pm_tensor *keys) {
    const pm_head *last = &b->model->spec.last;
    pm_encoder_task task = pm_encoder_task_of(b->model);
    pm_pool_outputs(b, x, keys);
    if (task == PM_ENCODER_FEATURES) {
        pm_build_output(b, "last_hidden_state", -1, true, x);
        if (last->dense.weight) pm_build_output(b, "pooler_output", -1, true, build_head(b, last, x, keys));
        return;
    }
    if (task == PM_ENCODER_ANSWER) {
        int64_t n;
        x = build_inner(b, last, x, keys, &n);
        if (!x) return;
        pm_build_output(b, "start_logits", -1, true, build_row(b, last, x, n, 0));
        pm_build_output(b, "end_logits", -1, true, build_row(b, last, x, n, 1));
        return;
    }
    pm_tensor *y = build_head(b, last, x, keys);
    if (y) pm_build_output(b, "logits", -1, true, task == PM_ENCODER_DETECT ? column(b, y, 0) : y);
}

/* Which tokens are global, and which are not. */
static void find_globals(pm_build *b, pm_context *context) {
    pm_graph *g = b->g;
    const pm_build_options *o = &b->options;
    pm_global how = b->model->spec.global;
    pm_tensor *keys = context->keys ? pm_cast(g, context->keys, PM_BOOL) : NULL, *is = NULL;
    if (how == PM_GLOBAL_OFF) return;
    if (o->globals)
        is = pm_cast(g, pm_build_ids(b, "global_attention_mask", o->batch, o->length), PM_BOOL);
    else if (how == PM_GLOBAL_FIRST && !o->global_mask)
        is = pm_reshape(g, pm_eq(g, pm_iota(g, o->length), pm_const_i32(g, 0)), 2, (int64_t[]){1, o->length});
    if (is && keys) is = pm_and(g, is, keys);
    context->globals = is;
    context->n_globals = o->globals ? o->globals : 1;
    context->local = is && keys ? pm_and(g, keys, pm_not(g, is)) : is ? pm_not(g, is) : keys;
}

void pm_encoder_build(pm_build *b) {
    const pm_spec *spec = &b->model->spec;
    const pm_stack *st = &spec->stack[0];
    const pm_build_options *o = &b->options;
    pm_tensor *ids = pm_build_ids(b, "input_ids", o->batch, o->length);
    pm_tensor *types = o->types ? pm_build_ids(b, "token_type_ids", o->batch, o->length) : NULL;
    pm_tensor *keys = o->key_mask ? pm_build_ids(b, "attention_mask", o->batch, o->length) : NULL;
    pm_context context = {.keys = keys};
    find_globals(b, &context);
    pm_build_label(b, "embeddings", -1, NULL);
    pm_tensor *x = pm_block_embed(b, &spec->embed[0], st->width, ids, types);
    x = pm_stack_finish(b, st, pm_stack_layers(b, st, x, &context));
    if (x) build_outputs(b, x, keys);
}
