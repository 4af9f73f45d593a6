/* A model on a device: weights in the device's store, programs compiled once a shape, states that programs
 * use. */
#ifndef PM_SESSION_H
#define PM_SESSION_H

#include "graph/compile.h"
#include "models/build.h"
#include "models/device_data.h"
#include "models/inputs.h"

/* A compiled graph, loaded on the device. */
typedef struct pm_ready {
    char *key;
    pm_program *program;
    pm_loaded *loaded;
    uint64_t used; /* the session's clock at the last use */
    uint64_t made; /* and when it was loaded: no other program has this */
} pm_ready;

enum { PM_MAX_READY = 48 }; /* programs that a session keeps; the longest unused one goes */

struct pm_session {
    const pm_model *model;
    pm_device *device;
    pm_executor *executor;
    char prefix[24]; /* of this session's names in the store: "s3/" */
    pm_ready *ready[PM_MAX_READY];
    size_t n_ready;
    uint64_t clock;
    char **made; /* names in the store: states and tables that its programs use */
    size_t n_made, made_capacity;
    pm_program_figures figures; /* of the last forward run */
    int32_t decoder_start;      /* id that decoders of encoder-decoders begin with; -1: unknown */
};

/* Makes the graph of a key that is not cached. */
typedef pm_status (*pm_make_graph)(pm_session *s, const void *context, pm_graph **out_graph);
/* The program of `key`, compiled and loaded when it is not there; states that it names exist then (zeros when
 * new). A pm_ready is good until the next PM_MAX_READY - 1 calls. */
pm_status pm_session_ready(pm_session *s, const char *key, pm_make_graph make, const void *context,
                           pm_ready **out) PM_MUST_USE;
/* The same for a graph of the model. The session fills the prefix of weights. */
pm_status pm_session_program(pm_session *s, const pm_build_options *options, pm_ready **out) PM_MUST_USE;

/* Unloads every program that uses a state, and drops the states that no program uses then. */
void pm_session_forget(pm_session *s, const char *state);
/* The same for the caches of decoders of more than `most` sequences, but for those of `n`. */
void pm_session_forget_caches(pm_session *s, int64_t n, int64_t most);

/* The program of a forward pass on such inputs (run.c). */
pm_status pm_session_forward(pm_session *s, const pm_inputs *inputs, const char *want,
                             pm_ready **out) PM_MUST_USE;

/* Reads all outputs of a program that ran into `set`, as out.NAME, or with segment 0 or more as out.log_probs.SEGMENT,
 * out.mems.SEGMENT.LAYER; and keeps its figures (run.c). */
pm_status pm_session_outputs(pm_session *s, pm_ready *r, int64_t segment, pm_tensors *set) PM_MUST_USE;

/* A segment of a text (segments.c). */
typedef struct pm_segment {
    int64_t number; /* -1: the only one */
    int64_t batch, length;
    int64_t memory; /* tokens before it that the states hold */
    const char *want;
} pm_segment;
/* The program that runs it on the memory in the session's states, and leaves its own there. */
pm_status pm_segment_program(pm_session *s, const pm_segment *at, pm_ready **out) PM_MUST_USE;
bool pm_segments_given(const pm_tensors *inputs); /* whether there is an in.segment.N */
/* Runs in.segment.0, in.segment.1, ..., or in.input_ids, from an empty memory. */
pm_status pm_segments_run(pm_session *s, const pm_tensors *inputs, const char *want,
                          pm_tensors *set) PM_MUST_USE;

/* Of a ready program: parameters and inputs by name; one that the program has no use for is passed over. */
void pm_ready_set(pm_ready *r, const char *param, int64_t value);
pm_status pm_ready_write(pm_ready *r, const char *input, const void *words, size_t n) PM_MUST_USE;
pm_status pm_ready_read(pm_ready *r, const char *output, void *data, uint64_t bytes) PM_MUST_USE;

/* Checks ids against 0 .. vocab-1. */
pm_status pm_check_ids(const char *what, const int32_t *ids, size_t n, int64_t vocab) PM_MUST_USE;

#endif
