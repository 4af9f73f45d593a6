/* The executors "reference" and "cpu": they interpret a program inside its planned arena.
 *
 * Reference: one thread, naive kernels. Cpu: a pool of threads, fast kernels where there are some. All loaded programs share
 * the arena's blocks, grown to the largest when a program is loaded; pointers are found at each run. With `poison` every
 * arena range is NaN unless it holds a live value, and guard words after each block are checked. */
#include "runtime/cpu/cpu_kernel.h"
#include "runtime/cpu/cpu_store.h"
#include "runtime/cpu/spoil.h"
#include "runtime/cpu/thread_pool.h"
#include "runtime/executor.h"

#include <stdio.h>
#include <string.h>

#define POISON      0x7fc0dead /* a quiet NaN */
#define GUARD_WORDS 16
#define GUARD       0x5afe5afe

/* Cheaper dispatches stay on the calling thread: waking the others takes longer than the work. */
#define SHARED_COST 200000

typedef struct cpu_block {
    uint32_t *words;
    uint64_t bytes; /* without the guard */
} cpu_block;

typedef struct cpu_executor {
    pm_executor base;
    bool reference;
    pm_thread_pool *pool;
    pm_cpu_store store;
    cpu_block *blocks;
    size_t n_blocks, blocks_capacity;
} cpu_executor;

typedef struct cpu_loaded {
    pm_loaded base;
    pm_stored **externals; /* entries of constants and params are NULL */
    int32_t *params;
    void **inputs, **outputs;       /* host copies: the arena is shared with other programs */
    uint64_t *times_ns, *starts_ns; /* NULL without profile */
} cpu_loaded;

static cpu_executor *owner(const pm_loaded *l) {
    return (cpu_executor *)l->executor;
}

static void fill_words(uint32_t *words, uint64_t n, uint32_t value) {
    for (uint64_t i = 0; i < n; i++) words[i] = value;
}

/* ---- store ---- */

/* A limit that was set holds for all that lives: there is no other memory to go to. */
static pm_status want_room(const cpu_executor *ex, const char *what, uint64_t bytes) {
    uint64_t limit = ex->base.options.max_memory_bytes, stored = ex->store.bytes,
             arena = ex->base.stats.arena_bytes, all = 0;
    if (!limit || (pm_add_u64(stored + arena, bytes, &all) && all <= limit)) return PM_OK;
    return pm_raise(PM_ERR_MEMORY,
                    "memory: %llu bytes for %s, beside %llu of weights and states and %llu of intermediate "
                    "results, at most %llu together are allowed on %s",
                    (unsigned long long)bytes, what, (unsigned long long)stored, (unsigned long long)arena,
                    (unsigned long long)limit, ex->base.caps.name);
}

static pm_status store_put(pm_executor *ex, const char *name, const void *data, uint64_t bytes) {
    cpu_executor *cpu = (cpu_executor *)ex;
    if (!pm_cpu_store_find(&cpu->store, name)) PM_TRY(want_room(cpu, name, bytes));
    pm_status s = pm_cpu_store_put(&((cpu_executor *)ex)->store, name, data, bytes);
    ex->stats.store_bytes = ((cpu_executor *)ex)->store.bytes;
    return s;
}
static bool store_has(const pm_executor *ex, const char *name) {
    return pm_cpu_store_find(&((const cpu_executor *)ex)->store, name) != NULL;
}
static pm_status store_get(pm_executor *ex, const char *name, void *data, uint64_t bytes) {
    const pm_stored *t = pm_cpu_store_find(&((cpu_executor *)ex)->store, name);
    if (!t) return pm_raise(PM_ERR_USAGE, "store: there is no tensor %s", name);
    if (t->bytes != bytes)
        return pm_raise(PM_ERR_USAGE, "store: %s has %llu bytes, not %llu", name,
                        (unsigned long long)t->bytes, (unsigned long long)bytes);
    memcpy(data, t->data, (size_t)bytes);
    return PM_OK;
}
static void store_drop(pm_executor *ex, const char *name) {
    pm_cpu_store_drop(&((cpu_executor *)ex)->store, name);
    ex->stats.store_bytes = ((cpu_executor *)ex)->store.bytes;
}

/* ---- loading ---- */

