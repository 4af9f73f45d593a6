/* pumice devices: every device with type, memory, features that matter, quirks in force. */
#include "cli/cli.h"

static json_t *device_json(const pm_device_info *d) {
    return json_pack("{ss ss ss ss ss sI sI sI si si si sb sb sb sb sb sb sb sb sb}", "name", d->name, "spec",
                     d->spec, "type", d->type, "driver", d->driver, "quirks", d->quirks, "memory_bytes",
                     (json_int_t)d->memory_bytes, "max_allocation_bytes", (json_int_t)d->max_block_bytes,
                     "max_binding_bytes", (json_int_t)d->max_binding_bytes, "subgroup_min",
                     (int)d->subgroup_min, "subgroup_max", (int)d->subgroup_max, "shared_bytes",
                     (int)d->shared_bytes, "f16_storage", d->f16_storage, "f16_arithmetic", d->f16_arithmetic,
                     "i8_storage", d->i8_storage, "i8_arithmetic", d->i8_arithmetic, "cooperative_matrix",
                     d->cooperative_matrix, "timestamps", d->timestamps, "unified_memory", d->unified_memory,
                     "skips_halted", d->skips_halted, "auto", d->is_auto);
}

static void print_device(const pm_device_info *d) {
    printf("%-12s %s%s\n", d->spec, d->name, d->is_auto ? "   (what --device auto takes)" : "");
    printf("             %s", d->type);
    if (d->memory_bytes)
        printf(", %.1f GiB, largest allocation %.2f GiB", (double)d->memory_bytes / 1073741824.0,
               (double)d->max_block_bytes / 1073741824.0);
    printf(", driver %s\n", d->driver);
    if (d->api_version)
        printf("             Vulkan %u.%u, subgroup %u..%u, shared memory %u KiB%s%s%s%s%s%s%s%s\n",
               d->api_version >> 22 & 127u, d->api_version >> 12 & 1023u, d->subgroup_min, d->subgroup_max,
               d->shared_bytes / 1024, d->f16_storage ? ", f16 storage" : "",
               d->f16_arithmetic ? ", f16 arithmetic" : "", d->i8_storage ? ", i8 storage" : "",
               d->i8_arithmetic ? ", i8 arithmetic" : "", d->cooperative_matrix ? ", cooperative matrix" : "",
               d->timestamps ? ", timestamps" : "", d->unified_memory ? ", unified memory" : "",
               d->skips_halted ? ", conditional dispatch" : "");
    if (d->quirks[0]) printf("             quirks in force: %s\n", d->quirks);
}

int cmd_devices(int argc, char **argv) {
    bool json = false;
    const cli_flag flags[] = {{"--json", CLI_BOOL, &json, NULL, "print JSON", 0, 0}};
    const cli_usage usage = {
        "devices [--json]", "Lists the devices that --device can name.", "pumice devices", flags, 1, 0, 0};
    char **words;
    size_t n_words;
    int s = cli_parse(argc, argv, &usage, &words, &n_words);
    if (s) return s;

    pm_device_info *list;
    size_t n;
    const char *note;
    pm_status status = pm_device_list(&list, &n, &note);
    if (status != PM_OK) return cli_library_error(status);
    if (note && note[0]) fprintf(stderr, "pumice: note: %s\n", note);
    json_t *all = json ? json_array() : NULL;
    for (size_t i = 0; i < n; i++) {
        if (json)
            json_array_append_new(all, device_json(&list[i]));
        else
            print_device(&list[i]);
    }
    s = json ? cli_print_json(all, JSON_INDENT(2)) : PM_OK;
    pm_device_list_free(list);
    return s;
}
