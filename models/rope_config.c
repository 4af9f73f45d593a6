/* Rotary settings: "rope_parameters" (new files), or "rope_theta" and "rope_scaling" (old ones). */
#include "models/arch_causal.h"

#include <inttypes.h>

enum { MAX_TABLE = 1 << 28 }; /* elements of a table of positions */

static const char *const kinds[] = {"default", "linear", "llama3", "yarn", "dynamic"}; /* pm_rope_kind */

static const pm_config_field theta_field[] = {
    {"rope_theta", PM_CONFIG_REAL, offsetof(pm_rope, theta), PM_CONFIG_REQUIRED, 1e-3, 1e12}};
static const pm_config_field partial_field[] = {
    {"partial_rotary_factor", PM_CONFIG_REAL, offsetof(pm_rope, partial), PM_CONFIG_REQUIRED, 0.01, 1}};
static const pm_config_field factor_field[] = {
    {"factor", PM_CONFIG_REAL, offsetof(pm_rope, factor), PM_CONFIG_REQUIRED, 1e-3, 1e6}};
static const pm_config_field original_field[] = {{"original_max_position_embeddings", PM_CONFIG_INT,
                                                  offsetof(pm_rope, original_positions), PM_CONFIG_REQUIRED,
                                                  1, 1 << 20}};
static const pm_config_field llama3_fields[] = {
    {"low_freq_factor", PM_CONFIG_REAL, offsetof(pm_rope, low_freq_factor), PM_CONFIG_REQUIRED, 1e-3, 1e6},
    {"high_freq_factor", PM_CONFIG_REAL, offsetof(pm_rope, high_freq_factor), PM_CONFIG_REQUIRED, 1e-3, 1e6},
};
static const pm_config_field yarn_fields[] = {
    {"beta_fast", PM_CONFIG_REAL, offsetof(pm_rope, beta_fast), 32, 1e-3, 1e6},
    {"beta_slow", PM_CONFIG_REAL, offsetof(pm_rope, beta_slow), 1, 1e-3, 1e6},
    {"attention_factor", PM_CONFIG_REAL, offsetof(pm_rope, attention_factor), 0, 1e-3, 1e3},
    {"truncate", PM_CONFIG_BOOL, offsetof(pm_rope, truncate), 1, 0, 1},
};

static pm_status check_llama3(const pm_rope *r) {
    if (r->high_freq_factor > r->low_freq_factor) return PM_OK;
    return pm_raise(PM_ERR_FILE,
                    "config.json: high_freq_factor is %g, expected more than low_freq_factor, which is %g",
                    (double)r->high_freq_factor, (double)r->low_freq_factor);
}

/* One field where it stands: in the object, else beside it, else *out stays. */
static pm_status read_either(const pm_config *c, const char *inside, const pm_config_field *field,
                             pm_rope *out) {
    if (pm_config_has(c, inside, field->key)) return pm_config_read(c, inside, field, 1, out);
    return pm_config_has(c, NULL, field->key) ? pm_config_read(c, NULL, field, 1, out) : PM_OK;
}

pm_status pm_rope_read(const pm_config *c, const char *inside, float theta, pm_rope *out) {
    if (!inside) inside = pm_config_has(c, NULL, "rope_scaling") ? "rope_scaling" : "rope_parameters";
    const char *key = pm_config_has(c, inside, "rope_type") ? "rope_type" : "type";
    *out = (pm_rope){.theta = theta, .partial = 1};
    PM_TRY(read_either(c, inside, theta_field, out));
    PM_TRY(read_either(c, inside, partial_field, out));
    PM_TRY(
        pm_config_choose(c, inside, &(pm_config_choice){key, "default", kinds, PM_COUNT(kinds)}, &out->kind));
    if (out->kind == PM_ROPE_DEFAULT) return PM_OK;
    PM_TRY(pm_config_read(c, inside, factor_field, 1, out));
    if (out->kind == PM_ROPE_LLAMA3) {
        PM_TRY(pm_config_read(c, inside, llama3_fields, PM_COUNT(llama3_fields), out));
        PM_TRY(check_llama3(out));
    }
    if (out->kind == PM_ROPE_YARN) PM_TRY(pm_config_read(c, inside, yarn_fields, PM_COUNT(yarn_fields), out));
    return out->kind == PM_ROPE_LLAMA3 || out->kind == PM_ROPE_YARN
               ? pm_config_read(c, inside, original_field, 1, out)
               : PM_OK;
}

pm_status pm_check_rotary(int64_t head_dim, int64_t positions) {
    if (head_dim % 2)
        return pm_raise(PM_ERR_FILE,
                        "config.json: head_dim is %" PRId64 ", expected an even number for rotary positions",
                        head_dim);
    if (positions > MAX_TABLE / head_dim)
        return pm_raise(PM_ERR_FILE,
                        "config.json: max_position_embeddings is %" PRId64
                        ", expected at most %d with head_dim %" PRId64,
                        positions, (int)(MAX_TABLE / head_dim), head_dim);
    return PM_OK;
}