static pm_status grow_block(cpu_executor *ex, cpu_block *b, uint64_t bytes) {
    bytes = pm_align_up(bytes, 64);
    if (bytes <= b->bytes) return PM_OK;
    if (bytes > SIZE_MAX / 2)
        return pm_raise(PM_ERR_MEMORY, "arena: a block of %llu bytes", (unsigned long long)bytes);
    PM_TRY(want_room(ex, "intermediate results", bytes - b->bytes));
    uint32_t *words = pm_alloc((size_t)bytes + GUARD_WORDS * 4);
    if (!words) return PM_ERR_MEMORY;
    pm_free(b->words);
    ex->base.stats.arena_bytes += bytes - b->bytes;
    *b = (cpu_block){words, bytes};
    fill_words(words, bytes / 4, 0);
    fill_words(words + bytes / 4, GUARD_WORDS, GUARD);
    return PM_OK;
}

static pm_status grow_arena(cpu_executor *ex, const pm_program *p) {
    void *blocks = ex->blocks;
    PM_TRY(pm_grow(&blocks, &ex->blocks_capacity, p->n_blocks, sizeof *ex->blocks));
    ex->blocks = blocks;
    for (; ex->n_blocks < p->n_blocks; ex->n_blocks++) ex->blocks[ex->n_blocks] = (cpu_block){0};
    for (uint32_t i = 0; i < p->n_blocks; i++) PM_TRY(grow_block(ex, &ex->blocks[i], p->block_bytes[i]));
    return PM_OK;
}

static void free_io(void **copies, uint32_t n) {
    for (uint32_t i = 0; copies && i < n; i++) pm_free(copies[i]);
    pm_free(copies);
}

static void unload(pm_loaded *loaded) {
    cpu_loaded *l = (cpu_loaded *)loaded;
    free_io(l->inputs, loaded->program->n_inputs);
    free_io(l->outputs, loaded->program->n_outputs);
    pm_free(l->externals);
    pm_free(l->params);
    pm_free(l->times_ns);
    pm_free(l->starts_ns);
    pm_free(l);
}

static bool in_store(const pm_external *e) {
    return e->kind == PM_EXTERNAL_WEIGHT || e->kind == PM_EXTERNAL_STATE;
}

static pm_status check_externals(const cpu_executor *ex, const pm_program *p) {
    for (uint32_t i = 0; i < p->n_externals; i++) {
        const pm_external *e = &p->externals[i];
        if (!in_store(e)) continue;
        const pm_stored *t = pm_cpu_store_find(&ex->store, e->name);
        if (!t) return pm_raise(PM_ERR_USAGE, "program %s: the store has no tensor %s", p->name, e->name);
        if (t->bytes != e->bytes)
            return pm_raise(PM_ERR_USAGE, "program %s: the store's %s has %llu bytes, expected %llu", p->name,
                            e->name, (unsigned long long)t->bytes, (unsigned long long)e->bytes);
    }
    return PM_OK;
}

static pm_status allocate_io(void ***out, const pm_io *io, uint32_t n) {
    *out = pm_calloc(n, sizeof **out);
    if (!*out) return PM_ERR_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        (*out)[i] = pm_calloc(1, (size_t)io[i].range.bytes);
        if (!(*out)[i]) return PM_ERR_MEMORY;
    }
    return PM_OK;
}

static pm_status load(pm_executor *base, const pm_program *p, pm_loaded **out) {
    cpu_executor *ex = (cpu_executor *)base;
    cpu_loaded *l = pm_calloc(1, sizeof *l);
    pm_status s = PM_ERR_MEMORY;
    if (!l) return s;
    l->base = (pm_loaded){base, p};
    l->params = pm_calloc(p->n_params, sizeof *l->params);
    l->externals = pm_calloc(p->n_externals, sizeof *l->externals);
    if (!l->params || !l->externals) goto fail;
    if (base->options.profile) {
        l->times_ns = pm_calloc(p->n_dispatches, sizeof *l->times_ns);
        l->starts_ns = pm_calloc(p->n_dispatches, sizeof *l->starts_ns);
        if (!l->times_ns || !l->starts_ns) goto fail;
    }
    PM_GOTO(allocate_io(&l->inputs, p->inputs, p->n_inputs));
    PM_GOTO(allocate_io(&l->outputs, p->outputs, p->n_outputs));
    PM_GOTO(check_externals(ex, p));
    PM_GOTO(grow_arena(ex, p));
    *out = &l->base;
    return PM_OK;
fail:
    unload(&l->base);
    return s;
}

/* ---- running ---- */

/* The store's table moves when names are added, so its entries are looked up at the start of each run or step. */
static void resolve(cpu_loaded *l) {
    const pm_program *p = l->base.program;
    for (uint32_t i = 0; i < p->n_externals; i++)
        if (in_store(&p->externals[i]))
            l->externals[i] = pm_cpu_store_find(&owner(&l->base)->store, p->externals[i].name);
}

