/* Verification of a session's programs (pm_session_verify): gives runtime/verify.h every program that the
 * model runs, with true inputs and with caches that hold true keys. */
#include <string.h>

#include "models/loop.h"
#include "runtime/verify.h"

enum { MADE_UP_LENGTH = 8, PREFILL = 8 };

/* Inputs and parameters of one program by name. */
typedef struct named_words {
    const char *name;
    const void *words;
} named_words;
typedef struct feed {
    const char *name; /* of the program, for people */
    named_words inputs[PM_N_INPUTS];
    int64_t position, last_row, source_length;
} feed;

typedef struct checker {
    pm_session *s;
    const char *dump_dir;
    pm_verify_report *report;
} checker;

static const void *find_words(const feed *f, const char *name) {
    for (int i = 0; i < PM_N_INPUTS; i++)
        if (f->inputs[i].name && strcmp(f->inputs[i].name, name) == 0) return f->inputs[i].words;
    return NULL;
}

static int32_t find_param(const feed *f, const char *name) {
    if (strcmp(name, "position") == 0) return (int32_t)f->position;
    if (strcmp(name, "last_row") == 0) return (int32_t)f->last_row;
    return (int32_t)f->source_length;
}

static pm_status check(const checker *c, const pm_ready *r, const feed *f) {
    const pm_program *p = r->program;
    const void **inputs = pm_calloc(p->n_inputs, sizeof *inputs);
    int32_t *params = pm_calloc(p->n_params, sizeof *params);
    pm_status s = inputs && params ? PM_OK : PM_ERR_MEMORY;
    for (uint32_t i = 0; s == PM_OK && i < p->n_inputs; i++) {
        inputs[i] = find_words(f, p->inputs[i].name);
        if (!inputs[i])
            s = pm_raise(PM_ERR_OTHER, "verify: program %s wants input %s", f->name, p->inputs[i].name);
    }
    for (uint32_t i = 0; s == PM_OK && i < p->n_params; i++) params[i] = find_param(f, p->param_names[i]);
    pm_verify_job job = {.name = f->name,
                         .program = p,
                         .device = c->s->executor,
                         .inputs = inputs,
                         .params = params,
                         .dump_dir = c->dump_dir};
    if (s == PM_OK) s = pm_verify_program(&job, c->report);
    pm_free(inputs);
    pm_free(params);
    return s;
}

static pm_status check_forward(const checker *c, const pm_inputs *in, const char *name, const char *want) {
    feed f = {.name = name};
    pm_ready *r;
    for (int i = 0; i < PM_N_INPUTS; i++)
        f.inputs[i] =
            (named_words){pm_given_words(&in->in[i]) ? in->in[i].name : NULL, pm_given_words(&in->in[i])};
    PM_TRY(pm_session_forward(c->s, in, want, &r));
    return check(c, r, &f);
}

/* A segment on the memory that the same one has left. */
static pm_status check_segment(const checker *c, const pm_inputs *in) {
    const pm_given *ids = &in->in[PM_INPUT_IDS];
    const pm_recurrence *re = &c->s->model->spec.recurrence;
    pm_segment at = {.number = -1, .batch = ids->dims[0], .length = ids->dims[1], .want = "final"};
    feed f = {.name = "segment", .inputs = {{ids->name, ids->values}}};
    pm_ready *r;
    PM_TRY(pm_segment_program(c->s, &at, &r));
    PM_TRY(pm_ready_write(r, ids->name, ids->values, (size_t)pm_given_elems(ids)));
    PM_TRY(pm_loaded_run(r->loaded));
    at.memory = at.length - re->skipped < re->rows ? at.length - re->skipped : re->rows;
    if (at.memory < 1) return PM_OK;
    PM_TRY(pm_segment_program(c->s, &at, &r));
    return check(c, r, &f);
}

