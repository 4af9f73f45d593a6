/* See gguf_reader.h. */
#include "models/gguf_reader.h"

#include <inttypes.h>

uint64_t pm_gguf_word(const unsigned char *p, int bytes) {
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

pm_gguf_shown pm_gguf_show(pm_gguf_text t) {
    pm_gguf_shown out;
    size_t n = t.n < sizeof out.s - 1 ? (size_t)t.n : sizeof out.s - 1;
    for (size_t i = 0; i < n; i++) out.s[i] = t.s[i] >= ' ' && t.s[i] <= '~' ? t.s[i] : '?';
    out.s[n] = 0;
    return out;
}

pm_status pm_gguf_skip(pm_gguf_reader *r, uint64_t bytes, const char *what) {
    if (bytes > r->bytes - r->at)
        return pm_raise(PM_ERR_FILE,
                        "%s: %s wants %" PRIu64 " bytes at byte %" PRIu64 ", but the file has %" PRIu64,
                        r->label, what, bytes, r->at, r->bytes);
    r->at += bytes;
    return PM_OK;
}

pm_status pm_gguf_next(pm_gguf_reader *r, int bytes, const char *what, uint64_t *out) {
    uint64_t at = r->at;
    PM_TRY(pm_gguf_skip(r, (uint64_t)bytes, what));
    *out = pm_gguf_word(r->data + at, bytes);
    return PM_OK;
}

pm_status pm_gguf_next_text(pm_gguf_reader *r, const char *what, pm_gguf_text *out) {
    uint64_t n = 0;
    PM_TRY(pm_gguf_next(r, 8, what, &n));
    *out = (pm_gguf_text){(const char *)r->data + r->at, n};
    return pm_gguf_skip(r, n, what);
}
