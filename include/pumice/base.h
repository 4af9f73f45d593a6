/* Pumice, base: status codes, error text, element types, memory hook. No other header is needed first.
 *
 * Every function that can fail returns a pm_status, which must be used. The text of the newest failure in this
 * thread, with the thing and the value that caused it, is read with pm_error_text(). The library never exits,
 * aborts or prints.
 *
 *     pm_status s = pm_model_open("path/to/model", &model);
 *     if (s != PM_OK) { fprintf(stderr, "%s\n", pm_error_text()); return s; }
 */
#ifndef PUMICE_BASE_H
#define PUMICE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PM_MUST_USE          __attribute__((warn_unused_result))
#define PM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define PM_MUST_USE
#define PM_PRINTF(fmt, args)
#endif

/* The values are also the exit codes of the command. */
typedef enum pm_status {
    PM_OK = 0,
    PM_ERR_VERIFY = 1, /* verification found an operation out of bounds */
    PM_ERR_USAGE = 2,  /* the caller asked for something meaningless */
    PM_ERR_FILE = 3,   /* a file is missing, cut, inconsistent or of an unsupported kind */
    PM_ERR_DEVICE = 4, /* no such device, or the device lacks a feature */
    PM_ERR_MEMORY = 5, /* out of memory, on the host or on the device */
    PM_ERR_LOST = 6,   /* the device was lost while it worked */
    PM_ERR_OTHER = 7   /* anything else: an input/output error, a broken invariant */
} pm_status;

/* Text of the newest error raised in this thread; never NULL; valid until the next error in this thread. */
const char *pm_error_text(void);

/* Element types. PM_BOOL and PM_I32 are stored as one 32-bit word in every executor. */
typedef enum pm_dtype {
    PM_F32 = 0,
    PM_I32 = 1,
    PM_BOOL = 2,
    PM_F16 = 3,  /* files only, for now: converted to F32 when loaded */
    PM_BF16 = 4, /* files only, for now */
    PM_I64 = 5,  /* files only: ids and masks; converted to I32 when loaded, checked */
    PM_U8 = 6,   /* files only */
    PM_N_DTYPES
} pm_dtype;

const char *pm_dtype_name(pm_dtype t); /* "f32", "i32", "bool", "f16", "bf16", "i64", "u8" */
size_t pm_dtype_bytes(pm_dtype t);     /* bytes of one element */

/* Most dimensions that a tensor can have. Dims are listed outermost first. */
#define PM_MAX_DIMS 5

/* The allocation hook: one function for malloc (old NULL), realloc and free (bytes 0). It must return memory aligned
 * for any type or NULL. Set it before any other call; NULL restores the C library's. */
typedef void *(*pm_alloc_fn)(void *user, void *old, size_t bytes);
void pm_set_allocator(pm_alloc_fn fn, void *user);

const char *pm_version(void); /* "0.1.0" */

#ifdef __cplusplus
}
#endif
#endif
