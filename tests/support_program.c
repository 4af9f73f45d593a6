/* See support_program.h. */
#include "tests/support_program.h"

#include "tests/support.h"

static bool is_written(const pm_dispatch *d, uint32_t b) {
    return d->written >> b & 1;
}
static bool is_unused(const pm_dispatch *d, uint32_t b) {
    return d->unused >> b & 1;
}

static bool overlap(const pm_range *a, const pm_range *b) {
    return a->slot == b->slot && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

/* Whether b must see what a did, or a must be done with what b overwrites. */
static bool conflict(const pm_dispatch *a, const pm_dispatch *b) {
    for (uint32_t i = 0; i < a->n_bindings; i++)
        for (uint32_t k = 0; !is_unused(a, i) && k < b->n_bindings; k++)
            if (!is_unused(b, k) && (is_written(a, i) || is_written(b, k)) &&
                overlap(&a->bindings[i], &b->bindings[k]))
                return true;
    return false;
}

void test_check_barriers(const pm_program *p) {
    uint32_t last_barrier = 0, n_barriers = 0;
    for (uint32_t j = 0; j < p->n_dispatches; j++) {
        bool needed = false;
        for (uint32_t i = last_barrier; i < j; i++) needed |= conflict(&p->dispatches[i], &p->dispatches[j]);
        if (needed && !p->dispatches[j].barrier) fail_msg("dispatch %u needs a barrier", j);
        if (!needed && p->dispatches[j].barrier) fail_msg("dispatch %u needs no barrier", j);
        if (p->dispatches[j].barrier) last_barrier = j, n_barriers++;
    }
    assert_int_equal(n_barriers, p->n_barriers);
    if (p->n_dispatches) assert_false(p->dispatches[0].barrier);
}

static uint64_t slot_bytes(const pm_program *p, uint32_t slot) {
    if (slot < p->n_blocks) return p->block_bytes[slot];
    assert_true(slot - p->n_blocks < p->n_externals);
    return p->externals[slot - p->n_blocks].bytes;
}

static void check_range(const pm_program *p, const pm_range *r) {
    assert_true(r->bytes > 0 && r->bytes % 4 == 0);
    assert_true(r->offset + r->bytes <= slot_bytes(p, r->slot));
}

static void check_dispatch(const pm_program *p, const pm_dispatch *d, const pm_caps *caps) {
    const pm_kernel_info *kernel = pm_kernel_get(d->kernel);
    assert_int_equal(d->n_bindings, kernel->n_bindings);
    assert_int_equal(d->param_bytes, kernel->param_bytes);
    assert_int_equal(pm_variant_get(d->variant)->kernel, d->kernel);
    assert_int_equal(d->written, 1u << (d->n_bindings - 1));
    assert_false(is_unused(d, 0));
    assert_true(d->cost > 0);
    for (uint32_t b = 0; b < d->n_bindings; b++) {
        check_range(p, &d->bindings[b]);
        assert_true(d->bindings[b].offset % caps->binding_alignment == 0);
        if (is_written(d, b) && d->bindings[b].slot >= p->n_blocks)
            assert_int_equal(p->externals[d->bindings[b].slot - p->n_blocks].kind, PM_EXTERNAL_STATE);
    }
    for (int i = 0; i < 3; i++) assert_true(d->groups[i] >= 1 && d->groups[i] <= caps->max_groups[i]);
    assert_true(d->spec[0] * d->spec[1] * d->spec[2] <= caps->max_workgroup_invocations);
    assert_true(strlen(d->label) > 0);
}

void test_check_deaths(const pm_program *p) {
    for (uint32_t i = 0; i < p->n_deaths; i++) {
        const pm_death *d = &p->deaths[i];
        assert_true(d->dispatch < p->n_dispatches && d->range.slot < p->n_blocks);
        check_range(p, &d->range);
        if (i) assert_true(p->deaths[i - 1].dispatch <= d->dispatch);
        bool rewritten = false;
        for (uint32_t k = d->dispatch + 1; k < p->n_dispatches; k++) {
            const pm_dispatch *later = &p->dispatches[k];
            for (uint32_t b = 0; b < later->n_bindings; b++) {
                if (is_unused(later, b) || !overlap(&d->range, &later->bindings[b])) continue;
                if (!is_written(later, b) && !rewritten)
                    fail_msg("dispatch %u reads what died after %u", k, d->dispatch);
                rewritten |= is_written(later, b);
            }
        }
        for (uint32_t o = 0; o < p->n_outputs; o++)
            if (overlap(&d->range, &p->outputs[o].range)) assert_true(rewritten);
    }
}

void test_check_program(const pm_program *p, const pm_caps *caps) {
    uint32_t n_submits = 1;
    for (uint32_t i = 0; i < p->n_dispatches; i++) {
        check_dispatch(p, &p->dispatches[i], caps);
        n_submits += p->dispatches[i].submit;
    }
    assert_int_equal(n_submits, p->n_submits);
    assert_int_equal(p->n_fallback, 0);
    for (uint32_t i = 0; i < p->n_inputs; i++) check_range(p, &p->inputs[i].range);
    for (uint32_t i = 0; i < p->n_outputs; i++) check_range(p, &p->outputs[i].range);
    test_check_barriers(p);
    test_check_deaths(p);
}
