/* A LoRA adapter (Hu et al. 2021) as PEFT keeps it: adapter_config.json and adapter_model.safetensors in a folder. Its
 * products are added to the weights when they are read: W + scale B A, scale = alpha / r, or alpha / sqrt(r) of rsLoRA; modules
 * that were trained whole, and biases, take the place of the model's.
 * What else an adapter may hold is refused by name. */
#ifndef PM_LORA_H
#define PM_LORA_H

#include "graph/base.h"

typedef struct pm_lora pm_lora;

/* Errors: PM_ERR_FILE names the file, the key or tensor, the value. */
pm_status pm_lora_open(const char *folder, pm_lora **out) PM_MUST_USE;
void pm_lora_close(pm_lora *l); /* accepts NULL */

/* The weights that it changes, by the names that the adapter has for them; NULL behind the last. */
const char *pm_lora_weight(const pm_lora *l, size_t i);
/* Says under which name and dims the checkpoint has weight i. Errors: PM_ERR_FILE when the dims do not fit. */
pm_status pm_lora_bind(pm_lora *l, size_t i, const char *name, int32_t rank, const int64_t *dims) PM_MUST_USE;
/* Adds what the adapter has for the checkpoint's weight `name`, if anything. w: as many elements as it was bound with. */
pm_status pm_lora_merge(const pm_lora *l, const char *name, float *w) PM_MUST_USE;

#endif
