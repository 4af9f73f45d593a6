/* A text that arrives id by id. The newest ids are decoded together with those given out last, since a token's text may depend on
 * its neighbours (spaces, bytes of one character); what is new at the end and whole is given out. */
#include "models/tokenizer/tok_data.h"

#include "pumice/model.h"

enum { PATIENCE = 16 }; /* ids that may wait for their character to end: with more it never will */

struct pm_text_stream {
    const pm_tokenizer *t;
    bool skip_special;
    int32_t ids[2 * PATIENCE + 1];
    size_t n, given; /* ids held; those of them that were given out, last time */
    char *out;
};

pm_status pm_text_stream_open(const pm_tokenizer *t, bool skip_special, pm_text_stream **out) {
    pm_text_stream *s = *out = pm_calloc(1, sizeof *s);
    if (!s) return PM_ERR_MEMORY;
    *s = (pm_text_stream){.t = t, .skip_special = skip_special};
    return PM_OK;
}

void pm_text_stream_close(pm_text_stream *s) {
    if (!s) return;
    pm_free(s->out);
    pm_free(s);
}

static bool ends_open(const char *s, size_t n) {
    return n >= 3 && memcmp(s + n - 3, "\xEF\xBF\xBD", 3) == 0;
}

/* What all held ids say that the given ones did not. */
static pm_status give(pm_text_stream *s, bool all, const char **out_text, size_t *out_bytes) {
    char *before = NULL, *now = NULL;
    size_t n_before = 0, n_now = 0;
    pm_status status = pm_tokenizer_decode(s->t, s->ids, s->given, s->skip_special, &before, &n_before);
    *out_text = "";
    if (out_bytes) *out_bytes = 0;
    if (status == PM_OK) status = pm_tokenizer_decode(s->t, s->ids, s->n, s->skip_special, &now, &n_now);
    bool ready = status == PM_OK && (all || !ends_open(now, n_now) || s->n - s->given >= PATIENCE);
    if (ready && n_now > 0 && (all || n_now > n_before)) {
        size_t same = n_before < n_now ? n_before : n_now; /* nothing is taken back */
        while (same < n_now && ((unsigned char)now[same] & 0xC0) == 0x80) same++;
        memmove(now, now + same, n_now - same + 1);
        if (out_bytes) *out_bytes = n_now - same;
        pm_free(s->out);
        *out_text = s->out = now;
        now = NULL;
        memmove(s->ids, s->ids + s->given, (s->n - s->given) * sizeof *s->ids);
        s->n = s->given = s->n - s->given;
    }
    pm_release(before);
    pm_release(now);
    return status;
}

pm_status pm_text_stream_add(pm_text_stream *s, int32_t id, const char **out_text, size_t *out_bytes) {
    size_t n;
    *out_text = "";
    if (out_bytes) *out_bytes = 0;
    if (!pm_tokenizer_token(s->t, id, &n) || (s->skip_special && pm_tokenizer_is_special(s->t, id)))
        return PM_OK;
    s->ids[s->n++] = id;
    pm_status status = give(s, false, out_text, out_bytes);
    if (s->n == PM_COUNT(s->ids)) s->n = s->given = 0; /* ids without a text */
    return status;
}

pm_status pm_text_stream_end(pm_text_stream *s, const char **out_text, size_t *out_bytes) {
    return give(s, true, out_text, out_bytes);
}
