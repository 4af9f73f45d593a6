/* The settings of a GGUF file as the config.json of its family would have them. */
#ifndef PM_GGUF_CONFIG_H
#define PM_GGUF_CONFIG_H

#include "models/gguf.h"

/* *out_root: a JSON object (json_t *) of the caller's. Errors: PM_ERR_FILE names the file, the key, the value. */
pm_status pm_gguf_config(const pm_gguf *g, void **out_root) PM_MUST_USE;

#endif
