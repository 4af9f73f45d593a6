/* pumice run: one forward pass on the tensors of a safetensors file. */
#include "cli/cli.h"

#include <inttypes.h>
#include <time.h>

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

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

int cmd_run(int argc, char **argv) {
    const char *device = "auto", *inputs_path = NULL, *outputs_path = NULL, *want = "";
    bool json = false, validate = false;
    const cli_flag flags[] = {
        {"--inputs", CLI_STRING, &inputs_path, "FILE",
         "safetensors with in.input_ids, in.attention_mask, ...; of a text in parts in.segment.0, in.segment.1, ...",
         0, 0},
        {"--outputs|-o", CLI_STRING, &outputs_path, "FILE", "where out.logits, ... go", 0, 0},
        {"--want", CLI_STRING, &want, "LIST",
         "only these outputs: logits,attentions; final: the last ones alone", 0, 0},
        CLI_DEVICE_FLAG(&device),
        {"--validate", CLI_BOOL, &validate, NULL, "under the Vulkan validation layer", 0, 0},
        {"--json", CLI_BOOL, &json, NULL, "print the names and shapes of the outputs as JSON", 0, 0},
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
    if (code) return code == CLI_HELP ? PM_OK : code;
    if (!inputs_path) return cli_error(PM_ERR_USAGE, "run: --inputs is missing, expected a safetensors file");
    if (!outputs_path) return cli_error(PM_ERR_USAGE, "run: --outputs is missing, expected a path to write");

    cli_place place = {0};
    pm_tensors *in = NULL, *out = NULL;
    pm_status s = pm_tensors_read(inputs_path, &in);
    if (s != PM_OK) return cli_library_error(s);
    code = cli_open(words[0], device, &(pm_device_options){.validate = validate}, &place);
    if (code) goto done;
    double start = now_s();
    s = pm_session_run(place.session, in, want, &out);
    double seconds = now_s() - start;
    if (s == PM_OK) s = pm_tensors_write(out, outputs_path);
    if (s != PM_OK) {
        code = cli_library_error(s);
        goto done;
    }
    if (validate && pm_device_messages(place.device)[0]) {
        code = cli_error(PM_ERR_VERIFY, "the validation layer spoke: %s", pm_device_messages(place.device));
        goto done;
    }
    fprintf(stderr, "pumice: %zu outputs from %s to %s\n", pm_tensors_count(out),
            pm_device_name(place.device), outputs_path);
    print_figures(&place, seconds);
    if (json) code = print_shapes(out);
done:
    pm_tensors_free(out);
    pm_tensors_free(in);
    cli_close(&place);
    return code;
}
