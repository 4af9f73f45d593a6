/* Which weights a program streams, and where they lie within a limit: graph/stream.c and placement.c, with no device. */
#include "graph/placement.h"
#include "pumice/graph.h"
#include "tests/support.h"

enum { LAYERS = 7, WIDTH = 64 };
#define GIB (1ull << 30)

static pm_caps card(void) {
    pm_caps c;
    pm_caps_baseline(&c);
    c.vulkan = true;
    c.type = PM_DEVICE_DISCRETE_GPU;
    c.unified_memory = false;
    c.binding_alignment = 64;
    return c;
}

/* Products one behind the other, widths differ by an odd number. */
static pm_program *make_layers(int64_t rows, uint64_t max_memory, const pm_caps *caps) {
    pm_graph *g;
    pm_program *p;
    char name[16];
    assert_ok(pm_graph_create("layers", &g));
    pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){rows, WIDTH});
    int64_t width = WIDTH;
    for (int i = 0; i < LAYERS; i++) {
        snprintf(name, sizeof name, "w%d", i);
        x = pm_matmul(g, x, pm_weight(g, name, PM_F32, 2, (int64_t[]){width + 3, width}));
        width += 3;
    }
    pm_output(g, "y", x);
    const pm_compile_options o = {.caps = caps, .max_memory_bytes = max_memory};
    assert_ok(pm_compile(g, &o, &p));
    pm_graph_destroy(g);
    assert_int_equal(p->n_externals, LAYERS);
    bool streams = p->placement && p->placement->n_on_host && pm_caps_has_bus(caps) && rows > 64;
    assert_int_equal(p->n_dispatches, streams ? 2 * LAYERS : LAYERS); /* halves, which need smaller slots */
    for (uint32_t i = 0; i < p->n_dispatches; i++) assert_true(!streams || p->dispatches[i].groups[0] == 1);
    return p;
}

static void all_on(bool *on_host, bool value) {
    for (int i = 0; i < LAYERS; i++) on_host[i] = value;
}

/* A weight is loaded once for each tile of rows. */
static void test_loads(void **state) {
    (void)state;
    const struct {
        int64_t rows;
        uint64_t passes;
    } cases[] = {{1, 1}, {3, 3}, {5, 1}, {32, 1}, {64, 1}, {65, 2}, {129, 3}, {1000, 16}};
    const pm_caps c = card();
    for (size_t i = 0; i < PM_COUNT(cases); i++) {
        pm_program *p = make_layers(cases[i].rows, 0, &c);
        for (uint32_t k = 0; k < p->n_dispatches; k++) {
            const pm_dispatch *d = &p->dispatches[k];
            assert_true(d->loads[1] == cases[i].passes * d->bindings[1].bytes);
            assert_true(d->loads[2] == 0 && d->loads[d->n_bindings - 1] == 0); /* absent; written */
        }
        pm_program_destroy(p);
    }
}

/* Whatever is chosen: a dispatch reads what was copied for it, and no slot is filled while its last reader waits. */
static void check_stream(const pm_program *p, const bool *on_host, const pm_stream_room *room,
                         const pm_stream *s) {
    uint32_t last = 0;
    uint64_t copied = 0;
    assert_true(s->slot_bytes <= room->most && s->slot_bytes <= s->wanted_slot_bytes);
    for (uint32_t g = 0; g < s->n_groups; g++) {
        uint64_t end = 0;
        for (uint32_t i = s->groups[g].first_copy; i < s->groups[g].first_copy + s->groups[g].n_copies; i++) {
            const pm_stream_copy *copy = &s->copies[i];
            assert_true(on_host[copy->from.slot - p->n_blocks]);
            assert_true(copy->to % room->alignment == 0 && copy->to >= end);
            end = copy->to + copy->from.bytes;
            copied += copy->from.bytes;
        }
        assert_true(end <= s->slot_bytes);
        assert_int_equal(s->group_of[s->groups[g].first_dispatch], g + 1);
        if (g) assert_true(s->groups[g].first_dispatch > s->groups[g - 1].first_dispatch);
    }
    assert_true(copied == s->copied_bytes);
    for (uint32_t i = 0; i < p->n_dispatches; i++) {
        if (!s->group_of[i]) continue;
        assert_true(s->group_of[i] == last || s->group_of[i] == last + 1);
        last = s->group_of[i];
    }
    assert_int_equal(last, s->n_groups);
}

