/* What GGUF calls the tensors that Hugging Face's files have, for each architecture, and what its converter did to
 * their elements. Tables; reads no file. */
#ifndef PM_GGUF_NAMES_H
#define PM_GGUF_NAMES_H

#include "models/fix.h"
#include "models/gguf.h"

/* `%` stands for a layer's number; ".weight" and ".bias" follow both names, unless the first has one itself. `*` is the
 * number of an expert: the file has those of all in one tensor, the model one for each. */
typedef struct pm_gguf_name {
    const char *gguf, *hf;
    pm_fix_kind fix;
} pm_gguf_name;

typedef struct pm_gguf_family {
    const char *architecture;
    const pm_gguf_name *const *tables; /* ends with NULL; each ends with a row of NULLs */
} pm_gguf_family;

/* The family of general.architecture. Errors: PM_ERR_FILE names it and those that are read. */
pm_status pm_gguf_family_of(const pm_gguf *g, const pm_gguf_family **out) PM_MUST_USE;

enum { PM_GGUF_KEY_CHARS = 128 };
/* A whole key: one that begins with "." follows the architecture's name. */
void pm_gguf_key(const pm_gguf *g, const char *from, char out[PM_GGUF_KEY_CHARS]);

enum { PM_GGUF_NAME_CHARS = 160 };
/* The Hugging Face name of a tensor, with its `*`, and what is to be done to it; false: the family has no such tensor. */
bool pm_gguf_rename(const pm_gguf_family *f, const char *name, char out[PM_GGUF_NAME_CHARS],
                    pm_fix_kind *out_fix);

/* All tensors of the file under their Hugging Face names, sorted by name, in `arena`; others are left out. A tensor that
 * cannot be fixed gets a refusal. */
pm_status pm_gguf_rename_all(const pm_gguf *g, pm_arena *arena, pm_safetensors *out) PM_MUST_USE;

#endif
