/* The files of a model: a folder on disk, one GGUF file, or a built-in model embedded in the library. Owns the mapped
 * bytes; never looks inside a file, but that it opens a GGUF file, which stands for a whole folder. */
#ifndef PM_FILES_H
#define PM_FILES_H

#include "graph/base.h"

/* The bytes of one file: memory-mapped read-only, or part of the library. */
typedef struct pm_blob {
    const unsigned char *data;
    size_t bytes;
    bool mapped;
} pm_blob;

/* Errors: PM_ERR_FILE names the path and the reason. An empty file gives bytes 0. */
pm_status pm_blob_open(const char *path, pm_blob *out_blob) PM_MUST_USE;
void pm_blob_close(pm_blob *b);

typedef struct pm_files {
    char *path; /* the folder, the GGUF file, or the built-in model's name */
    bool builtin;
    struct pm_gguf *gguf; /* NULL: no GGUF file; else no file of the folder's kind is there */
} pm_files;

/* path: a folder, a file whose name ends in .gguf, or else the name of a built-in model. */
pm_status pm_files_open(const char *path, pm_files *out_files) PM_MUST_USE;
void pm_files_close(pm_files *f);
bool pm_files_has(const pm_files *f, const char *name);
pm_status pm_files_get(const pm_files *f, const char *name, pm_blob *out_blob) PM_MUST_USE;

#endif
