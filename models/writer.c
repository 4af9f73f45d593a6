/* See writer.h and pm_file_write of pumice/tensors.h. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "models/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pumice/tensors.h"

enum { MAX_NAMES = 100 };

static pm_status cannot(const char *path, int error) {
    return pm_raise(PM_ERR_OTHER, "%s: cannot write: %s", path, strerror(error));
}

/* The place that `path` means. Of a file it is the end of the links; what is no file is opened by the caller's name,
 * since /dev/stdout may lead to a pipe that has no other. */
static int resolve(pm_writer *w, struct stat *out_stat) {
    struct stat link;
    bool there = stat(w->path, out_stat) == 0;
    if (!there && errno != ENOENT) return errno;
    if (!there && lstat(w->path, &link) == 0) { /* a link to a file that is yet to be made */
        int fd = open(w->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0 || fstat(fd, out_stat) != 0) return errno;
        close(fd);
        there = w->made_target = true;
    }
    bool is_file = there && S_ISREG(out_stat->st_mode);
    char *real = is_file ? realpath(w->path, NULL) : NULL;
    if (is_file && !real) return errno;
    w->target = pm_strdup(real ? real : w->path);
    free(real);
    if (!there) out_stat->st_mode = 0;
    return w->target ? 0 : ENOMEM;
}

/* A new file in the target's folder. O_EXCL makes it ours: no file and no link of that name is touched, and the
 * mode is what the process's umask gives. */
static int open_temporary(pm_writer *w) {
    const char *slash = strrchr(w->target, '/');
    int folder = slash ? (int)(slash + 1 - w->target) : 0;
    for (int i = 0; i < MAX_NAMES; i++) {
        pm_text name = {0};
        pm_text_add(&name, "%.*s.pumice-%ld-%" PRIx64, folder, w->target, (long)getpid(), pm_now_ns());
        int fd = name.failed ? -1 : open(name.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        int error = name.failed ? ENOMEM : errno;
        if (fd >= 0) return w->temporary = name.data, fd;
        pm_text_free(&name);
        errno = error;
        if (error != EEXIST) break;
    }
    return -1;
}

static int open_file(pm_writer *w) {
    struct stat st;
    int error = resolve(w, &st);
    if (error) return error;
    bool is_file = S_ISREG(st.st_mode);
    if (is_file && access(w->target, W_OK) != 0) return errno;
    int fd = -1;
    bool straight =
        st.st_mode && (!is_file || st.st_nlink > 1); /* its other names shall see the new contents */
    if (!straight) fd = open_temporary(w);
    if (fd < 0 &&
        (straight || (is_file && (errno == EACCES || errno == EPERM)))) /* a folder that takes no new file */
        fd = open(w->target, O_WRONLY | O_CLOEXEC | (is_file ? O_TRUNC : 0));
    if (fd < 0) return errno;
    if (w->temporary && is_file)
        (void)!fchmod(fd, st.st_mode & 0777); /* as writing into the old file would leave it */
    w->file = fdopen(fd, "wb");
    if (w->file) return 0;
    error = errno;
    close(fd);
    return error;
}

static void clean_up(pm_writer *w, bool failed) {
    if (failed && w->temporary) unlink(w->temporary);
    if (failed && w->made_target && w->target) unlink(w->target);
    pm_free(w->target);
    pm_free(w->temporary);
    *w = (pm_writer){0};
}

pm_status pm_writer_open(pm_writer *w, const char *path) {
    *w = (pm_writer){.path = path};
    int error = open_file(w);
    if (!error) return PM_OK;
    clean_up(w, true);
    return error == ENOMEM ? pm_raise(PM_ERR_MEMORY, "out of memory: writing %s", path) : cannot(path, error);
}

void pm_writer_add(pm_writer *w, const void *data, size_t bytes) {
    if (!w->error && bytes && fwrite(data, 1, bytes, w->file) != bytes) w->error = errno;
}

pm_status pm_writer_close(pm_writer *w) {
    const char *path = w->path;
    if (!w->error && fflush(w->file) != 0) w->error = errno;
    if (!w->error && w->temporary && fsync(fileno(w->file)) != 0) w->error = errno;
    if (fclose(w->file) != 0 && !w->error) w->error = errno;
    if (!w->error && w->temporary && rename(w->temporary, w->target) != 0) w->error = errno;
    int error = w->error;
    clean_up(w, error != 0);
    return error ? cannot(path, error) : PM_OK;
}

pm_status pm_file_write(const char *path, const void *data, size_t bytes) {
    pm_writer w;
    PM_TRY(pm_writer_open(&w, path));
    pm_writer_add(&w, data, bytes);
    return pm_writer_close(&w);
}
