/* The names of a classifier's classes: id2label of config.json. */
#include "models/labels.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Whether the model's logits are of classes. */
static bool has_classes(const pm_model *m) {
    static const char *const tasks[] = {"classify", "tag", "see"};
    for (size_t i = 0; i < PM_COUNT(tasks); i++)
        if (strcmp(m->arch->task, tasks[i]) == 0) return true;
    return false;
}

/* Without problem_type a single number is a probability, as that library's pipelines have it. */
static pm_status read_kind(pm_model *m, const pm_config *c) {
    static const char *const kinds[] = {"single_label_classification", "multi_label_classification",
                                        "regression"};
    int kind = m->spec.n_labels == 1 ? PM_CLASS_MANY : PM_CLASS_ONE;
    pm_config_choice choice = {"problem_type", NULL, kinds, PM_COUNT(kinds)};
    if (pm_config_has(c, NULL, choice.key)) PM_TRY(pm_config_choose(c, NULL, &choice, &kind));
    m->class_kind = (pm_class_kind)kind;
    return PM_OK;
}

pm_status pm_labels_read(pm_model *m, const pm_config *c) {
    const json_t *names = json_object_get(c->root, "id2label");
    if (!has_classes(m)) return PM_OK;
    PM_TRY(read_kind(m, c));
    m->labels = pm_arena_alloc(&m->arena, (size_t)m->spec.n_labels * sizeof *m->labels);
    if (!m->labels) return PM_ERR_MEMORY;
    for (int64_t i = 0; i < m->spec.n_labels; i++) {
        char key[24], unnamed[32];
        snprintf(key, sizeof key, "%lld", (long long)i);
        snprintf(unnamed, sizeof unnamed, "LABEL_%lld", (long long)i); /* as that library calls them */
        const json_t *name =
            json_is_array(names) ? json_array_get(names, (size_t)i) : json_object_get(names, key);
        m->labels[i] = pm_arena_strdup(&m->arena, json_is_string(name) ? json_string_value(name) : unnamed);
        if (!m->labels[i]) return PM_ERR_MEMORY;
    }
    return PM_OK;
}

const char *pm_model_label(const pm_model *m, int64_t i) {
    return m->labels && i >= 0 && i < m->spec.n_labels ? m->labels[i] : NULL;
}

size_t pm_model_n_labels(const pm_model *m) {
    return m->labels ? (size_t)m->spec.n_labels : 0;
}

pm_class_kind pm_model_class_kind(const pm_model *m) {
    return m->class_kind;
}
