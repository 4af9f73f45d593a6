/* idx files (pumice/image.h): a magic number that holds the type and the rank, the dims, the bytes; numbers are big-endian. */
#include "models/image.h"

#include <inttypes.h>
#include <zlib.h>

enum { TYPE_BYTES = 8, MAX_ITEMS = 1 << 24, MAX_SIDE = 1 << 14 };

static pm_status read_bytes(gzFile f, const char *path, void *to, uint64_t n) {
    uint8_t *at = to;
    while (n) {
        unsigned piece = n < 1u << 30 ? (unsigned)n : 1u << 30;
        int got = gzread(f, at, piece);
        if (got <= 0)
            return pm_raise(PM_ERR_FILE, "%s: is cut short, or its compressed data is damaged", path);
        at += got;
        n -= (unsigned)got;
    }
    return PM_OK;
}

static uint32_t big_endian(const uint8_t b[4]) {
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static pm_status read_header(gzFile f, const char *path, int rank, pm_idx *out) {
    uint8_t words[4][4];
    int64_t *dims[] = {&out->n, &out->height, &out->width}, most[] = {MAX_ITEMS, MAX_SIDE, MAX_SIDE};
    PM_TRY(read_bytes(f, path, words[0], 4));
    uint32_t magic = big_endian(words[0]), expected = TYPE_BYTES << 8 | (uint32_t)rank;
    if (magic != expected)
        return pm_raise(PM_ERR_FILE,
                        "%s: begins with %08" PRIx32 ", expected %08" PRIx32
                        " of an idx file of bytes, rank %d",
                        path, magic, expected, rank);
    PM_TRY(read_bytes(f, path, words[1], 4 * (uint64_t)rank));
    out->height = out->width = 1;
    for (int i = 0; i < rank; i++) {
        *dims[i] = big_endian(words[1 + i]);
        if (*dims[i] < 1 || *dims[i] > most[i])
            return pm_raise(PM_ERR_FILE, "%s: dim %d is %" PRId64 ", expected 1..%" PRId64, path, i, *dims[i],
                            most[i]);
    }
    return PM_OK;
}

pm_status pm_idx_open(const char *path, int rank, pm_idx *out) {
    *out = (pm_idx){0};
    if (rank != 1 && rank != 3) return pm_raise(PM_ERR_USAGE, "idx: rank %d, expected 1 or 3", rank);
    gzFile f = gzopen(path, "rb"); /* reads files that are not compressed, too */
    if (!f) return pm_raise(PM_ERR_FILE, "%s: cannot be opened", path);
    pm_status s = read_header(f, path, rank, out);
    uint64_t bytes = 0;
    if (s == PM_OK && (!pm_mul_u64((uint64_t)out->height * (uint64_t)out->width, (uint64_t)out->n, &bytes) ||
                       bytes > (uint64_t)1 << 32))
        s = pm_raise(PM_ERR_FILE, "%s: has %" PRIu64 " bytes, expected at most 2^32", path, bytes);
    if (s == PM_OK && !(out->data = pm_alloc((size_t)bytes))) s = PM_ERR_MEMORY;
    if (s == PM_OK) s = read_bytes(f, path, out->data, bytes);
    gzclose(f);
    if (s != PM_OK) pm_idx_free(out);
    return s;
}

void pm_idx_free(pm_idx *f) {
    if (!f) return;
    pm_free(f->data);
    *f = (pm_idx){0};
}

pm_image pm_idx_image(const pm_idx *f, int64_t i) {
    return (pm_image){f->width, f->height, 1, f->data + i * f->height * f->width};
}