static void *range_at(const cpu_loaded *l, const pm_range *r) {
    const pm_program *p = l->base.program;
    if (r->slot < p->n_blocks) return (char *)owner(&l->base)->blocks[r->slot].words + r->offset;
    uint32_t e = r->slot - p->n_blocks;
    if (p->externals[e].kind == PM_EXTERNAL_CONSTANTS)
        return (char *)(uintptr_t)p->constants + r->offset; /* never written */
    if (p->externals[e].kind == PM_EXTERNAL_PARAMS) return (char *)l->params + r->offset;
    return (char *)l->externals[e]->data + r->offset;
}

typedef struct job {
    const pm_cpu_kernel *kernel;
    pm_call call;
} job;

static void run_piece(const void *context, uint64_t first, uint64_t last) {
    const job *j = context;
    j->kernel->run(&j->call, first, last);
}

static void dispatch(cpu_loaded *l, const pm_dispatch *d) {
    cpu_executor *ex = owner(&l->base);
    job j = {.kernel = ex->reference ? NULL : pm_fast_kernel(d->kernel),
             .call = {.params = d->params, .spec = d->spec}};
    if (!j.kernel) j.kernel = pm_reference_kernel(d->kernel);
    uint32_t last = d->n_bindings - 1;
    for (uint32_t i = 0; i < last; i++) {
        void *at = range_at(l, &d->bindings[i]);
        j.call.in[i] = at;
        if (d->written >> i & 1) j.call.also[i] = at;
    }
    if (!(d->unused >> last & 1)) j.call.out = range_at(l, &d->bindings[last]);
    uint64_t n = j.kernel->n_items(&j.call);
    if (d->cost < SHARED_COST)
        j.kernel->run(&j.call, 0, n);
    else
        pm_thread_pool_run(ex->pool, n, j.kernel->grain, run_piece, &j);
    if (ex->base.options.broken_kernel == 1 + (int32_t)d->kernel) pm_spoil(d->kernel, &j.call);
}

static pm_status check_guards(const cpu_executor *ex, const pm_program *p) {
    for (size_t i = 0; i < ex->n_blocks; i++)
        for (uint64_t k = 0; k < GUARD_WORDS; k++)
            if (ex->blocks[i].words[ex->blocks[i].bytes / 4 + k] != GUARD)
                return pm_raise(
                    PM_ERR_OTHER,
                    "program %s: something was written %llu bytes past the end of arena block %zu", p->name,
                    (unsigned long long)k * 4, i);
    return PM_OK;
}

static pm_status run_once(pm_loaded *loaded) {
    cpu_loaded *l = (cpu_loaded *)loaded;
    cpu_executor *ex = owner(loaded);
    const pm_program *p = loaded->program;
    bool poison = ex->base.options.poison;
    uint64_t start = pm_now_ns();
    resolve(l);
    for (size_t i = 0; i < ex->n_blocks && poison; i++)
        fill_words(ex->blocks[i].words, ex->blocks[i].bytes / 4, POISON);
    for (uint32_t i = 0; i < p->n_inputs; i++)
        memcpy(range_at(l, &p->inputs[i].range), l->inputs[i], (size_t)p->inputs[i].range.bytes);
    uint64_t ready = pm_now_ns();
    for (uint32_t i = 0, death = 0; i < p->n_dispatches; i++) {
        if (l->starts_ns) l->starts_ns[i] = pm_now_ns();
        dispatch(l, &p->dispatches[i]);
        if (l->times_ns) l->times_ns[i] = pm_now_ns() - l->starts_ns[i];
        for (; death < p->n_deaths && p->deaths[death].dispatch <= i; death++)
            if (poison)
                fill_words(range_at(l, &p->deaths[death].range), p->deaths[death].range.bytes / 4, POISON);
    }
    for (uint32_t i = 0; i < p->n_outputs; i++)
        memcpy(l->outputs[i], range_at(l, &p->outputs[i].range), (size_t)p->outputs[i].range.bytes);
    ex->base.stats.n_runs++;
    ex->base.stats.host_ns += ready - start;
    ex->base.stats.device_ns += pm_now_ns() - ready;
    return poison ? check_guards(ex, p) : PM_OK;
}

