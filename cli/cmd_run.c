/* pumice run: one forward pass on the tensors of a safetensors file. */
#include "cli/cli.h"

#include <inttypes.h>

/* The pass with the compilation of its program, and the memory that its tensors took. */
static void print_figures(const cli_place *place, double seconds) {
    pm_program_figures f;
    if (pm_session_figures(place->session, &f) == PM_OK)
        fprintf(stderr, "pumice: arena %" PRIu64 " bytes, %" PRIu32 " dispatches, %.3f s\n", f.arena_bytes,
                f.n_dispatches, seconds);
}

static int print_shapes(const pm_tensors *set) {
    json_t *list = json_object();
    for (size_t i = 0; i < pm_tensors_count(set); i++) {
        const pm_array *a = pm_tensors_at(set, i);
        json_t *dims = json_array();
        for (int k = 0; k < a->rank; k++) json_array_append_new(dims, json_integer(a->dims[k]));
        json_object_set_new(list, a->name,
                            json_pack("{ss so}", "dtype", pm_dtype_name(a->dtype), "shape", dims));
    }
    return cli_print_json(list, JSON_INDENT(2));
}

typedef struct run_flags {
    const char *device, *inputs, *outputs, *want, *trace;
    bool json, validate;
} run_flags;

/* With the model on the device: the pass, and what it gave. */
static int run(const run_flags *f, const cli_place *place, const pm_tensors *in) {
    pm_tensors *out = NULL;
    int code = PM_OK;
    double start = cli_now_ms();
    pm_status s = pm_session_run(place->session, in, f->want, &out);
    double seconds = (cli_now_ms() - start) / 1e3;
    if (s == PM_OK) s = pm_tensors_write(out, f->outputs);
    if (s != PM_OK) {
        code = cli_library_error(s);
    } else if (f->validate && pm_device_messages(place->device)[0]) {
        code = cli_error(PM_ERR_VERIFY, "the validation layer spoke: %s", pm_device_messages(place->device));
    } else {
        fprintf(stderr, "pumice: %zu outputs from %s to %s\n", pm_tensors_count(out),
                pm_device_name(place->device), f->outputs);
        print_figures(place, seconds);
        if (f->json) code = print_shapes(out);
    }
    pm_tensors_free(out);
    return code;
}

int cmd_run(int argc, char **argv) {
    run_flags f = {.device = "auto", .want = ""};
    const cli_flag flags[] = {
        {"--inputs", CLI_STRING, &f.inputs, "FILE",
         "safetensors with in.input_ids, in.attention_mask, ...; of a text in parts in.segment.0, in.segment.1, ...",
         0, 0},
        {"--outputs|-o", CLI_STRING, &f.outputs, "FILE", "where out.logits, ... go", 0, 0},
        {"--want", CLI_STRING, &f.want, "LIST",
         "only these outputs: logits,attentions; final: the last ones alone", 0, 0},
        CLI_DEVICE_FLAG(&f.device),
        CLI_TRACE_FLAG(&f.trace),
        {"--validate", CLI_BOOL, &f.validate, NULL, "under the Vulkan validation layer", 0, 0},
        {"--json", CLI_BOOL, &f.json, NULL, "print the names and shapes of the outputs as JSON", 0, 0},
    };
    const cli_usage usage = {"run MODEL --inputs IN.safetensors --outputs OUT.safetensors",
                             "Runs one forward pass and writes its outputs.",
                             "pumice run tests/data/reference/gpt2 --inputs "
                             "tests/data/reference/gpt2/reference.safetensors --outputs out.safetensors",
                             flags,
                             sizeof flags / sizeof *flags,
                             1,
                             1};
    char **words;
    size_t n_words;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (code) return code;
    if (!f.inputs) return cli_error(PM_ERR_USAGE, "run: --inputs is missing, expected a safetensors file");
    if (!f.outputs) return cli_error(PM_ERR_USAGE, "run: --outputs is missing, expected a path to write");

    cli_place place;
    pm_tensors *in;
    pm_status s = pm_tensors_read(f.inputs, &in);
    if (s != PM_OK) return cli_library_error(s);
    code = cli_open(words[0], f.device,
                    &(pm_device_options){.validate = f.validate, .profile = f.trace != NULL}, &place);
    if (!code) code = run(&f, &place, in);
    if (!code && f.trace) code = cli_write_trace(f.trace, &place.device, 1);
    pm_tensors_free(in);
    cli_close(&place);
    return code;
}