static void test_slots(void **state) {
    (void)state;
    const pm_caps c = card();
    bool on_host[LAYERS];
    pm_stream s;
    pm_program *p = make_layers(200, 0, &c);
    const uint64_t largest = pm_align_up(p->externals[LAYERS - 1].bytes, 64);
    pm_stream_room room = {.most = UINT64_MAX, .alignment = 64};
    all_on(on_host, true);
    assert_ok(pm_stream_plan(p, on_host, &room, &s));
    check_stream(p, on_host, &room, &s);
    assert_int_equal(s.n_groups, LAYERS);
    assert_true(s.slot_bytes == largest && s.wanted_slot_bytes == largest && s.in_place_bytes == 0);
    assert_null(pm_stream_find(&s, p, 0, 0));
    assert_non_null(pm_stream_find(&s, p, 0, 1));
    pm_stream_free(&s);

    room.most = largest - 1; /* the largest is read where it lies, by four tiles of rows */
    assert_ok(pm_stream_plan(p, on_host, &room, &s));
    check_stream(p, on_host, &room, &s);
    assert_int_equal(s.n_groups, LAYERS - 1);
    assert_true(s.wanted_slot_bytes == largest);
    assert_true(s.in_place_bytes == 4 * p->externals[LAYERS - 1].bytes);
    assert_null(pm_stream_find(&s, p, LAYERS - 1, 1));
    pm_stream_free(&s);

    room.most = 0;
    assert_ok(pm_stream_plan(p, on_host, &room, &s));
    assert_true(s.n_groups == 0 && s.slot_bytes == 0);
    assert_true(s.in_place_bytes == 4 * pm_program_external_bytes(p, PM_EXTERNAL_WEIGHT));
    pm_stream_free(&s);

    /* One weight saves three times its bytes, and two slots would cost twice: they pay. */
    room.most = UINT64_MAX;
    all_on(on_host, false);
    on_host[3] = true;
    assert_ok(pm_stream_plan(p, on_host, &room, &s));
    check_stream(p, on_host, &room, &s);
    assert_int_equal(s.n_groups, 1);
    pm_stream_free(&s);
    pm_program_destroy(p);

    p = make_layers(100, 0, &c); /* it saves its bytes once: they do not, unless they are there */
    assert_ok(pm_stream_plan(p, on_host, &room, &s));
    assert_int_equal(s.n_groups, 0);
    pm_stream_free(&s);
    room.have = largest;
    assert_ok(pm_stream_plan(p, on_host, &room, &s));
    assert_int_equal(s.n_groups, 1);
    pm_stream_free(&s);
    pm_program_destroy(p);

    p = make_layers(1, 0, &c); /* a step of decoding reads each once */
    all_on(on_host, true);
    assert_ok(pm_stream_plan(p, on_host, &room, &s));
    assert_int_equal(s.n_groups, 0);
    assert_true(s.in_place_bytes == pm_program_external_bytes(p, PM_EXTERNAL_WEIGHT));
    pm_stream_free(&s);
    pm_program_destroy(p);
}

/* Dispatches with the same weight behind each other share what is in the slot. */
static void test_shared(void **state) {
    (void)state;
    const pm_caps c = card();
    bool on_host[LAYERS];
    pm_stream s;
    pm_program *p = make_layers(200, 0, &c);
    const pm_stream_room room = {.most = UINT64_MAX, .alignment = 64};
    all_on(on_host, true);
    p->dispatches[4].bindings[1] = p->dispatches[3].bindings[1];
    assert_ok(pm_stream_plan(p, on_host, &room, &s));
    check_stream(p, on_host, &room, &s);
    assert_int_equal(s.n_groups, LAYERS - 1);
    assert_int_equal(s.group_of[3], s.group_of[4]);
    pm_stream_free(&s);
    pm_program_destroy(p);
}

/* Sizes past 32 bits, and past what 64 can add. */
static void test_large(void **state) {
    (void)state;
    const pm_caps c = card();
    bool on_host[LAYERS];
    pm_stream s;
    pm_program *p = make_layers(200, 0, &c);
    pm_stream_room room = {.most = 6 * GIB, .alignment = 64};
    all_on(on_host, true);
    for (uint32_t i = 0; i < LAYERS; i++) {
        pm_dispatch *d = &p->dispatches[i];
        p->externals[i].bytes = (i + 3) * GIB + 4 * (i + 1);
        d->bindings[1] = (pm_range){.slot = d->bindings[1].slot, .offset = 64, .bytes = (i + 3) * GIB + 4};
        d->loads[1] = 4 * d->bindings[1].bytes;
    }
    assert_ok(pm_stream_plan(p, on_host, &room, &s));
    check_stream(p, on_host, &room, &s);
    assert_int_equal(s.n_groups, 3); /* 3, 4 and 5 GiB and a little */
    assert_true(s.slot_bytes == 5 * GIB + 64 && s.copied_bytes == 12 * GIB + 12);
    pm_stream_free(&s);
    for (uint32_t i = 0; i < LAYERS; i++) p->dispatches[i].loads[1] = UINT64_MAX;
    assert_ok(pm_stream_plan(p, on_host, &room, &s));
    assert_true(s.in_place_bytes == UINT64_MAX);
    pm_stream_free(&s);
    pm_program_destroy(p);
}

