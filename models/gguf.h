/* GGUF v2 and v3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): metadata and tensor table of a
 * mapped file. Everything is checked against the file's size; nothing is copied but the tables. Knows no model. */
#ifndef PM_GGUF_H
#define PM_GGUF_H

#include "graph/base.h"
#include "models/files.h"
#include "models/safetensors.h"

typedef struct pm_gguf pm_gguf;

/* A string of the file: not zero-terminated. */
typedef struct pm_gguf_text {
    const char *s;
    uint64_t n;
} pm_gguf_text;

/* A text as an error may show it: its beginning, what is not plain ASCII as '?'. */
typedef struct pm_gguf_shown {
    char s[84];
} pm_gguf_shown;
pm_gguf_shown pm_gguf_show(pm_gguf_text t);

/* Errors: PM_ERR_FILE names the file, the key or tensor, the value. */
pm_status pm_gguf_open(const char *path, pm_gguf **out) PM_MUST_USE;
/* The same from memory, which must outlive it. label: the file's name in errors. */
pm_status pm_gguf_parse(const char *label, const unsigned char *data, size_t bytes,
                        pm_gguf **out) PM_MUST_USE;
void pm_gguf_close(pm_gguf *g);              /* accepts NULL */
const char *pm_gguf_label(const pm_gguf *g); /* the file's name in errors */

bool pm_gguf_has(const pm_gguf *g, const char *key);
/* Metadata. Each is false when the key is absent or of another kind; any integer type serves an integer, any number a real. */
bool pm_gguf_int(const pm_gguf *g, const char *key, int64_t *out);
bool pm_gguf_real(const pm_gguf *g, const char *key, double *out);
bool pm_gguf_bool(const pm_gguf *g, const char *key, bool *out);
bool pm_gguf_string(const pm_gguf *g, const char *key, pm_gguf_text *out);
/* Arrays: the number of elements (0: absent or no array), and element i by kind. A bool serves an integer here. */
uint64_t pm_gguf_length(const pm_gguf *g, const char *key);
bool pm_gguf_string_at(const pm_gguf *g, const char *key, uint64_t i, pm_gguf_text *out);
bool pm_gguf_int_at(const pm_gguf *g, const char *key, uint64_t i, int64_t *out);
bool pm_gguf_real_at(const pm_gguf *g, const char *key, uint64_t i, double *out);

/* A tensor, NULL when absent. Its dims are outermost first; its dtype may be one of gguf_quants.h. */
const pm_entry *pm_gguf_find(const pm_gguf *g, const char *name);
const pm_entry *pm_gguf_tensors(const pm_gguf *g, size_t *out_n); /* all of them, by name */

#endif
