/* Owns the thread's error text and the allocation hook. See base.h. */
#include "graph/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static _Thread_local char error_text[1024] = "no error";

const char *pm_error_text(void) {
    return error_text;
}
const char *pm_version(void) {
    return PM_VERSION;
}

/* Bytes of the character at s, a whole one of UTF-8 that is no control; else 0. */
static size_t character(const unsigned char *s) {
    static const uint32_t least[] = {0, 0, 0xa0, 0x800,
                                     0x10000}; /* by bytes; U+0080 to U+009F are controls */
    size_t n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
    if (n < 2) return n && s[0] >= ' ' && s[0] != 0x7f;
    uint32_t c = s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (s[i] >> 6 != 2) return 0;
        c = c << 6 | (s[i] & 0x3fu);
    }
    return c >= least[n] && c <= 0x10ffff && c >> 11 != 0x1b ? n : 0;
}

pm_status pm_raise(pm_status status, const char *fmt, ...) {
    char text[sizeof error_text]; /* an argument may be the old error text */
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (char *c = text; *c;) { /* one line that any terminal shows, whatever a file put in a name */
        size_t n = character((const unsigned char *)c);
        if (n == 0) *c = *c == '\n' || *c == '\r' || *c == '\t' ? ' ' : '?';
        c += n ? n : 1;
    }
    memcpy(error_text, text, sizeof text);
    return status;
}

static const struct {
    const char *name;
    size_t bytes;
} dtypes[PM_N_DTYPES] = {
    [PM_F32] = {"f32", 4},   [PM_I32] = {"i32", 4}, [PM_BOOL] = {"bool", 4}, [PM_F16] = {"f16", 2},
    [PM_BF16] = {"bf16", 2}, [PM_I64] = {"i64", 8}, [PM_U8] = {"u8", 1},
};

const char *pm_dtype_name(pm_dtype t) {
    return t < PM_N_DTYPES ? dtypes[t].name : "?";
}
size_t pm_dtype_bytes(pm_dtype t) {
    return t < PM_N_DTYPES ? dtypes[t].bytes : 0;
}

/* ---- memory ---- */

static void *libc_alloc(void *user, void *old, size_t bytes) {
    (void)user;
    if (bytes) return realloc(old, bytes);
    free(old);
    return NULL;
}

static struct {
    pm_alloc_fn fn;
    void *user;
} hook = {libc_alloc, NULL};

void pm_set_allocator(pm_alloc_fn fn, void *user) {
    hook.fn = fn ? fn : libc_alloc;
    hook.user = user;
}

static void *allocate(void *old, size_t bytes) {
    void *p = hook.fn(hook.user, old, bytes ? bytes : 1);
    if (!p) (void)pm_raise(PM_ERR_MEMORY, "out of memory: %zu bytes of host memory were refused", bytes);
    return p;
}

void *pm_alloc(size_t bytes) {
    return allocate(NULL, bytes);
}

void *pm_realloc_array(void *old, size_t n, size_t size) {
    if (size && n > SIZE_MAX / size) {
        (void)pm_raise(PM_ERR_MEMORY, "out of memory: %zu elements of %zu bytes do not fit an address space",
                       n, size);
        return NULL;
    }
    return allocate(old, n * size);
}

void *pm_calloc(size_t n, size_t size) {
    void *p = pm_realloc_array(NULL, n, size);
    if (p) memset(p, 0, n * size);
    return p;
}

char *pm_strdup(const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = pm_alloc(n);
    return copy ? memcpy(copy, text, n) : NULL;
}

void pm_free(void *p) {
    if (p) hook.fn(hook.user, p, 0);
}

pm_status pm_grow(void **array, size_t *capacity, size_t need, size_t elem) {
    if (need <= *capacity) return PM_OK;
    size_t n = *capacity < 8 ? 8 : *capacity;
    while (n < need) n = n > SIZE_MAX / 2 ? need : n * 2;
    void *p = pm_realloc_array(*array, n, elem);
    if (!p) return PM_ERR_MEMORY;
    *array = p;
    *capacity = n;
    return PM_OK;
}