/* Within every limit what is on the device fits it, slots included; in the end all is. */
static void test_placement(void **state) {
    (void)state;
    const pm_caps c = card();
    uint64_t bus = UINT64_MAX, resident = 0;
    pm_program *p = make_layers(200, UINT64_MAX / 2, &c);
    const uint64_t arena = p->arena_bytes, all = pm_program_external_bytes(p, PM_EXTERNAL_WEIGHT);
    assert_int_equal(p->placement->n_on_host, 0);
    pm_program_destroy(p);
    for (uint64_t limit = arena; limit < arena + all + 1024; limit += 977) {
        p = make_layers(200, limit, &c);
        const pm_placement *at = p->placement;
        const pm_stream *s = &at->stream;
        assert_true(at->resident_bytes + at->host_bytes == all);
        assert_true(at->n_resident + at->n_on_host == LAYERS);
        assert_true(2 * s->slot_bytes <= pm_align_up(p->externals[LAYERS - 1].bytes, 64) + 1024);
        assert_true(at->fixed_bytes + at->resident_bytes + PM_STREAM_SLOTS * s->slot_bytes <= limit);
        assert_true(s->copied_bytes + s->in_place_bytes <= 4 * all);
        if (limit == arena) assert_true(s->slot_bytes == 0 && s->in_place_bytes == 4 * all);
        resident += at->n_resident == LAYERS;
        bus = s->copied_bytes + s->in_place_bytes;
        pm_program_destroy(p);
    }
    assert_true(bus == 0 && resident > 0);
}

static void expect_refusal(const pm_caps *caps, uint64_t limit, const char *words) {
    pm_graph *g;
    pm_program *p;
    assert_ok(pm_graph_create("one", &g));
    pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){200, 64});
    pm_output(g, "y", pm_matmul(g, x, pm_weight(g, "w", PM_F32, 2, (int64_t[]){64, 64})));
    const pm_compile_options o = {.caps = caps, .max_memory_bytes = limit};
    assert_int_equal(pm_compile(g, &o, &p), PM_ERR_MEMORY);
    assert_non_null(strstr(pm_error_text(), words));
    pm_graph_destroy(g);
}

static void test_refusals(void **state) {
    (void)state;
    const pm_caps c = card();
    pm_caps cpu;
    pm_caps_baseline(&cpu);
    expect_refusal(&c, 51200, "102400");
    expect_refusal(&cpu, 102400 + 16383, "16384 bytes of weights");
}

/* Memory that the host and the device share is as near from both sides: nothing is copied. */
static void test_one_memory(void **state) {
    (void)state;
    pm_caps c = card();
    c.type = PM_DEVICE_INTEGRATED_GPU;
    assert_true(pm_caps_has_bus(&c));
    c.unified_memory = true;
    assert_false(pm_caps_has_bus(&c));
    pm_program *p = make_layers(200, 230000, &c);
    assert_true(p->placement->n_on_host > 0 && p->placement->stream.n_groups == 0);
    pm_program_destroy(p);
}

/* Parts are for what is streamed: not for few rows, tables that are looked up, or what is stored turned. */
static void test_part_bytes(void **state) {
    (void)state;
    pm_caps c = card();
    assert_true(pm_stream_part_bytes(0) == 1 && pm_stream_part_bytes(3200) == 101);
    assert_true(pm_stream_part_bytes(8 * GIB) == 64u << 20 && pm_stream_part_bytes(UINT64_MAX) == 64u << 20);
    c.stream_part_bytes = 100 * 1024; /* 400 rows of 64 */
    const struct {
        int64_t rows, columns;
        bool turned;
        uint32_t n_parts;
    } cases[] = {{65, 400, false, 1},
                 {65, 401, false, 2},
                 {65, 1500, false, 4},
                 {64, 1500, false, 1},
                 {65, 1500, true, 1}};
    for (size_t i = 0; i < PM_COUNT(cases); i++) {
        pm_graph *g;
        pm_program *p;
        int64_t n = cases[i].columns;
        assert_ok(pm_graph_create("parts", &g));
        pm_tensor *w =
            pm_weight(g, "w", PM_F32, 2, cases[i].turned ? (int64_t[]){64, n} : (int64_t[]){n, 64});
        pm_tensor *x = pm_gather(g, pm_weight(g, "t", PM_F32, 2, (int64_t[]){9000, 64}),
                                 pm_input(g, "ids", PM_I32, 1, (int64_t[]){cases[i].rows}));
        pm_output(g, "y", pm_matmul(g, x, cases[i].turned ? pm_permute(g, w, (int[]){1, 0}) : w));
        assert_ok(pm_compile(g, &(pm_compile_options){.caps = &c}, &p));
        assert_int_equal(p->n_dispatches, 1 + cases[i].n_parts);
        for (uint32_t k = 1; k < p->n_dispatches && cases[i].n_parts > 1; k++)
            assert_true(p->dispatches[k].bindings[1].bytes <= c.stream_part_bytes + 64);
        pm_program_destroy(p);
        pm_graph_destroy(g);
    }
}

static void test_turns(void **state) {
    (void)state;
    assert_int_equal(pm_weight_turn(4096, false), 0);
    assert_int_equal(pm_weight_turn(5 * GIB, false), 1);
    assert_int_equal(pm_weight_turn(4096, true), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loads),      cmocka_unit_test(test_slots),
        cmocka_unit_test(test_shared),     cmocka_unit_test(test_large),
        cmocka_unit_test(test_placement),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_one_memory), cmocka_unit_test(test_turns),
        cmocka_unit_test(test_part_bytes),
    };
    return run_all_tests(tests);
}
