/* See gguf_rope.h. Llama 3's scaling is not in the metadata: its converter writes, for each pair of a head, by how much
 * the pair turns slower. Llama 3's formula is fitted to them and checked, so that what comes out is what the file means, or
 * an error. */
#include "models/gguf_rope.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "models/convert.h"
#include "models/gguf_names.h"

static const char factors_name[] = "rope_freqs.weight";
enum { MAX_PAIRS = 1024, LOW = 1, HIGH = 4, USUAL_ORIGINAL = 8192 }; /* Llama 3.1 to 3.3 */

static double number(const pm_gguf *g, const char *from, double fallback) {
    char key[PM_GGUF_KEY_CHARS];
    double v = fallback;
    pm_gguf_key(g, from, key);
    pm_gguf_real(g, key, &v);
    return v;
}

/* The whole number next to x; -1, which no setting may be, for what no integer holds. */
static json_t *whole(double x) {
    return json_integer(x >= 0 && x < 1e15 ? (json_int_t)(x + 0.5) : -1);
}

/* Elements of a head. */
static double head_dim(const pm_gguf *g) {
    double heads = number(g, ".attention.head_count", 1), width = number(g, ".embedding_length", 0);
    return number(g, ".attention.key_length", heads > 0 ? width / heads : 0);
}

/* Llama 3's scaling (its modeling code): waves longer than `original` turn `factor` times slower, those shorter than a
 * quarter of it as before. */
typedef struct llama3 {
    double theta, factor, original;
} llama3;

static double wave_of(const llama3 *l, int64_t i, int64_t n) {
    return 2 * 3.14159265358979323846 * pow(l->theta, (double)i / (double)n);
}

static double slower(const llama3 *l, double wave) {
    if (wave < l->original / HIGH) return 1;
    if (wave > l->original / LOW) return l->factor;
    double smooth = (l->original / wave - LOW) / (HIGH - LOW);
    return 1 / ((1 - smooth) / l->factor + smooth);
}

/* The formula solved for `original` at a pair that is neither 1 nor `factor`. */
static double original_of(const llama3 *l, const float *f, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double x = (double)f[i];
        if (!(x > 1.01 && x < 0.99 * l->factor)) continue;
        double smooth = (1 / x - 1 / l->factor) / (1 - 1 / l->factor);
        return round(wave_of(l, i, n) * (smooth * (HIGH - LOW) + LOW));
    }
    return USUAL_ORIGINAL;
}

static pm_status read_factors(const pm_gguf *g, const pm_array *a, llama3 *l) {
    float f[MAX_PAIRS];
    if (a->rank != 1 || a->dims[0] < 1 || a->dims[0] > MAX_PAIRS)
        return pm_raise(PM_ERR_FILE, "%s: tensor %s has %d dims, one of 1..%d elements was expected",
                        pm_gguf_label(g), factors_name, a->rank, MAX_PAIRS);
    PM_TRY(pm_convert_f32(a, f));
    int64_t n = a->dims[0];
    l->factor = (double)f[n - 1];
    l->original = original_of(l, f, n);
    for (int64_t i = 0; i < n; i++) {
        double expected = slower(l, wave_of(l, i, n));
        if (!(fabs((double)f[i] - expected) <= 1e-3 * expected))
            return pm_raise(PM_ERR_FILE,
                            "%s: tensor %s: element %" PRId64
                            " is %g, Llama 3's scaling by %g gives %g; no other is read",
                            pm_gguf_label(g), factors_name, i, (double)f[i], l->factor, expected);
    }
    return PM_OK;
}

/* Adds Llama 3's scaling where the file has its factors. */
static pm_status add_factors(const pm_gguf *g, double theta, json_t *object) {
    const pm_entry *e = pm_gguf_find(g, factors_name);
    llama3 l = {.theta = theta, .factor = 1};
    if (!e) return PM_OK;
    if (e->refusal)
        return pm_raise(PM_ERR_FILE, "%s: tensor %s %s", pm_gguf_label(g), factors_name, e->refusal);
    PM_TRY(read_factors(g, &e->array, &l));
    if (l.factor == 1) return PM_OK;
    json_object_set_new(object, "rope_type", json_string("llama3"));
    json_object_set_new(object, "factor", json_real(l.factor));
    json_object_set_new(object, "low_freq_factor", json_real(LOW));
    json_object_set_new(object, "high_freq_factor", json_real(HIGH));
    json_object_set_new(object, "original_max_position_embeddings", whole(l.original));
    return PM_OK;
}

static bool is_text(pm_gguf_text t, const char *s) {
    return t.n == strlen(s) && memcmp(t.s, s, strlen(s)) == 0;
}

/* rope.scaling.type and what goes with it; files before it had rope.scale_linear. */
static pm_status add_scaling(const pm_gguf *g, json_t *object) {
    char key[PM_GGUF_KEY_CHARS];
    pm_gguf_text type = {"none", 4};
    pm_gguf_key(g, ".rope.scaling.type", key);
    pm_gguf_string(g, key, &type);
    double old = number(g, ".rope.scale_linear", 1), factor = number(g, ".rope.scaling.factor", old);
    bool linear = is_text(type, "linear"), yarn = is_text(type, "yarn");
    if (!linear && !yarn && !is_text(type, "none"))
        return pm_raise(PM_ERR_FILE, "%s: %s is %s, expected none, linear or yarn", pm_gguf_label(g), key,
                        pm_gguf_show(type).s);
    if (!linear && !yarn && old == 1) return PM_OK;
    json_object_set_new(object, "rope_type", json_string(yarn ? "yarn" : "linear"));
    json_object_set_new(object, "factor", json_real(factor));
    double original = number(g, ".rope.scaling.original_context_length", 0);
    if (yarn) json_object_set_new(object, "original_max_position_embeddings", whole(original));
    return PM_OK;
}

/* How many of a head's elements are turned. */
static pm_status add_partial(const pm_gguf *g, const char *partial, json_t *object) {
    double all = head_dim(g), turned = number(g, ".rope.dimension_count", all);
    if (turned == all || !(all > 0)) return PM_OK;
    if (!partial || !(turned > 0 && turned < all))
        return pm_raise(PM_ERR_FILE, "%s: rope.dimension_count is %g, expected the head's size, which is %g",
                        pm_gguf_label(g), turned, all);
    json_object_set_new(object, "partial_rotary_factor", json_real(turned / all));
    return PM_OK;
}

pm_status pm_gguf_rope(const pm_gguf *g, const char *partial, double theta, void **out_object) {
    static const char *const unread[] = {"rope_factors_long.weight", "rope_factors_short.weight"};
    *out_object = NULL;
    for (size_t i = 0; i < PM_COUNT(unread); i++)
        if (pm_gguf_find(g, unread[i]))
            return pm_raise(PM_ERR_FILE, "%s: has the tensor %s: LongRoPE is not read", pm_gguf_label(g),
                            unread[i]);
    theta = number(g, ".rope.freq_base", theta);
    if (!(theta > 0 && theta < 1e30))
        return pm_raise(PM_ERR_FILE, "%s: rope.freq_base is %g, expected a positive number", pm_gguf_label(g),
                        theta);
    json_t *object = json_pack("{s:s, s:f}", "rope_type", "default", "rope_theta", theta);
    pm_status s = object ? add_scaling(g, object) : pm_raise(PM_ERR_MEMORY, "out of memory");
    if (s == PM_OK) s = add_factors(g, theta, object);
    if (s == PM_OK) s = add_partial(g, partial, object);
    if (s == PM_OK)
        *out_object = object;
    else
        json_decref(object);
    return s;
}