/* ---- arena: chunks in a list, the newest first ---- */

struct pm_arena_chunk {
    struct pm_arena_chunk *next;
    size_t capacity;
    max_align_t data[];
};

void *pm_arena_alloc(pm_arena *a, size_t bytes) {
    if (bytes > SIZE_MAX / 2)
        return (void)pm_raise(PM_ERR_MEMORY, "out of memory: %zu bytes asked for", bytes), NULL;
    bytes = (size_t)pm_align_up(bytes ? bytes : 1, _Alignof(max_align_t));
    if (!a->head || a->head->capacity - a->used < bytes) {
        size_t capacity = bytes > 65536 ? bytes : 65536;
        struct pm_arena_chunk *chunk = pm_alloc(sizeof *chunk + capacity);
        if (!chunk) return NULL;
        chunk->next = a->head;
        chunk->capacity = capacity;
        a->head = chunk;
        a->used = 0;
    }
    void *p = (char *)a->head->data + a->used;
    a->used += bytes;
    return memset(p, 0, bytes);
}

char *pm_arena_strdup(pm_arena *a, const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = pm_arena_alloc(a, n);
    return copy ? memcpy(copy, text, n) : NULL;
}

void pm_arena_free(pm_arena *a) {
    for (struct pm_arena_chunk *c = a->head, *next; c; c = next) {
        next = c->next;
        pm_free(c);
    }
    *a = (pm_arena){0};
}

/* ---- text ---- */

void pm_text_add_bytes(pm_text *t, const char *bytes, size_t n) {
    if (t->failed) return;
    void *data = t->data;
    if (n > SIZE_MAX / 2 || pm_grow(&data, &t->capacity, t->length + n + 1, 1) != PM_OK) {
        t->failed = true;
        return;
    }
    t->data = data;
    memcpy(t->data + t->length, bytes, n);
    t->length += n;
    t->data[t->length] = 0;
}

void pm_text_add(pm_text *t, const char *fmt, ...) {
    char small[256];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    if (n < 0) {
        t->failed = true;
        return;
    }
    if ((size_t)n < sizeof small) {
        pm_text_add_bytes(t, small, (size_t)n);
        return;
    }
    char *big = pm_alloc((size_t)n + 1);
    if (!big) {
        t->failed = true;
        return;
    }
    va_start(args, fmt);
    vsnprintf(big, (size_t)n + 1, fmt, args);
    va_end(args);
    pm_text_add_bytes(t, big, (size_t)n);
    pm_free(big);
}

void pm_text_add_xml(pm_text *t, const char *utf8) {
    for (const char *c = utf8; *c; c++) {
        switch (*c) {
        case '<': pm_text_add(t, "&lt;"); break;
        case '>': pm_text_add(t, "&gt;"); break;
        case '&': pm_text_add(t, "&amp;"); break;
        case '"': pm_text_add(t, "&quot;"); break;
        case '\n':
        case '\t': pm_text_add_bytes(t, c, 1); break;
        default: pm_text_add_bytes(t, (unsigned char)*c < 0x20 ? " " : c, 1);
        }
    }
}

void pm_text_add_json(pm_text *t, const char *utf8) {
    pm_text_add_bytes(t, "\"", 1);
    for (const char *c = utf8; *c; c++) {
        if (*c == '"' || *c == '\\')
            pm_text_add(t, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            pm_text_add(t, "\\u%04x", (unsigned)(unsigned char)*c);
        else
            pm_text_add_bytes(t, c, 1);
    }
    pm_text_add_bytes(t, "\"", 1);
}

pm_status pm_text_status(const pm_text *t) {
    return t->failed ? PM_ERR_MEMORY : PM_OK;
}

void pm_text_free(pm_text *t) {
    pm_free(t->data);
    *t = (pm_text){0};
}

void pm_text_release(char *text); /* graph.h */
void pm_text_release(char *text) {
    pm_free(text);
}

/* ---- arithmetic, time ---- */

bool pm_mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    *out = a * b;
    return !a || b <= UINT64_MAX / a;
}

bool pm_add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    *out = a + b;
    return *out >= a;
}

uint64_t pm_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