/* The programs of generation, on the first row of the inputs: encode, prefill, one step behind it. */
static pm_status check_generation(const checker *c, const pm_inputs *in) {
    bool seq2seq = c->s->model->arch->encoder_decoder;
    const pm_given *ids = &in->in[PM_INPUT_IDS], *target = seq2seq ? &in->in[PM_INPUT_DECODER_IDS] : ids;
    int64_t limit = c->s->model->spec.max_positions;
    int64_t n = target->dims[1] < PREFILL ? target->dims[1] : PREFILL;
    int32_t padded[PREFILL] = {0}, *source = NULL;
    pm_decoder d;
    pm_ready *r;
    pm_status s;
    memcpy(padded, target->values, (size_t)n * sizeof *padded);
    PM_TRY(pm_decoder_open(&d, c->s, 1, n + 1 < limit ? n + 1 : limit));
    if (c->s->model->spec.recurrence.on) {
        PM_TRY(pm_decoder_places(&d, &r));
        PM_TRY(check(c, r, &(feed){.name = "distances"}));
    }
    feed f = {.inputs = {{target->name, padded}}, .last_row = n - 1};
    if (c->s->model->spec.front) {
        const pm_given *signal = &in->in[PM_INPUT_SIGNAL];
        PM_TRY(pm_decoder_encode_signal(&d, signal->reals));
        PM_TRY(check(c, d.encoder, &(feed){.name = "encode", .inputs = {{signal->name, signal->reals}}}));
    } else if (seq2seq) {
        PM_TRY(pm_decoder_encode(&d, ids->values, (size_t)ids->dims[1]));
        source = pm_calloc((size_t)d.source, sizeof *source);
        if (!source) return PM_ERR_MEMORY;
        memcpy(source, ids->values, (size_t)ids->dims[1] * sizeof *source);
        f.source_length = d.source_length;
        PM_GOTO(check(
            c, d.encoder,
            &(feed){.name = "encode", .inputs = {{ids->name, source}}, .source_length = d.source_length}));
    }
    if (d.cache >= PREFILL) {
        f.name = "prefill";
        PM_GOTO(pm_decoder_program(&d, PREFILL, &r));
        PM_GOTO(check(c, r, &f));
    }
    PM_GOTO(pm_decoder_feed(&d, padded, (size_t)(n < limit ? n : limit - 1)));
    PM_GOTO(pm_decoder_program(&d, 1, &r));
    f.name = "decode";
    f.position = d.position;
    f.last_row = 0;
    PM_GOTO(check(c, r, &f));
    uint32_t sampling[PM_SAMPLE_WORDS]; /* `decode` has what chooses the likeliest */
    pm_sampling_words(&(pm_generate_options){.top_p = 0.95f, .seed = 1}, sampling);
    pm_loop loop = {.sampling = sampling};
    f.name = "loop";
    f.inputs[1] = (named_words){"sampling", sampling};
    pm_turn turn = {.ids = padded, .n_ids = (size_t)n};
    s = pm_loop_prepare(&loop, &d, &turn, &r);
    if (s == PM_OK) s = check(c, r, &f);
    pm_loop_free(&loop);
fail:
    pm_free(source);
    return s;
}

/* The loop of two sequences, of which one has half of the other's ids: the program where all that differs from row to row does. */
static pm_status check_rows(const checker *c, const pm_inputs *in) {
    const pm_model *m = c->s->model;
    bool seq2seq = m->arch->encoder_decoder;
    const pm_given *ids = &in->in[PM_INPUT_IDS], *target = seq2seq ? &in->in[PM_INPUT_DECODER_IDS] : ids;
    size_t limit = (size_t)m->spec.max_positions, n_source = (size_t)ids->dims[1],
           n = (size_t)target->dims[1];
    pm_decoder d;
    pm_ready *r;
    if (m->spec.front || m->spec.recurrence.on) return PM_OK; /* one after the other */
    n = n < limit - 1 ? n : limit - 1;
    const pm_ids sources[2] = {{ids->values, n_source}, {ids->values, (n_source + 1) / 2}};
    const pm_ids parts[2] = {{target->values, n}, {target->values, (n + 1) / 2}};
    PM_TRY(pm_decoder_open_rows(&d, c->s, 2, (int64_t)n + 1));
    if (seq2seq) PM_TRY(pm_decoder_encode_rows(&d, sources));
    PM_TRY(pm_decoder_feed_rows(&d, parts));
    pm_loop loop = {0};
    const pm_turn turns[2] = {{.ids = parts[0].ids, .n_ids = parts[0].n},
                              {.ids = parts[1].ids, .n_ids = parts[1].n}};
    feed f = {.name = "loop of two", .inputs = {{"source_length", d.source_lengths}}};
    pm_status s = pm_loop_prepare(&loop, &d, turns, &r);
    if (s == PM_OK) s = check(c, r, &f);
    pm_loop_free(&loop);
    return s;
}

pm_status pm_session_verify(pm_session *s, const pm_tensors *inputs, const char *dump_dir,
                            pm_verify_report *out_report) {
    pm_inputs in;
    checker c = {s, dump_dir, out_report};
    *out_report = (pm_verify_report){.first_out = -1, .bit_equal = true};
    PM_TRY(inputs ? pm_inputs_read(s->model, inputs, &in) : pm_inputs_make_up(s->model, MADE_UP_LENGTH, &in));
    pm_status status = check_forward(&c, &in, "all outputs", "");
    if (status == PM_OK) status = check_forward(&c, &in, "forward", "final");
    if (status == PM_OK && s->model->spec.recurrence.on) status = check_segment(&c, &in);
    bool generates = s->model->arch->decoder && s->model->spec.max_positions > 1;
    if (status == PM_OK && generates) status = check_generation(&c, &in);
    if (status == PM_OK && generates) status = check_rows(&c, &in);
    pm_inputs_free(&in);
    if (status == PM_OK) return pm_verify_verdict(out_report);
    pm_verify_report_free(out_report);
    return status;
}
