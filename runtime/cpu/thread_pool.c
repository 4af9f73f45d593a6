/* See thread_pool.h. Workers sleep on a condition until the loop's number changes; pieces are claimed by an atomic counter. */
#include "runtime/cpu/thread_pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

struct pm_thread_pool {
    uint32_t n_workers, n_started;
    pthread_t *threads;
    pthread_mutex_t mutex;
    pthread_cond_t start, done;
    /* under the mutex */
    uint64_t loop;      /* number of the current loop */
    uint32_t n_working; /* workers that have not finished it */
    bool stop;
    /* the loop; written before `loop` changes */
    pm_loop_body body;
    const void *context;
    uint64_t n, grain;
    atomic_uint_fast64_t next;
};

static void work(pm_thread_pool *p) {
    for (;;) {
        uint64_t first = atomic_fetch_add_explicit(&p->next, p->grain, memory_order_relaxed);
        if (first >= p->n) return;
        p->body(p->context, first, p->n - first < p->grain ? p->n : first + p->grain);
    }
}

static void *worker(void *arg) {
    pm_thread_pool *p = arg;
    uint64_t seen = 0;
    pthread_mutex_lock(&p->mutex);
    for (;;) {
        while (!p->stop && p->loop == seen) pthread_cond_wait(&p->start, &p->mutex);
        if (p->stop) break;
        seen = p->loop;
        pthread_mutex_unlock(&p->mutex);
        work(p);
        pthread_mutex_lock(&p->mutex);
        if (--p->n_working == 0) pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

uint32_t pm_core_count(void) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > 256 ? 256 : (uint32_t)cores;
}

pm_status pm_thread_pool_create(uint32_t n_threads, pm_thread_pool **out) {
    if (!n_threads) n_threads = pm_core_count();
    pm_thread_pool *p = pm_calloc(1, sizeof *p);
    if (!p) return PM_ERR_MEMORY;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->start, NULL);
    pthread_cond_init(&p->done, NULL);
    p->threads = pm_calloc(n_threads, sizeof *p->threads);
    if (!p->threads) {
        pm_thread_pool_destroy(p);
        return PM_ERR_MEMORY;
    }
    for (p->n_workers = n_threads - 1; p->n_started < p->n_workers; p->n_started++)
        if (pthread_create(&p->threads[p->n_started], NULL, worker, p) != 0) {
            pm_status s =
                pm_raise(PM_ERR_OTHER, "threads: only %u of %u could be started", p->n_started, p->n_workers);
            pm_thread_pool_destroy(p);
            return s;
        }
    *out = p;
    return PM_OK;
}

void pm_thread_pool_destroy(pm_thread_pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->mutex);
    p->stop = true;
    pthread_cond_broadcast(&p->start);
    pthread_mutex_unlock(&p->mutex);
    for (uint32_t i = 0; i < p->n_started; i++) pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->start);
    pthread_mutex_destroy(&p->mutex);
    pm_free(p->threads);
    pm_free(p);
}

uint32_t pm_thread_pool_size(const pm_thread_pool *p) {
    return p->n_workers + 1;
}

void pm_thread_pool_run(pm_thread_pool *p, uint64_t n, uint64_t grain, pm_loop_body body,
                        const void *context) {
    if (!n) return;
    if (!p->n_workers || n <= grain) {
        body(context, 0, n);
        return;
    }
    /* a few pieces a thread, so that a slow one does not hold up the rest, but none below the grain */
    uint64_t even = n / (4 * (uint64_t)(p->n_workers + 1));
    pthread_mutex_lock(&p->mutex);
    p->body = body;
    p->context = context;
    p->n = n;
    p->grain = even > grain ? even : grain;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    p->n_working = p->n_workers;
    p->loop++;
    pthread_cond_broadcast(&p->start);
    pthread_mutex_unlock(&p->mutex);
    work(p);
    pthread_mutex_lock(&p->mutex);
    while (p->n_working) pthread_cond_wait(&p->done, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
}