/* Whether another run would change nothing. */
static bool is_halted(const pm_loaded *loaded) {
    const pm_program *p = loaded->program;
    const uint32_t *words = p->has_halt ? range_at((const cpu_loaded *)loaded, &p->halt) : NULL;
    for (uint64_t i = 0; words && i < p->halt.bytes / 4; i++)
        if (!words[i]) return false;
    return words != NULL;
}

static pm_status run(pm_loaded *loaded, uint32_t n, const pm_watch *watch) {
    bool halted = false;
    for (uint32_t i = 0; i < n && !halted; i++) {
        PM_TRY(run_once(loaded));
        halted = is_halted(loaded);
        if (!halted) pm_watch_runs(watch, i + 1, n);
    }
    return PM_OK;
}

static pm_status step(pm_loaded *loaded, uint32_t index) {
    resolve((cpu_loaded *)loaded);
    dispatch((cpu_loaded *)loaded, &loaded->program->dispatches[index]);
    return PM_OK;
}

static pm_status write_input(pm_loaded *loaded, uint32_t input, const void *data, uint64_t bytes) {
    memcpy(((cpu_loaded *)loaded)->inputs[input], data, (size_t)bytes);
    return PM_OK;
}
static pm_status read_output(pm_loaded *loaded, uint32_t output, void *data, uint64_t bytes) {
    memcpy(data, ((cpu_loaded *)loaded)->outputs[output], (size_t)bytes);
    return PM_OK;
}
static void set_param(pm_loaded *loaded, uint32_t param, int32_t value) {
    ((cpu_loaded *)loaded)->params[param] = value;
}

static pm_status peek(pm_loaded *loaded, const pm_range *r, void *data) {
    resolve((cpu_loaded *)loaded);
    memcpy(data, range_at((cpu_loaded *)loaded, r), (size_t)r->bytes);
    return PM_OK;
}
static pm_status poke(pm_loaded *loaded, const pm_range *r, const void *data) {
    resolve((cpu_loaded *)loaded);
    memcpy(range_at((cpu_loaded *)loaded, r), data, (size_t)r->bytes);
    return PM_OK;
}
static const uint64_t *times_ns(const pm_loaded *loaded) {
    return ((const cpu_loaded *)loaded)->times_ns;
}
static const uint64_t *starts_ns(const pm_loaded *loaded) {
    return ((const cpu_loaded *)loaded)->starts_ns;
}

/* ---- opening ---- */

static void close_executor(pm_executor *base) {
    cpu_executor *ex = (cpu_executor *)base;
    for (size_t i = 0; i < ex->n_blocks; i++) pm_free(ex->blocks[i].words);
    pm_free(ex->blocks);
    pm_cpu_store_free(&ex->store);
    pm_thread_pool_destroy(ex->pool);
    pm_free(ex);
}

static const pm_executor_vtable vtable = {
    .close = close_executor,
    .put = store_put,
    .has = store_has,
    .get = store_get,
    .drop = store_drop,
    .load = load,
    .unload = unload,
    .write = write_input,
    .set_param = set_param,
    .run = run,
    .read = read_output,
    .step = step,
    .peek = peek,
    .poke = poke,
    .times_ns = times_ns,
    .starts_ns = starts_ns,
};

void pm_cpu_caps(bool reference, pm_caps *out_caps) {
    pm_caps_baseline(out_caps);
    out_caps->type = PM_DEVICE_CPU;
    for (int i = 0; i < 3; i++) out_caps->max_groups[i] = UINT32_MAX; /* loops, not workgroups */
    snprintf(out_caps->name, sizeof out_caps->name, "%s", reference ? "reference" : "cpu");
    if (reference)
        snprintf(out_caps->driver, sizeof out_caps->driver, "none: plain C, double sums, one thread");
    else
        snprintf(out_caps->driver, sizeof out_caps->driver, "none: portable C, %u threads", pm_core_count());
}

pm_status pm_cpu_open(bool reference, const pm_executor_options *options, pm_executor **out) {
    cpu_executor *ex = pm_calloc(1, sizeof *ex);
    if (!ex) return PM_ERR_MEMORY;
    ex->base.vtable = &vtable;
    ex->base.options = *options;
    ex->reference = reference;
    pm_cpu_caps(reference, &ex->base.caps);
    if (options->max_block_bytes) ex->base.caps.max_block_bytes = options->max_block_bytes;
    if (options->submit_cost) ex->base.caps.submit_cost = options->submit_cost;
    pm_status s = pm_thread_pool_create(reference ? 1 : options->n_threads, &ex->pool);
    if (s != PM_OK) {
        close_executor(&ex->base);
        return s;
    }
    *out = &ex->base;
    return PM_OK;
}
