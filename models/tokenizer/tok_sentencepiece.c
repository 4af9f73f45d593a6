/* SentencePiece's files: a reader of the protobuf wire format for the few fields that matter (sentencepiece_model.proto), and the
 * families that number pieces in ways of their own (XLM-RoBERTa, Marian, M2M100). */
#include "models/tokenizer/tok_data.h"

#include <inttypes.h>

/* ---- wire format: every length is checked against what is left ---- */

typedef struct wire {
    const unsigned char *at, *end;
    bool bad;
} wire;

typedef struct wire_field {
    uint64_t number, value; /* value: of varints and fixed words */
    wire bytes;             /* of length-delimited fields */
} wire_field;

static uint64_t read_varint(wire *w) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && w->at < w->end; shift += 7) {
        unsigned char b = *w->at++;
        v |= (uint64_t)(b & 127) << shift;
        if (!(b & 128)) return v;
    }
    w->bad = true;
    return 0;
}

static uint64_t read_fixed(wire *w, size_t n) {
    uint64_t v = 0;
    if ((size_t)(w->end - w->at) < n) return w->bad = true, 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)w->at[i] << (8 * i);
    w->at += n;
    return v;
}

static bool next_field(wire *w, wire_field *out) {
    if (w->bad || w->at == w->end) return false;
    uint64_t tag = read_varint(w);
    *out = (wire_field){.number = tag >> 3};
    switch (tag & 7) {
    case 0: out->value = read_varint(w); break;
    case 1: out->value = read_fixed(w, 8); break;
    case 5: out->value = read_fixed(w, 4); break;
    case 2: {
        uint64_t n = read_varint(w);
        if (w->bad || n > (uint64_t)(w->end - w->at)) return w->bad = true, false;
        out->bytes = (wire){w->at, w->at + n, false};
        w->at += n;
        break;
    }
    default: w->bad = true;
    }
    return !w->bad;
}

