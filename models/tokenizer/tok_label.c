/* Tokens for people: axis labels, in which every byte can be seen and none breaks a line. */
#include "models/tokenizer/tok_data.h"
#include "models/tokenizer/tokenizer.h"

#include <string.h>

static bool is_byte_level(const pm_tokenizer *t) {
    for (size_t i = 0; i < t->decoder.n; i++)
        if (strcmp(t->decoder.c[i].kind->name, "ByteLevel") == 0) return true;
    return false;
}

/* Joiners shape the letters around them; alone they are nothing to see. */
static bool is_joiner(int32_t c) {
    return c == 0x200C || c == 0x200D;
}

static void add_code(pm_text *out, int32_t c) {
    if (c == '\n')
        pm_text_add(out, "\\n");
    else if (c == '\t')
        pm_text_add(out, "\\t");
    else if (c == '\r')
        pm_text_add(out, "\\r");
    else
        pm_text_add(out, c < 0x80 ? "\\x%02X" : "\\u%04X", (unsigned)c);
}

void pm_add_visible(pm_text *out, const char *bytes, size_t n) {
    bool letters = false; /* before this one */
    for (size_t i = 0, k; i < n; i += k) {
        bool valid;
        int32_t c;
        k = pm_tok_utf8_check((const unsigned char *)bytes + i, n - i, &valid);
        for (size_t j = 0; !valid && j < k; j++) pm_text_add(out, "\\x%02X", (unsigned char)bytes[i + j]);
        letters = letters || !valid;
        if (!valid) continue;
        pm_tok_char(bytes + i, n - i, &c);
        if (pm_tok_is_space(c) && c > ' ' && c != 0x3000) {
            add_code(out, c);
        } else if (c == ' ' || c == 0x3000) {
            pm_text_add(out, letters && i + k < n ? " " : "\xE2\x90\xA3");
        } else if ((pm_tok_is_other(c) && !(is_joiner(c) && letters)) || (c & 0xFFFE) == 0xFFFE) {
            add_code(out, c);
        } else {
            if (pm_tok_is_mark(c) && !letters) pm_text_add(out, "\xE2\x97\x8C");
            pm_text_add_bytes(out, bytes + i, k);
            letters = true;
        }
    }
}

void pm_tokenizer_add_label(const pm_tokenizer *t, int32_t id, pm_text *out) {
    size_t n;
    const char *s = pm_tokenizer_token(t, id, &n);
    bool added = pm_tok_vocab_by_id(&t->added.ids, id) != NULL;
    pm_text bytes = {0};
    if (!s) return;
    if (!added && is_byte_level(t)) {
        pm_tok_bytes_of(&bytes, (pm_tok_view){.s = s, .n = n});
        if (bytes.failed) out->failed = true;
        if (bytes.data) pm_add_visible(out, bytes.data, bytes.length);
        pm_text_free(&bytes);
    } else {
        pm_add_visible(out, s, n);
    }
}
