/* Decoder-only models as data: a family says which keys of config.json hold what, how its tensors are named and what
 * is special; pm_causal_configure reads a model of it. A new Llama-like model is a family and a row in arch.c. */
#ifndef PM_ARCH_CAUSAL_H
#define PM_ARCH_CAUSAL_H

#include "models/arch.h"

/* What config.json says. Fields that a family's tables do not name keep what `adjust` or pm_causal_configure gives. */
typedef struct pm_causal {
    int64_t vocab, positions, width, layers, heads, kv_heads, head_dim, inner, window;
    float eps, query_scalar, softcap, final_softcap, partial;
    bool tied, attention_bias, mlp_bias;
} pm_causal;

struct pm_causal_family {
    const pm_config_field *const
        *tables;               /* read into one pm_causal, later ones over earlier ones; ends with NULL */
    const size_t *n_fields;    /* of each table */
    const char *act_key, *act; /* and the activation when the key is absent */
    const char *prefix;        /* of all names but the head's; files of the base model leave it out */
    const char *tokens, *head; /* names of the embedding and of the last layer */
    pm_stack stack;            /* names and constants; prefix and final_norm stand behind `prefix` */
    /* What tables cannot say; NULL: nothing. The stack has its sizes already. */
    pm_status (*adjust)(pm_model *m, const pm_config *c, const pm_causal *s);
};

/* Sizes that most families call alike (Llama's keys). */
enum { PM_N_LLAMA_SIZES = 8 };
extern const pm_config_field pm_llama_sizes[PM_N_LLAMA_SIZES];

pm_status pm_causal_configure(pm_model *m, const pm_config *c, const pm_causal_family *f) PM_MUST_USE;

/* What stands behind the hidden states: words (`own`, or the embedding where it is tied), labels or nothing, as the task
 * says. */
pm_status pm_causal_read_head(pm_model *m, const pm_config *c, bool tied, const char *own) PM_MUST_USE;

/* Rotary settings of an object of config.json (NULL: "rope_parameters" or "rope_scaling") with the keys beside it.
 * theta: when none is given. */
pm_status pm_rope_read(const pm_config *c, const char *inside, float theta, pm_rope *out) PM_MUST_USE;

/* Heads of an odd size cannot be turned, and tables of positions have an end. */
pm_status pm_check_rotary(int64_t head_dim, int64_t positions) PM_MUST_USE;

/* Which layers have a window: "layer_types", or else every one but each pattern-th (pattern 0: all). */
pm_status pm_read_windows(pm_model *m, const pm_config *c, int64_t pattern) PM_MUST_USE;

#endif
