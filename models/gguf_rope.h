/* Rotary settings of a GGUF file as config.json's "rope_parameters". Internal to gguf_config.c. */
#ifndef PM_GGUF_ROPE_H
#define PM_GGUF_ROPE_H

#include "models/gguf.h"

/* partial: the key of how many of a head's elements are turned, where that may be fewer than all; or NULL.
 * *out_object: a json_t * of the caller's. */
pm_status pm_gguf_rope(const pm_gguf *g, const char *partial, double theta, void **out_object) PM_MUST_USE;

#endif
