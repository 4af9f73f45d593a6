/* See files.h. Invariant: a blob that failed to open has data NULL and may be closed. */
#include "models/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models/builtin.h"
#include "models/gguf.h"

enum { PATH_CHARS = 4096 };

pm_status pm_blob_open(const char *path, pm_blob *out_blob) {
    struct stat st;
    *out_blob = (pm_blob){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* opening a pipe must not wait for its writer */
    if (fd < 0) return pm_raise(PM_ERR_FILE, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return pm_raise(PM_ERR_FILE, "%s: not a regular file", path);
    }
    if ((uintmax_t)st.st_size > SIZE_MAX) {
        close(fd);
        return pm_raise(PM_ERR_FILE, "%s: has %jd bytes, more than this machine can address", path,
                        (intmax_t)st.st_size);
    }
    if (st.st_size > 0) {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            int error = errno;
            close(fd);
            return pm_raise(PM_ERR_FILE, "%s: cannot map %jd bytes: %s", path, (intmax_t)st.st_size,
                            strerror(error));
        }
        *out_blob = (pm_blob){data, (size_t)st.st_size, true};
    }
    close(fd);
    return PM_OK;
}

void pm_blob_close(pm_blob *b) {
    /* The mapping was made read-only; munmap alone wants a pointer to non-const. */
    if (b->mapped) munmap((void *)(uintptr_t)b->data, b->bytes);
    *b = (pm_blob){0};
}

static const pm_builtin_file *find_builtin(const char *model, const char *file) {
    for (const pm_builtin_file *f = pm_builtin_files; f->model; f++)
        if (strcmp(f->model, model) == 0 && (!file || strcmp(f->file, file) == 0)) return f;
    return NULL;
}

static bool ends_in(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

pm_status pm_files_open(const char *path, pm_files *out_files) {
    struct stat st;
    *out_files = (pm_files){0};
    bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode), gguf = !folder && ends_in(path, ".gguf");
    if (!folder && !gguf && !find_builtin(path, NULL))
        return pm_raise(PM_ERR_FILE, "%s: neither a folder, a .gguf file nor the name of a built-in model",
                        path);
    if (gguf) PM_TRY(pm_gguf_open(path, &out_files->gguf));
    out_files->path = pm_strdup(path);
    out_files->builtin = !folder && !gguf;
    if (out_files->path) return PM_OK;
    pm_files_close(out_files);
    return PM_ERR_MEMORY;
}

void pm_files_close(pm_files *f) {
    pm_gguf_close(f->gguf);
    pm_free(f->path);
    *f = (pm_files){0};
}

bool pm_files_has(const pm_files *f, const char *name) {
    if (f->gguf) return false;
    if (f->builtin) {
        const pm_builtin_file *b = find_builtin(f->path, name);
        return b && *b->bytes > 0;
    }
    char path[PATH_CHARS];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s", f->path, name);
    return n > 0 && n < PATH_CHARS && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

pm_status pm_files_get(const pm_files *f, const char *name, pm_blob *out_blob) {
    *out_blob = (pm_blob){0};
    if (f->gguf) return pm_raise(PM_ERR_FILE, "%s: a GGUF file has no file %s", f->path, name);
    if (f->builtin) {
        const pm_builtin_file *b = find_builtin(f->path, name);
        if (!b) return pm_raise(PM_ERR_FILE, "%s: the built-in model has no file %s", f->path, name);
        *out_blob = (pm_blob){b->data, *b->bytes, false};
        return PM_OK;
    }
    pm_text path = {0};
    pm_text_add(&path, "%s/%s", f->path, name);
    pm_status s = pm_text_status(&path);
    if (s == PM_OK) s = pm_blob_open(path.data, out_blob);
    pm_text_free(&path);
    return s;
}
