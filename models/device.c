/* See pumice/device.h: a thin public face of runtime/executor.h. Never starts Vulkan by itself. */
#include "models/device_data.h"

#include <stdio.h>

pm_status pm_device_open(const char *spec, const pm_device_options *options, pm_device **out_device) {
    pm_executor_options o = {0};
    *out_device = NULL;
    if (options) {
        o.n_threads = options->n_threads;
        o.validate = options->validate;
        o.profile = options->profile;
        o.max_block_bytes = options->max_block_bytes;
        o.max_memory_bytes = options->max_memory_bytes;
        o.broken_kernel = options->test_break_kernel;
    }
    pm_device *d = pm_calloc(1, sizeof *d);
    if (!d) return PM_ERR_MEMORY;
    pm_status s = pm_executor_open(spec ? spec : "auto", &o, &d->executor);
    d->max_memory_bytes = o.max_memory_bytes;
    if (s == PM_OK)
        *out_device = d;
    else
        pm_free(d);
    return s;
}

void pm_device_close(pm_device *d) {
    if (!d) return;
    pm_executor_close(d->executor);
    pm_free(d);
}

const char *pm_device_name(const pm_device *d) {
    return pm_executor_name(d->executor);
}

const char *pm_device_note(const pm_device *d) {
    return pm_executor_note(d->executor);
}

const char *pm_device_memory_note(pm_device *d) {
    return pm_executor_memory_note(d->executor);
}

bool pm_device_is_software(const pm_device *d) {
    const pm_caps *caps = pm_executor_caps(d->executor);
    return !caps->vulkan || caps->type == PM_DEVICE_CPU || caps->type == PM_DEVICE_SOFTWARE_GPU;
}

const char *pm_device_messages(const pm_device *d) {
    return pm_executor_messages(d->executor);
}

void pm_device_get_stats(const pm_device *d, pm_device_stats *out_stats) {
    pm_executor_stats s;
    pm_executor_get_stats(d->executor, &s);
    *out_stats = (pm_device_stats){.n_runs = s.n_runs,
                                   .n_submits = s.n_submits,
                                   .n_recordings = s.n_recordings,
                                   .host_ns = s.host_ns,
                                   .device_ns = s.device_ns,
                                   .store_bytes = s.store_bytes,
                                   .arena_bytes = s.arena_bytes,
                                   .n_pipelines = s.n_pipelines,
                                   .n_messages = s.n_messages,
                                   .host_bytes = s.host_bytes,
                                   .slot_bytes = s.slot_bytes};
}

pm_status pm_device_trace(pm_device *const *devices, size_t n, char **out_json) {
    pm_text events = {0}, all = {0};
    uint32_t left_out = 0;
    *out_json = NULL;
    for (size_t i = 0; i < n; i++) {
        const pm_trace *t = pm_executor_trace(devices[i]->executor);
        pm_trace_print(t, pm_device_name(devices[i]), (uint32_t)i + 1, &events);
        left_out += t->n_left_out;
    }
    pm_text_add(
        &all,
        "{\"displayTimeUnit\": \"ns\", \"otherData\": {\"producer\": \"pumice\", \"runs_left_out\": %u}, \"traceEvents\": [\n",
        (unsigned)left_out);
    if (events.data) pm_text_add_bytes(&all, events.data, events.length);
    pm_text_add(&all, "\n]}\n");
    pm_status s = pm_text_status(&events);
    if (s == PM_OK) s = pm_text_status(&all);
    pm_text_free(&events);
    if (s == PM_OK)
        *out_json = all.data;
    else
        pm_text_free(&all);
    return s;
}

/* ---- the list ---- */

static const char *type_name(const pm_caps *c) {
    switch (c->type) {
    case PM_DEVICE_CPU: return "CPU";
    case PM_DEVICE_SOFTWARE_GPU: return "software GPU";
    case PM_DEVICE_VIRTUAL_GPU: return "virtual GPU";
    case PM_DEVICE_INTEGRATED_GPU: return "integrated GPU";
    case PM_DEVICE_DISCRETE_GPU: return "discrete GPU";
    case PM_DEVICE_OTHER: break;
    }
    return "other";
}

static const struct {
    pm_quirk bit;
    const char *name;
} quirk_names[] = {{PM_QUIRK_SHORT_SUBMITS, "short_submits"},
                   {PM_QUIRK_NO_SQUARE_WORKGROUPS, "no_square_workgroups"},
                   {PM_QUIRK_FEW_LOOPS, "few_loops"}};

/* What the strings of one device need, all in the block behind the list. */
typedef struct device_strings {
    char name[256], driver[256], spec[32], quirks[64];
} device_strings;

static void describe(const pm_caps *c, uint32_t vulkan_index, device_strings *text, pm_device_info *out) {
    snprintf(text->name, sizeof text->name, "%s", c->name);
    snprintf(text->driver, sizeof text->driver, "%s", c->driver);
    if (c->vulkan)
        snprintf(text->spec, sizeof text->spec, "vulkan:%u", (unsigned)vulkan_index);
    else
        snprintf(text->spec, sizeof text->spec, "%.31s", c->name);
    for (size_t i = 0, used = 0; i < PM_COUNT(quirk_names); i++)
        if (c->quirks & (uint32_t)quirk_names[i].bit)
            used += (size_t)snprintf(text->quirks + used, sizeof text->quirks - used, "%s%s", used ? "," : "",
                                     quirk_names[i].name);
    *out = (pm_device_info){
        .name = text->name,
        .driver = text->driver,
        .type = type_name(c),
        .spec = text->spec,
        .quirks = text->quirks,
        .memory_bytes = c->memory_bytes,
        .max_block_bytes = c->max_block_bytes,
        .max_binding_bytes = c->max_binding_bytes,
        .subgroup_min = c->subgroup_min,
        .subgroup_max = c->subgroup_max,
        .shared_bytes = c->shared_bytes,
        .api_version = c->api_version,
        .f16_storage = c->f16_storage,
        .f16_arithmetic = c->f16_arithmetic,
        .i8_storage = c->i8_storage,
        .i8_arithmetic = c->i8_arithmetic,
        .cooperative_matrix = c->cooperative_matrix,
        .timestamps = c->timestamps,
        .unified_memory = c->unified_memory,
        .skips_halted = c->skips_halted,
    };
}

pm_status pm_device_list(pm_device_info **out_list, size_t *out_n, const char **out_note) {
    pm_caps *caps = NULL;
    size_t n = 0;
    *out_list = NULL;
    *out_n = 0;
    PM_TRY(pm_executor_list(&caps, &n, out_note));
    size_t list_bytes = (size_t)pm_align_up((n + 1) * sizeof(pm_device_info), 16);
    pm_device_info *list = pm_calloc(1, list_bytes + n * sizeof(device_strings));
    if (list) {
        device_strings *text = (device_strings *)(void *)((char *)list + list_bytes);
        uint32_t n_vulkan = 0;
        for (size_t i = 0; i < n; i++) {
            describe(&caps[i], n_vulkan, &text[i], &list[i]);
            n_vulkan += caps[i].vulkan;
        }
        int chosen = pm_choose_device(caps, n, "auto");
        if (chosen >= 0) list[chosen].is_auto = true;
        *out_list = list;
        *out_n = n;
    }
    pm_free(caps);
    return list ? PM_OK : PM_ERR_MEMORY;
}

void pm_device_list_free(pm_device_info *list) {
    pm_free(list);
}
