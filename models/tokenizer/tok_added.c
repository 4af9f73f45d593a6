/* Added tokens: found in the text before anything else happens to it (special tokens), or once it is normalized. The first match
 * from the left counts, the longest of those that begin there. */
#include "models/tokenizer/tok_data.h"

/* A token that the model's vocabulary lacks gets the id that the file gives it. */
pm_status tok_added_token_add(pm_tokenizer *t, const char *s, size_t n, const tok_added_token *like) {
    tok_added *a = &t->added;
    if (n == 0) return PM_OK;
    const tok_entry *e = tok_vocab_find(&t->vocab, s, n), *again = tok_vocab_find(&a->ids, s, n);
    tok_added_token token = *like;
    token.id = e ? e->id : again ? again->id : like->id;
    token.at = a->bytes.length;
    token.n = n;
    pm_text_add_bytes(&a->bytes, s, n);
    PM_TRY(pm_text_status(&a->bytes));
    if (!again) PM_TRY(tok_vocab_add(&a->ids, s, n, token.id, 0));
    PM_TRY(pm_grow((void **)&a->token, &a->capacity, a->n + 1, sizeof *a->token));
    a->token[a->n++] = token;
    if ((size_t)token.id >= t->n_special) {
        size_t had = t->n_special;
        PM_TRY(pm_grow((void **)&t->special, &t->n_special, (size_t)token.id + 1, sizeof *t->special));
        memset(t->special + had, 0, (t->n_special - had) * sizeof *t->special);
    }
    t->special[token.id] |= token.special;
    return PM_OK;
}

pm_status tok_added_finish(pm_tokenizer *t) {
    tok_added *a = &t->added;
    for (size_t i = 0; i < a->n; i++) {
        const tok_added_token *k = &a->token[i];
        tok_text raw = {0}, text = {0};
        pm_status s = tok_text_read(&raw, a->bytes.data + k->at, k->n);
        if (s == PM_OK && k->normalized && !k->literal)
            s = tok_normalize(&t->normalizer, tok_text_view(&raw, 0, raw.n, 0), &text);
        const tok_text *key = k->normalized && !k->literal ? &text : &raw;
        if (s == PM_OK && key->n)
            s = tok_trie_add(k->normalized ? &a->normalized : &a->raw, key->s, key->n, (int64_t)i);
        if (s == PM_OK && key == &text) /* decoded as it is found */
            s = tok_vocab_add_id(&a->ids, key->s ? key->s : "", key->n, k->id);
        tok_text_free(&raw);
        tok_text_free(&text);
        PM_TRY(s);
    }
    return PM_OK;
}

static bool word_at(tok_view in, size_t i) {
    int32_t c;
    if (i >= in.n) return false;
    tok_char(in.s + i, in.n - i, &c);
    return tok_is_word(c);
}

static bool word_before(tok_view in, size_t i) {
    return i > 0 && word_at(in, tok_char_before(in.s, i));
}

/* Takes the spaces around a token that asks for them. */
static void take_spaces(const tok_added_token *k, tok_view in, size_t last, size_t *begin, size_t *end) {
    int32_t c;
    while (k->left_strip && *begin > last) {
        size_t at = tok_char_before(in.s, *begin);
        tok_char(in.s + at, *begin - at, &c);
        if (!tok_is_space(c)) break;
        *begin = at;
    }
    while (k->right_strip && *end < in.n) {
        size_t n = tok_char(in.s + *end, in.n - *end, &c);
        if (!tok_is_space(c)) break;
        *end += n;
    }
}

static pm_status put_text(tok_view in, size_t begin, size_t end, tok_pieces *out) {
    size_t start = out->text.n, origin = begin == 0     ? in.origin
                                         : begin < in.n ? in.at[begin].begin
                                                        : in.origin;
    PM_TRY(tok_text_copy(&out->text, in, begin, end));
    return tok_pieces_end(out, start, origin, -1);
}

pm_status tok_added_split(const pm_tokenizer *t, tok_view in, bool normalized, bool plain, tok_pieces *out) {
    const tok_trie *trie = normalized ? &t->added.normalized : &t->added.raw;
    size_t last = 0, n;
    int64_t index = 0;
    for (size_t i = 0; trie->n_nodes && i < in.n; i += n ? n : 1) {
        n = tok_trie_longest(trie, in.s + i, in.n - i, &index);
        if (!n || i < last) continue;
        const tok_added_token *k = &t->added.token[index];
        size_t begin = i, end = i + n;
        if (plain && k->special) continue;
        if (k->single_word && (word_before(in, begin) || word_at(in, end))) continue;
        take_spaces(k, in, last, &begin, &end);
        PM_TRY(put_text(in, last, begin, out));
        size_t start = out->text.n;
        PM_TRY(tok_text_copy(&out->text, in, begin, end));
        PM_TRY(tok_pieces_end(out, start, in.at[begin].begin, k->id));
        last = end;
    }
    return put_text(in, last, in.n, out);
}

void tok_added_free(tok_added *a) {
    pm_free(a->token);
    pm_text_free(&a->bytes);
    tok_trie_free(&a->raw);
    tok_trie_free(&a->normalized);
    tok_vocab_free(&a->ids);
    *a = (tok_added){0};
}
