/* pumice verify: each operation on the device against the reference executor. Exit 1 when anything is out of bounds. */
#include <stdlib.h>
#include <string.h>

#include "cli/verify_report.h"

/* TEXT becomes the inputs of a forward pass. */
static pm_status inputs_of_text(const cli_place *p, const char *text, pm_tensors **out) {
    int32_t *ids = NULL;
    size_t n;
    pm_status s = pm_model_encode(p->model, text, &ids, &n);
    if (s == PM_OK) s = pm_session_inputs(p->session, ids, n, out);
    pm_release(ids);
    return s;
}

int cmd_verify(int argc, char **argv) {
    const char *device = "auto", *inputs_path = NULL, *dump_dir = NULL;
    bool json = false, all = false, validate = false;
    const cli_flag flags[] = {
        CLI_DEVICE_FLAG(&device),
        {"--inputs", CLI_STRING, &inputs_path, "FILE", "safetensors with the inputs; default: made-up ids", 0,
         0},
        {"--dump", CLI_STRING, &dump_dir, "DIR", "write the offending tensors there as .npy", 0, 0},
        {"--all", CLI_BOOL, &all, NULL, "a line for every operation", 0, 0},
        {"--validate", CLI_BOOL, &validate, NULL, "under the Vulkan validation layer", 0, 0},
        {"--json", CLI_BOOL, &json, NULL, "print JSON", 0, 0},
    };
    const cli_usage usage = {"verify MODEL [TEXT]",
                             "Runs each operation on the device and on the reference executor.",
                             "pumice verify numbers-en-zh --device vulkan",
                             flags,
                             sizeof flags / sizeof *flags,
                             1,
                             2};
    char **words;
    size_t n_words;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (code) return code;
    if (inputs_path && n_words == 2)
        return cli_error(PM_ERR_USAGE, "verify: both --inputs and TEXT were given, expected one");

    cli_place place;
    code = cli_open(words[0], device, &(pm_device_options){.validate = validate}, &place);
    if (code) return code;
    pm_tensors *in = NULL;
    pm_verify_report report = {.first_out = -1};
    pm_status s = PM_OK;
    if (inputs_path) s = pm_tensors_read(inputs_path, &in);
    if (n_words == 2) s = inputs_of_text(&place, words[1], &in);
    if (s == PM_OK) s = pm_session_verify(place.session, in, dump_dir, &report);
    if ((s == PM_OK || s == PM_ERR_VERIFY) && json)
        code = cli_print_json(cli_verify_report_json(&report, pm_device_name(place.device)), JSON_INDENT(2));
    else if (s == PM_OK || s == PM_ERR_VERIFY)
        cli_print_verify_report(&report, all);
    if (s != PM_OK) code = cli_library_error(s);
    if (!code && validate && pm_device_messages(place.device)[0])
        code = cli_error(PM_ERR_VERIFY, "the validation layer spoke: %s", pm_device_messages(place.device));
    pm_verify_report_free(&report);
    pm_tensors_free(in);
    cli_close(&place);
    return code;
}
