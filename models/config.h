/* A JSON file of settings, read through tables: key, type, default, range. Every error is one sentence that
 * names the file, the key and its value. Knows no model. */
#ifndef PM_CONFIG_H
#define PM_CONFIG_H

#include "models/files.h"

typedef struct pm_config {
    const char *label; /* the file's name, for errors */
    void *root;        /* a JSON object */
} pm_config;

/* Reads file `label` of `f`; config.json of a GGUF file is made from its metadata. Errors: PM_ERR_FILE with the line. */
pm_status pm_config_open(const pm_files *f, const char *label, pm_config *out_config) PM_MUST_USE;
void pm_config_close(pm_config *c);

typedef enum pm_config_type {
    PM_CONFIG_INT,  /* int64_t */
    PM_CONFIG_REAL, /* float */
    PM_CONFIG_BOOL  /* bool */
} pm_config_type;

/* One key. A key that is absent or null takes the fallback; PM_CONFIG_REQUIRED as the fallback makes that an
 * error. */
#define PM_CONFIG_REQUIRED (-1e300)
typedef struct pm_config_field {
    const char *key;
    pm_config_type type;
    size_t offset; /* of the member in the caller's struct */
    double fallback, min, max;
} pm_config_field;

/* Fills `out`. inside: the key of an object within the file ("a.b": of one within that), NULL for the file itself;
 * its absence gives all fallbacks. */
pm_status pm_config_read(const pm_config *c, const char *inside, const pm_config_field *fields,
                         size_t n_fields, void *out) PM_MUST_USE;

/* The number of a key's text in a list of texts. fallback NULL: the key is required. */
typedef struct pm_config_choice {
    const char *key, *fallback;
    const char *const *texts;
    size_t n_texts;
} pm_config_choice;
pm_status pm_config_choose(const pm_config *c, const char *inside, const pm_config_choice *choice,
                           int *out) PM_MUST_USE;

/* Each of a list of n texts. */
pm_status pm_config_choose_each(const pm_config *c, const pm_config_choice *choice, int *out,
                                size_t n) PM_MUST_USE;

/* Integers: a list of n, or one for all. Type and offset of the field do not count. */
pm_status pm_config_ints(const pm_config *c, const pm_config_field *field, int64_t *out,
                         size_t n) PM_MUST_USE;

/* A text, or entry 0 of a list of texts; *out is NULL when it is absent; valid until the config is closed. */
pm_status pm_config_text(const pm_config *c, const char *key, const char **out) PM_MUST_USE;
/* An id or a list of ids (end-of-text tokens). *out_n is 0 when the key is absent. */
pm_status pm_config_ids(const pm_config *c, const char *key, int32_t *out, size_t capacity,
                        size_t *out_n) PM_MUST_USE;
/* The same of any length, in `arena`. */
pm_status pm_config_id_list(const pm_config *c, const char *key, pm_arena *arena, int32_t **out,
                            size_t *out_n) PM_MUST_USE;
/* A list of lists of ids: all of them, one behind the other, and where each list ends. */
pm_status pm_config_id_lists(const pm_config *c, const char *key, pm_arena *arena, int32_t **out_ids,
                             size_t **out_ends, size_t *out_n) PM_MUST_USE;
bool pm_config_names(const pm_config *c, const char *key); /* present, be it null */
/* Entry i of a list of truth values. *out is left alone when there is no such list. */
pm_status pm_config_flag_of(const pm_config *c, const char *key, size_t i, bool *out) PM_MUST_USE;
size_t pm_config_size(const pm_config *c, const char *key); /* entries of an object or list; 0 when absent */
bool pm_config_has(const pm_config *c, const char *inside, const char *key); /* present and not null */

#endif
