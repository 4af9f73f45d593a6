/* Added tokens: found in the text before anything else happens to it (special tokens), or once it is normalized. The first match
 * from the left counts, the longest of those that begin there. */
#include "models/tokenizer/tok_data.h"

/* A token that the model's vocabulary lacks gets the id that the file gives it. */
pm_status pm_tok_added_token_add(pm_tokenizer *t, const char *s, size_t n, const pm_tok_added_token *like) {
    pm_tok_added *a = &t->added;
    if (n == 0) return PM_OK;
    const pm_tok_entry *e = pm_tok_vocab_find(&t->vocab, s, n), *again = pm_tok_vocab_find(&a->ids, s, n);
    pm_tok_added_token token = *like;
    token.id = e ? e->id : again ? again->id : like->id;
    token.at = a->bytes.length;
    token.n = n;
    pm_text_add_bytes(&a->bytes, s, n);
    PM_TRY(pm_text_status(&a->bytes));
    if (!again) PM_TRY(pm_tok_vocab_add(&a->ids, s, n, token.id, 0));
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

pm_status pm_tok_added_finish(pm_tokenizer *t) {
    pm_tok_added *a = &t->added;
    for (size_t i = 0; i < a->n; i++) {
        const pm_tok_added_token *k = &a->token[i];
        pm_tok_text raw = {0}, text = {0};
        pm_status s = pm_tok_text_read(&raw, a->bytes.data + k->at, k->n);
        if (s == PM_OK && k->normalized && !k->literal)
            s = pm_tok_normalize(&t->normalizer, pm_tok_text_view(&raw, 0, raw.n, 0), &text);
        const pm_tok_text *key = k->normalized && !k->literal ? &text : &raw;
        if (s == PM_OK && key->n)
            s = pm_tok_trie_add(k->normalized ? &a->normalized : &a->raw, key->s, key->n, (int64_t)i);
        if (s == PM_OK && key == &text) /* decoded as it is found */
            s = pm_tok_vocab_add_id(&a->ids, key->s ? key->s : "", key->n, k->id);
        pm_tok_text_free(&raw);
        pm_tok_text_free(&text);
        PM_TRY(s);
    }
    return PM_OK;
}

static bool word_at(pm_tok_view in, size_t i) {
    int32_t c;
    if (i >= in.n) return false;
    pm_tok_char(in.s + i, in.n - i, &c);
    return pm_tok_is_word(c);
}

static bool word_before(pm_tok_view in, size_t i) {
    return i > 0 && word_at(in, pm_tok_char_before(in.s, i));
}

/* Takes the spaces around a token that asks for them. */
static void take_spaces(const pm_tok_added_token *k, pm_tok_view in, size_t last, size_t *begin,
                        size_t *end) {
    int32_t c;
    while (k->left_strip && *begin > last) {
        size_t at = pm_tok_char_before(in.s, *begin);
        pm_tok_char(in.s + at, *begin - at, &c);
        if (!pm_tok_is_space(c)) break;
        *begin = at;
    }
    while (k->right_strip && *end < in.n) {
        size_t n = pm_tok_char(in.s + *end, in.n - *end, &c);
        if (!pm_tok_is_space(c)) break;
        *end += n;
    }
}

static pm_status put_text(pm_tok_view in, size_t begin, size_t end, pm_tok_pieces *out) {
    size_t start = out->text.n, origin = begin == 0     ? in.origin
                                         : begin < in.n ? in.at[begin].begin
                                                        : in.origin;
    PM_TRY(pm_tok_text_copy(&out->text, in, begin, end));
    return pm_tok_pieces_end(out, start, origin, -1);
}

pm_status pm_tok_added_split(const pm_tokenizer *t, pm_tok_view in, bool normalized, bool plain,
                             pm_tok_pieces *out) {
    const pm_tok_trie *trie = normalized ? &t->added.normalized : &t->added.raw;
    size_t last = 0, n;
    int64_t index = 0;
    for (size_t i = 0; trie->n_nodes && i < in.n; i += n ? n : 1) {
        n = pm_tok_trie_longest(trie, in.s + i, in.n - i, &index);
        if (!n || i < last) continue;
        const pm_tok_added_token *k = &t->added.token[index];
        size_t begin = i, end = i + n;
        if (plain && k->special) continue;
        if (k->single_word && (word_before(in, begin) || word_at(in, end))) continue;
        take_spaces(k, in, last, &begin, &end);
        PM_TRY(put_text(in, last, begin, out));
        size_t start = out->text.n;
        PM_TRY(pm_tok_text_copy(&out->text, in, begin, end));
        PM_TRY(pm_tok_pieces_end(out, start, in.at[begin].begin, k->id));
        last = end;
    }
    return put_text(in, last, in.n, out);
}

void pm_tok_added_free(pm_tok_added *a) {
    pm_free(a->token);
    pm_text_free(&a->bytes);
    pm_tok_trie_free(&a->raw);
    pm_tok_trie_free(&a->normalized);
    pm_tok_vocab_free(&a->ids);
    *a = (pm_tok_added){0};
}
