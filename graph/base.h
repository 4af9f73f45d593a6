/* The floor under every folder: raising errors, hooked allocation, growing text, checked arithmetic.
 * Owns no state but the thread's error text and the allocator hook. Never prints, never exits. */
#ifndef PM_BASE_INTERNAL_H
#define PM_BASE_INTERNAL_H

#include <stdarg.h>

#include "pumice/base.h"

/* Records the text of an error (once, at its origin) and returns `status` to be forwarded.
 * Form of the text: "<what>: <which thing, which value, what was expected>". */
pm_status pm_raise(pm_status status, const char *fmt, ...) PM_PRINTF(2, 3);

/* Forward a failure: `PM_TRY(f(x));` returns from the caller; `PM_GOTO(f(x));` needs `pm_status s` and a label `fail`. */
#define PM_TRY(call)                                                                                         \
    do {                                                                                                     \
        pm_status pm_try_s = (call);                                                                         \
        if (pm_try_s != PM_OK) return pm_try_s;                                                              \
    } while (0)
#define PM_GOTO(call)                                                                                        \
    do {                                                                                                     \
        s = (call);                                                                                          \
        if (s != PM_OK) goto fail;                                                                           \
    } while (0)

/* Hooked allocation. All return NULL with PM_ERR_MEMORY raised when memory is out or `n * size` overflows;
 * zero elements give a valid pointer. pm_free(NULL) does nothing. */
void *pm_alloc(size_t bytes);                             /* uninitialised */
void *pm_calloc(size_t n, size_t size);                   /* zeroed */
void *pm_realloc_array(void *old, size_t n, size_t size); /* contents kept */
char *pm_strdup(const char *text);
void pm_free(void *p);

/* Grows `*array` (of `elem` bytes each) so that it holds at least `need` elements; doubles. */
pm_status pm_grow(void **array, size_t *capacity, size_t need, size_t elem) PM_MUST_USE;

/* Growing text. Zero-initialise; a failed append sets `failed` and later appends do nothing; free with pm_text_free.
 * `data` is NUL-terminated when not NULL. */
typedef struct pm_text {
    char *data;
    size_t length, capacity;
    bool failed;
} pm_text;
void pm_text_add(pm_text *t, const char *fmt, ...) PM_PRINTF(2, 3);
void pm_text_add_bytes(pm_text *t, const char *bytes, size_t n);
void pm_text_add_xml(
    pm_text *t,
    const char *utf8); /* escaped for XML and HTML; control characters but line ends and tabs: blanks */
void pm_text_add_json(pm_text *t, const char *utf8);    /* a quoted, escaped JSON string */
pm_status pm_text_status(const pm_text *t) PM_MUST_USE; /* PM_OK, or PM_ERR_MEMORY when an append failed */
void pm_text_free(pm_text *t);

/* A bump allocator that owns many small objects and frees them at once. Zero-initialise. Memory is zeroed. */
typedef struct pm_arena {
    struct pm_arena_chunk *head;
    size_t used;
} pm_arena;
void *pm_arena_alloc(pm_arena *a, size_t bytes);
char *pm_arena_strdup(pm_arena *a, const char *text);
void pm_arena_free(pm_arena *a);

/* Overflow-checked arithmetic: false when the result does not fit. */
bool pm_mul_u64(uint64_t a, uint64_t b, uint64_t *out);
bool pm_add_u64(uint64_t a, uint64_t b, uint64_t *out);

static inline uint64_t pm_align_up(uint64_t x, uint64_t alignment) {
    return (x + alignment - 1) / alignment * alignment;
}

uint64_t pm_now_ns(void); /* a monotonic clock */

#define PM_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
