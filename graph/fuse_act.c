/* Patterns: activations and gates.
 *   gelu:      0.5 x (1 + erf(x / sqrt(2)))
 *   gelu_tanh: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
 *   silu:      x sigmoid(x)
 *   quick_gelu: x sigmoid(1.702 x)
 *   glu:       act(gate) * up, also within limits
 * Products may be associated and commuted in any way. */
#include "graph/fuse.h"

static const struct {
    pm_op op;
    int32_t act;
} acts[] = {
    {PM_OP_RELU, PM_ACT_RELU},
    {PM_OP_GELU, PM_ACT_GELU},
    {PM_OP_GELU_TANH, PM_ACT_GELU_TANH},
    {PM_OP_SILU, PM_ACT_SILU},
    {PM_OP_TANH, PM_ACT_TANH},
    {PM_OP_SIGMOID, PM_ACT_SIGMOID},
    {PM_OP_QUICK_GELU, PM_ACT_QUICK_GELU},
};

int32_t pm_fuse_act_of(pm_op op) {
    for (size_t i = 0; i < PM_COUNT(acts); i++)
        if (acts[i].op == op) return acts[i].act;
    return PM_ACT_NONE;
}

/* x and the argument of 0.5 * x * (1 + fn(argument)). */
static bool read_half(const pm_fuse *f, const pm_tensor *root, pm_op fn, const pm_tensor **out_x,
                      const pm_tensor **out_arg) {
    pm_product p;
    if (!pm_fuse_product(f, root, &p) || p.n != 2 || p.inverse[0] || p.inverse[1] ||
        !pm_fuse_near(p.scale, 0.5))
        return false;
    for (int i = 0; i < 2; i++) {
        const pm_tensor *t = p.factor[i], *call = NULL;
        float one = 0;
        if (t->op != PM_OP_ADD || !pm_fuse_single(f, t) || !pm_fuse_split_const(t, &call, &one)) continue;
        if (call->op != fn || !pm_fuse_single(f, call) || !pm_fuse_near((double)one, 1)) continue;
        *out_x = p.factor[1 - i];
        *out_arg = call->in[0];
        return true;
    }
    return false;
}

pm_tensor *pm_fuse_gelu(pm_fuse *f, const pm_tensor *root) {
    const pm_tensor *x, *arg;
    double scale;
    if (!read_half(f, root, PM_OP_ERF, &x, &arg) || pm_fuse_scaled(f, arg, &scale) != x) return NULL;
    if (!pm_fuse_near(scale, 0.70710678118654752)) return NULL;
    return pm_fuse_op(f, root, PM_OP_GELU, 1, &x, NULL);
}

/* Whether t is scale * x^n. */
static bool is_power(const pm_fuse *f, const pm_tensor *t, const pm_tensor *x, int n, double scale) {
    pm_product p;
    if (!pm_fuse_single(f, t) || !pm_fuse_product(f, t, &p) || p.n != n || !pm_fuse_near(p.scale, scale))
        return false;
    for (int i = 0; i < n; i++)
        if (p.factor[i] != x || p.inverse[i]) return false;
    return true;
}

#define CUBIC 0.044715

/* x + 0.044715 x^3. */
static bool is_cubic_sum(const pm_fuse *f, const pm_tensor *t, const pm_tensor *x) {
    const pm_tensor *cube = t->op == PM_OP_ADD && pm_fuse_single(f, t) ? pm_fuse_other(t, x) : NULL;
    return cube && is_power(f, cube, x, 3, CUBIC);
}

/* 1 + 0.044715 x^2. */
static bool is_cubic_factor(const pm_fuse *f, const pm_tensor *t, const pm_tensor *x) {
    const pm_tensor *square = NULL;
    float one = 0;
    if (t->op != PM_OP_ADD || !pm_fuse_single(f, t) || !pm_fuse_split_const(t, &square, &one)) return false;
    return pm_fuse_near((double)one, 1) && is_power(f, square, x, 2, CUBIC);
}