static float as_float(uint64_t word) {
    uint32_t bits = (uint32_t)word;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

typedef struct spm {
    const char *name;
    pm_tok_sp options;
    uint64_t model_type;
    wire pieces; /* the whole file */
    bool lowercase;
    json_t *ids; /* vocab.json of Marian and M2M100, or NULL */
    int64_t offset;
    int32_t unk; /* with ids */
} spm;

enum { MODEL_UNIGRAM = 1, MODEL_BPE = 2 };

static void read_trainer(spm *m, wire w) {
    wire_field f;
    while (next_field(&w, &f)) {
        if (f.number == 3) m->model_type = f.value;
        if (f.number == 24) m->options.suffix = f.value != 0;
    }
}

static void read_normalizer(spm *m, wire w) {
    wire_field f;
    while (next_field(&w, &f)) {
        if (f.number == 2) {
            m->options.charsmap = f.bytes.at;
            m->options.charsmap_bytes = (size_t)(f.bytes.end - f.bytes.at);
        }
        if (f.number == 3) m->options.prefix = f.value != 0;
        if (f.number == 4) m->options.collapse = f.value != 0;
        if (f.number == 5) m->options.escape = f.value != 0;
    }
}

static pm_status read_header(spm *m, const pm_blob *b) {
    wire w = {b->data, b->data ? b->data + b->bytes : b->data, false};
    wire_field f;
    m->pieces = w;
    m->model_type = MODEL_UNIGRAM;
    m->options.prefix = m->options.collapse = m->options.escape = true;
    while (next_field(&w, &f)) {
        if (f.number == 2) read_trainer(m, f.bytes);
        if (f.number == 3) read_normalizer(m, f.bytes);
    }
    if (w.bad || b->bytes == 0)
        return pm_raise(PM_ERR_FILE, "%s: not a SentencePiece model: broken near byte %zu of %zu", m->name,
                        b->data ? (size_t)(w.at - b->data) : 0, b->bytes);
    if (m->model_type != MODEL_UNIGRAM && m->model_type != MODEL_BPE)
        return pm_raise(PM_ERR_FILE,
                        "%s: model type %" PRIu64 " is not supported, expected 1 (unigram) or 2 (bpe)",
                        m->name, m->model_type);
    m->options.unigram = m->model_type == MODEL_UNIGRAM;
    return PM_OK;
}

/* The id of piece i: its place, XLM-RoBERTa's shifted place, or what vocab.json says. -1: the model does not have it. */
static int64_t id_of(const spm *m, int64_t i, const char *s, size_t n) {
    char text[PM_TOK_MAX_TOKEN + 1];
    if (!m->ids) return m->offset && i < 3 ? (i == 0 ? 3 : i == 1 ? 0 : 2) : i + m->offset;
    if (n > PM_TOK_MAX_TOKEN) return -1;
    memcpy(text, s, n);
    text[n] = 0;
    const json_t *v = json_object_get(m->ids, text);
    return json_is_integer(v) ? json_integer_value(v) : -1;
}

static pm_status read_pieces(pm_tokenizer *t, const spm *m) {
    wire w = m->pieces;
    wire_field f, g;
    for (int64_t i = 0; next_field(&w, &f);) {
        if (f.number != 1) continue;
        wire piece = f.bytes, text = {0};
        float score = 0;
        uint64_t type = PM_TOK_NORMAL;
        while (next_field(&piece, &g)) {
            if (g.number == 1) text = g.bytes;
            if (g.number == 2) score = as_float(g.value);
            if (g.number == 3) type = g.value;
        }
        if (piece.bad || !(score == score) || type > PM_TOK_BYTE)
            return pm_raise(PM_ERR_FILE, "%s: piece %" PRId64 " is broken: score %g, type %" PRIu64, m->name,
                            i, (double)score, type);
        const char *s = text.at ? (const char *)text.at : "";
        size_t n = (size_t)(text.end - text.at);
        int64_t id = id_of(m, i++, s, n);
        if (id >= 0)
            PM_TRY(pm_tok_sp_add(t, &m->options, s, n, id, (int)type, (double)score));
        else if (type == PM_TOK_NORMAL && m->unk >= 0) /* known to the segmentation, unknown to the model */
            PM_TRY(pm_tok_sp_add(t, &m->options, s, n, m->unk, (int)type, (double)score));
    }
    return PM_OK;
}

/* A token of vocab.json that is no piece. Unigram finds it where it is all of a run of unknown characters, since ids are
 * those of the pieces' texts; to BPE it would be one more merge. */
static pm_status add_one(pm_tokenizer *t, const spm *m, const char *s, size_t n, int64_t id) {
    if (id == m->unk || !m->options.unigram) return pm_tok_vocab_add_id(&t->vocab, s, n, id);
    return pm_tok_vocab_add(&t->vocab, s, n, id, 0);
}

/* Tokens of vocab.json that the file of pieces lacks: the other language's, and marks such as >>fra<< and __en__. */
static pm_status add_the_rest(pm_tokenizer *t, const spm *m) {
    const char *token;
    json_t *id;
    json_object_foreach(m->ids, token, id) {
        size_t n = strlen(token);
        bool mark = n > 4 && ((!memcmp(token, ">>", 2) && !memcmp(token + n - 2, "<<", 2)) ||
                              (!memcmp(token, "__", 2) && !memcmp(token + n - 2, "__", 2)));
        if (!json_is_integer(id))
            return pm_raise(PM_ERR_FILE, "vocab.json: the id of \"%.60s\" is not an integer", token);
        if (pm_tokenizer_find(t, token, n) < 0 || json_integer_value(id) == m->unk)
            PM_TRY(add_one(t, m, token, n, json_integer_value(id)));
        pm_tok_added_token like = {.id = (int32_t)json_integer_value(id), .special = token[0] == '_'};
        if (mark) PM_TRY(pm_tok_added_token_add(t, token, n, &like));
    }
    return PM_OK;
}

/* M2M-100's languages stand in no file: they follow vocab.json's tokens, in the order of its authors (Fan et al. 2020); WMT
 * 21's models have eight. */
static pm_status add_languages(pm_tokenizer *t, const pm_tok_config *c) {
    static const char all[] =
        "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi hr ht hu "
        "hy id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or pa pl ps pt "
        "ro ru sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu",
                      wmt21[] = "en ha is ja cs ru zh de";
    const char *codes = pm_tok_config_token(c, "language_codes", "m2m100"),
               *at = strcmp(codes, "wmt21") == 0 ? wmt21 : all;
    if (!pm_tok_config_is(c, "m2m100") || pm_tokenizer_find(t, PM_TOK_LIT("__en__")) >= 0) return PM_OK;
    for (size_t n, id = t->vocab.n_ids; *at; at += n + (at[n] == ' '), id++) {
        char token[16];
        n = strcspn(at, " ");
        int length = snprintf(token, sizeof token, "__%.*s__", (int)n, at);
        pm_tok_added_token like = {.id = (int32_t)id, .special = true};
        PM_TRY(pm_tok_added_token_add(t, token, (size_t)length, &like));
    }
    return PM_OK;
}

/* Which tokens go around a text: as the flags say, else as the family does. */
static pm_status set_template(pm_tokenizer *t, const pm_tok_config *c, const spm *m) {
    int32_t bos = -1, eos = -1, cls = -1, sep = -1;
    bool albert = pm_tok_config_is(c, "albert"), both = m->offset || pm_tok_config_is(c, "camembert");
    bool t5 = pm_tok_config_is(c, "t5") || pm_tok_config_is(c, "mt5") || pm_tok_config_is(c, "marian") ||
              pm_tok_config_is(c, "pegasus") || m->ids;
    PM_TRY(pm_tok_add_special(t, pm_tok_config_token(c, "bos_token", "<s>"), &bos));
    PM_TRY(pm_tok_add_special(t, pm_tok_config_token(c, "eos_token", "</s>"), &eos));
    PM_TRY(pm_tok_add_special(t, pm_tok_config_token(c, "cls_token", albert ? "[CLS]" : NULL), &cls));
    PM_TRY(pm_tok_add_special(t, pm_tok_config_token(c, "sep_token", albert ? "[SEP]" : NULL), &sep));
    if (albert && cls >= 0 && sep >= 0) return pm_tok_template_set_bert(t, cls, sep, false);
    if (both && bos >= 0 && eos >= 0) return pm_tok_template_set_bert(t, bos, eos, true);
    bool add_bos = pm_tok_config_flag(c, "add_bos_token", !m->options.unigram && !t5);
    bool add_eos = pm_tok_config_flag(c, "add_eos_token", m->options.unigram || t5);
    return pm_tok_template_set(t, add_bos ? bos : -1, add_eos ? eos : -1);
}

/* What XLM-RoBERTa has beside its pieces, and where. */
static pm_status add_fairseq(pm_tokenizer *t) {
    pm_tok_added_token pad = {.id = 1, .special = true}, mask = {.special = true, .left_strip = true};
    PM_TRY(pm_tok_added_token_add(t, PM_TOK_LIT("<pad>"), &pad));
    mask.id = (int32_t)t->vocab.n_ids;
    return pm_tok_added_token_add(t, PM_TOK_LIT("<mask>"), &mask);
}

static pm_status read_file(pm_tokenizer *t, const pm_files *f, spm *m, const pm_tok_config *c,
                           const pm_blob *blob) {
    PM_TRY(read_header(m, blob));
    m->unk = -1;
    if (pm_files_has(f, "vocab.json") && !pm_files_has(f, "merges.txt")) {
        PM_TRY(pm_tok_json_load(f, "vocab.json", &m->ids));
        const json_t *unk = json_object_get(m->ids, "<unk>");
        m->unk = json_is_integer(unk) && json_integer_value(unk) < PM_TOK_MAX_ID
                     ? (int32_t)json_integer_value(unk)
                     : -1;
    } else if (pm_tok_config_is(c, "xlmroberta") || !strcmp(m->name, "sentencepiece.bpe.model")) {
        m->offset = 1;
    }
    if (pm_tok_config_is(c, "albert") && pm_tok_config_flag(c, "do_lower_case", true))
        PM_TRY(pm_tok_pipeline_read_text(
            &t->normalizer, &pm_tok_normalizers,
            "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKD\"},{\"type\":\"StripAccents\"},"
            "{\"type\":\"Lowercase\"}]}",
            m->name));
    PM_TRY(read_pieces(t, m));
    if (m->ids) PM_TRY(add_the_rest(t, m));
    PM_TRY(pm_tok_sp_finish(t, &m->options, m->name));
    if (m->offset) PM_TRY(add_fairseq(t));
    PM_TRY(pm_tok_config_added(c, f, t));
    if (m->ids) PM_TRY(add_languages(t, c));
    return set_template(t, c, m);
}

pm_status pm_tok_open_sentencepiece(pm_tokenizer *t, const pm_files *f, const char *name) {
    spm m = {.name = name};
    pm_tok_config c;
    pm_blob blob;
    PM_TRY(pm_tok_config_open(&c, f));
    pm_status s = pm_files_get(f, name, &blob);
    if (s == PM_OK) s = read_file(t, f, &m, &c, &blob);
    pm_blob_close(&blob);
    json_decref(m.ids);
    pm_tok_config_close(&c);
    return s;
}
