/* adapter_config.json of a LoRA adapter: which module has which rank and scale, and what else the adapter may hold. A key
 * that would change what is merged and is not read is refused by name. */
#ifndef PM_LORA_CONFIG_H
#define PM_LORA_CONFIG_H

#include "models/config.h"

typedef struct pm_lora_config {
    pm_config file;
    int64_t r;
    float alpha;
    bool rslora, transposed; /* W is [K,N], as GPT-2 keeps it */
    bool biases;             /* trained biases take the place of the model's */
} pm_lora_config;

pm_status pm_lora_config_open(const pm_files *f, pm_lora_config *out) PM_MUST_USE;
void pm_lora_config_close(pm_lora_config *c);

/* Rank and scale of a module: by the first pattern that its name matches (rank_pattern, alpha_pattern), else the adapter's. */
pm_status pm_lora_config_of(const pm_lora_config *c, const char *module, int64_t *out_r,
                            double *out_scale) PM_MUST_USE;
/* target_modules lists the module, or is a pattern, which is not asked. */
bool pm_lora_config_targets(const pm_lora_config *c, const char *module);
/* modules_to_save lists the module, or one that it is in: its tensors take the place of the model's. */
bool pm_lora_config_saves(const pm_lora_config *c, const char *module);

#endif