pm_tensor *pm_fuse_gelu_tanh(pm_fuse *f, const pm_tensor *root) {
    const pm_tensor *x, *arg;
    pm_product p;
    if (!read_half(f, root, PM_OP_TANH, &x, &arg) || !pm_fuse_single(f, arg) || !pm_fuse_product(f, arg, &p))
        return NULL;
    if (!pm_fuse_near(p.scale, 0.79788456080286536) || p.inverse[0] || (p.n == 2 && p.inverse[1]))
        return NULL;
    bool cubic = p.n == 1 && is_cubic_sum(f, p.factor[0], x);
    for (int i = 0; p.n == 2 && i < 2; i++)
        cubic |= p.factor[i] == x && is_cubic_factor(f, p.factor[1 - i], x);
    return cubic ? pm_fuse_op(f, root, PM_OP_GELU_TANH, 1, &x, NULL) : NULL;
}

pm_tensor *pm_fuse_silu(pm_fuse *f, const pm_tensor *root) {
    for (int i = 0; i < 2; i++) {
        const pm_tensor *x = root->in[i], *gate = root->in[1 - i];
        if (gate->op != PM_OP_SIGMOID || gate->in[0] != x || !pm_fuse_single(f, gate)) continue;
        return pm_fuse_op(f, root, PM_OP_SILU, 1, &x, NULL);
    }
    return NULL;
}

pm_tensor *pm_fuse_quick_gelu(pm_fuse *f, const pm_tensor *root) {
    for (int i = 0; i < 2; i++) {
        const pm_tensor *x = root->in[i], *gate = root->in[1 - i];
        double scale = 1;
        if (gate->op != PM_OP_SIGMOID || !pm_fuse_single(f, gate)) continue;
        if (pm_fuse_scaled(f, gate->in[0], &scale) != x || !pm_fuse_near(scale, 1.702)) continue;
        return pm_fuse_op(f, root, PM_OP_QUICK_GELU, 1, &x, NULL);
    }
    return NULL;
}

/* The x of op(x, c); *c is 0 on entry, or what the constant must be. */
static const pm_tensor *with_const(const pm_fuse *f, const pm_tensor *t, pm_op op, float *c) {
    const pm_tensor *x;
    float value;
    if (t->op != op || !pm_fuse_single(f, t) || !pm_fuse_split_const(t, &x, &value) || !pm_same_dims(t, x))
        return NULL;
    if (*c != 0 && value != *c) return NULL;
    *c = value;
    return x;
}

/* Gates of gpt-oss: act(min(gate, limit)) * (clamp(up, -limit, limit) + 1). */
static bool read_limits(const pm_fuse *f, const pm_tensor *in[2], float *out_limit) {
    float limit = 0, one = 1;
    const pm_tensor *gate = with_const(f, in[0], PM_OP_MIN, &limit),
                    *up = with_const(f, in[1], PM_OP_ADD, &one);
    if (!gate || !up || !(limit > 0)) return false;
    float least = -limit;
    bool low_first = up->op == PM_OP_MIN;
    up = with_const(f, up, low_first ? PM_OP_MIN : PM_OP_MAX, low_first ? &limit : &least);
    up = up ? with_const(f, up, low_first ? PM_OP_MAX : PM_OP_MIN, low_first ? &least : &limit) : NULL;
    if (!up) return false;
    in[0] = gate, in[1] = up, *out_limit = limit;
    return true;
}

pm_tensor *pm_fuse_glu(pm_fuse *f, const pm_tensor *root) {
    for (int i = 0; i < 2; i++) {
        const pm_tensor *gate = root->in[i], *up = root->in[1 - i];
        int32_t act = pm_fuse_act_of(gate->op);
        float value;
        if (act == PM_ACT_NONE || act == PM_ACT_TANH || !pm_fuse_single(f, gate) || pm_fuse_const(up, &value))
            continue;
        const pm_tensor *in[] = {gate->in[0], up};
        pm_attrs attrs = {.act = act};
        (void)read_limits(f, in, &attrs.limit);
        return pm_fuse_op(f, root, PM_OP_GLU, 2, in, &attrs);
    }
    return NULL;
}
