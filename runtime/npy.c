/* See npy.h. */
#include "runtime/npy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

pm_status pm_npy_write(const char *path, const void *words, uint64_t n, bool integers) {
    enum { HEADER = 128 }; /* magic, version, length, text: a multiple of 64 */
    const uint16_t probe = 1;
    char header[HEADER + 1];
    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* version 1.0, 118 bytes of text */
    int used =
        snprintf(header + 10, HEADER - 10, "{'descr': '%c%c4', 'fortran_order': False, 'shape': (%llu,), }",
                 *(const char *)&probe ? '<' : '>', integers ? 'i' : 'f', (unsigned long long)n);
    header[10 + used] = ' ';
    header[HEADER - 1] = '\n';
    FILE *f = fopen(path, "wb");
    if (!f) return pm_raise(PM_ERR_OTHER, "cannot write %s: %s", path, strerror(errno));
    bool ok = fwrite(header, 1, HEADER, f) == HEADER && fwrite(words, 4, (size_t)n, f) == n;
    ok = fclose(f) == 0 && ok;
    return ok ? PM_OK : pm_raise(PM_ERR_OTHER, "cannot write %s: %s", path, strerror(errno));
}
