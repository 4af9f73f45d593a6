/* SentencePiece's vocabularies, wherever they come from: what a piece's type means, and the components around them. */
#include "models/tokenizer/tok_data.h"

pm_status pm_tok_sp_add(pm_tokenizer *t, const pm_tok_sp *o, const char *s, size_t n, int64_t id, int type,
                        double score) {
    pm_tok_added_token like = {.id = (int32_t)id};
    unsigned char byte;
    if (type != PM_TOK_NORMAL) {
        PM_TRY(pm_tok_vocab_add_id(&t->vocab, s, n, id));
    } else {
        PM_TRY(pm_tok_vocab_add(&t->vocab, s, n, id, score));
    }
    switch (type) {
    case PM_TOK_NORMAL:
        if (!o->unigram || n == 0) return PM_OK;
        if (score < t->model.unk_score) t->model.unk_score = score;
        return pm_tok_trie_add(&t->model.trie, s, n, (int64_t)t->vocab.n - 1);
    case PM_TOK_UNKNOWN: t->model.unk = (int32_t)id; /* fall through */
    case PM_TOK_CONTROL: like.special = true; return pm_tok_added_token_add(t, s, n, &like);
    case PM_TOK_USER_DEFINED:
        like.normalized = like.literal = !o->raw_user_defined;
        return pm_tok_added_token_add(t, s, n, &like);
    case PM_TOK_BYTE:
        if (!pm_tok_byte_token(s, n, &byte)) return PM_OK;
        t->model.byte_fallback = true;
        t->model.byte_id[byte] = (int32_t)id;
        return PM_OK;
    default: return PM_OK;
    }
}

#define DECODERS                                                                                             \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" PM_TOK_UNDERLINE                                      \
    "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},"                                                    \
    "{\"type\":\"Fuse\"}"

pm_status pm_tok_sp_finish(pm_tokenizer *t, const pm_tok_sp *o, const char *where) {
    char json[400];
    t->model.type = o->unigram ? PM_TOK_UNIGRAM : PM_TOK_BPE;
    t->model.by_score = !o->unigram;
    t->model.single_precision = true;
    if (o->unigram && !t->model.trie.n_nodes)
        return pm_raise(PM_ERR_FILE, "%s: the vocabulary has no pieces", where);
    t->model.unk_score = (double)((float)t->model.unk_score - 10.0f);
    snprintf(json, sizeof json,
             "{\"type\":\"pumice.SentencePiece\",\"prefix\":%s,\"collapse\":%s,\"escape\":%s,\"suffix\":%s}",
             o->prefix && !o->suffix ? "true" : "false", o->collapse ? "true" : "false",
             o->escape ? "true" : "false", o->prefix && o->suffix ? "true" : "false");
    PM_TRY(pm_tok_pipeline_read_text(&t->normalizer, &pm_tok_normalizers, json, where));
    PM_TRY(pm_tok_charsmap_set(&t->normalizer.c[t->normalizer.n - 1], o->charsmap, o->charsmap_bytes, where));
    snprintf(json, sizeof json,
             "{\"type\":\"Sequence\",\"decoders\":[" DECODERS
             ",{\"type\":\"Strip\",\"content\":\" \",\"start\":%d,\"stop\":%d}]}",
             o->prefix && !o->suffix, o->prefix && o->suffix);
    t->has_decoder = true;
    return pm_tok_pipeline_read_text(&t->decoder, &pm_tok_decoders, json, where);
}
