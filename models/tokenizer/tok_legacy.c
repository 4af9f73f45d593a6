/* Vocabularies as they were before tokenizer.json: vocab.txt (BERT), vocab.json and merges.txt (GPT-2 and its kin). The components that
 * they mean are written as tokenizer.json would have them. */
#include "models/tokenizer/tok_data.h"

/* The next line of a file, without its end. */
static bool next_line(const pm_blob *b, size_t *at, const char **out, size_t *out_n) {
    if (*at >= b->bytes) return false;
    const char *s = (const char *)b->data + *at, *end = memchr(s, '\n', b->bytes - *at);
    size_t n = end ? (size_t)(end - s) : b->bytes - *at;
    *at += n + 1;
    while (n && s[n - 1] == '\r') n--;
    *out = s;
    *out_n = n;
    return true;
}

pm_status pm_tok_add_special(pm_tokenizer *t, const char *s, int32_t *out_id) {
    *out_id = s ? pm_tokenizer_find(t, s, strlen(s)) : -1;
    if (*out_id < 0) return PM_OK;
    pm_tok_added_token like = {.id = *out_id, .special = true};
    return pm_tok_added_token_add(t, s, strlen(s), &like);
}

/* ---- vocab.txt ---- */

static pm_status bert_components(pm_tokenizer *t, const pm_tok_config *c) {
    char json[200];
    bool lower = pm_tok_config_flag(c, "do_lower_case", true);
    snprintf(
        json, sizeof json,
        "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":%s,\"strip_accents\":%s,\"lowercase\":%s}",
        pm_tok_config_flag(c, "tokenize_chinese_chars", true) ? "true" : "false",
        pm_tok_config_flag(c, "strip_accents", lower) ? "true" : "false", lower ? "true" : "false");
    PM_TRY(pm_tok_pipeline_read_text(&t->normalizer, &pm_tok_normalizers, json, "vocab.txt"));
    PM_TRY(pm_tok_pipeline_read_text(&t->pretokenizer, &pm_tok_pretokenizers,
                                     "{\"type\":\"BertPreTokenizer\"}", "vocab.txt"));
    t->has_decoder = true;
    return pm_tok_pipeline_read_text(&t->decoder, &pm_tok_decoders,
                                     "{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}",
                                     "vocab.txt");
}

static pm_status bert_specials(pm_tokenizer *t, const pm_tok_config *c, const pm_files *f) {
    static const char *const names[][2] = {{"unk_token", "[UNK]"},
                                           {"cls_token", "[CLS]"},
                                           {"sep_token", "[SEP]"},
                                           {"pad_token", "[PAD]"},
                                           {"mask_token", "[MASK]"}};
    bool mpnet = pm_tok_config_is(c, "mpnet");
    int32_t id[PM_COUNT(names)];
    for (size_t i = 0; i < PM_COUNT(names); i++) {
        const char *fallback = mpnet && i == 1   ? "<s>"
                               : mpnet && i == 2 ? "</s>"
                               : mpnet && i == 3 ? "<pad>"
                                                 : names[i][1];
        PM_TRY(pm_tok_add_special(
            t, pm_tok_config_token(c, names[i][0], mpnet && i == 4 ? "<mask>" : fallback), &id[i]));
    }
    t->model.unk = id[0];
    PM_TRY(pm_tok_config_added(c, f, t));
    return id[1] >= 0 && id[2] >= 0 ? pm_tok_template_set_bert(t, id[1], id[2], mpnet) : PM_OK;
}

pm_status pm_tok_open_vocab_txt(pm_tokenizer *t, const pm_files *f) {
    pm_tok_config c;
    pm_blob blob = {0};
    const char *line;
    size_t at = 0, n;
    int64_t id = 0;
    pm_status s;
    PM_TRY(pm_tok_config_open(&c, f));
    PM_GOTO(pm_files_get(f, "vocab.txt", &blob));
    while (next_line(&blob, &at, &line, &n)) PM_GOTO(pm_tok_vocab_add(&t->vocab, line, n, id++, 0));
    t->model.type = PM_TOK_WORDPIECE;
    t->model.max_chars = 100;
    t->model.prefix = pm_strdup("##");
    s = t->model.prefix ? bert_components(t, &c) : PM_ERR_MEMORY;
    if (s == PM_OK) s = bert_specials(t, &c, f);
fail:
    pm_blob_close(&blob);
    pm_tok_config_close(&c);
    return s;
}

/* ---- vocab.json and merges.txt ---- */

typedef enum around { AROUND_NONE, AROUND_BOS, AROUND_ROBERTA } around;

typedef struct flavor {
    const char *family, *normalizer, *pretokenizer, *suffix;
    around around;
    const char *bos, *eos, *unk;
} flavor;

#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"
#define SPLIT_THEN_BYTES(regex, behavior, invert)                                                            \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex          \
    "\"},\"behavior\":\"" behavior "\",\"invert\":" invert                                                   \
    "},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}"
#define QWEN                                                                                                                  \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|" \
    "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define CLIP "'s|'t|'re|'ve|'m|'ll|'d|[\\\\p{L}]+|[\\\\p{N}]|[^\\\\s\\\\p{L}\\\\p{N}]+"
#define CLIP_NORMAL                                                                                                        \
    "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\\\s+\"}," \
    "\"content\":\" \"},{\"type\":\"Lowercase\"}]}"

/* The first that fits; the last one fits all. */
static const flavor flavors[] = {
    {"roberta", NULL, BYTE_LEVEL, "", AROUND_ROBERTA, "<s>", "</s>", "<unk>"},
    {"xlmroberta", NULL, BYTE_LEVEL, "", AROUND_ROBERTA, "<s>", "</s>", "<unk>"},
    {"bart", NULL, BYTE_LEVEL, "", AROUND_ROBERTA, "<s>", "</s>", "<unk>"},
    {"longformer", NULL, BYTE_LEVEL, "", AROUND_ROBERTA, "<s>", "</s>", "<unk>"},
    {"led", NULL, BYTE_LEVEL, "", AROUND_ROBERTA, "<s>", "</s>", "<unk>"},
    {"qwen", "{\"type\":\"NFC\"}", SPLIT_THEN_BYTES(QWEN, "Isolated", "false"), "", AROUND_NONE, NULL,
     "<|endoftext|>", NULL},
    {"clip", CLIP_NORMAL, SPLIT_THEN_BYTES(CLIP, "Removed", "true"), "</w>", AROUND_ROBERTA,
     "<|startoftext|>", "<|endoftext|>", "<|endoftext|>"},
    {"opt", NULL, BYTE_LEVEL, "", AROUND_BOS, "</s>", "</s>", NULL},
    {"", NULL, BYTE_LEVEL, "", AROUND_NONE, "<|endoftext|>", "<|endoftext|>", NULL},
};

static const flavor *find_flavor(const pm_tok_config *c) {
    size_t i = 0;
    while (i + 1 < PM_COUNT(flavors) && !pm_tok_config_is(c, flavors[i].family)) i++;
    if (i + 1 == PM_COUNT(flavors) && pm_tok_config_is(c, "gpt2") &&
        pm_tok_config_token(c, "mask_token", NULL))
        i = 0;
    return &flavors[i];
}

static pm_status read_vocab(pm_tokenizer *t, const pm_files *f) {
    json_t *vocab, *id;
    const char *token;
    pm_status s = PM_OK;
    PM_TRY(pm_tok_json_load(f, "vocab.json", &vocab));
    json_object_foreach(vocab, token, id) {
        if (!json_is_integer(id))
            s = pm_raise(PM_ERR_FILE, "vocab.json: the id of \"%.60s\" is not an integer", token);
        if (s == PM_OK) s = pm_tok_vocab_add(&t->vocab, token, strlen(token), json_integer_value(id), 0);
        if (s != PM_OK) break;
    }
    json_decref(vocab);
    return s;
}

static pm_status read_merges(pm_tokenizer *t, const pm_files *f) {
    pm_blob blob;
    const char *line;
    size_t at = 0, n, rank = 0;
    PM_TRY(pm_files_get(f, "merges.txt", &blob));
    pm_status s = PM_OK;
    while (s == PM_OK && next_line(&blob, &at, &line, &n)) {
        if (n == 0 || (rank == 0 && n >= 8 && !memcmp(line, "#version", 8))) continue;
        const char *space = memchr(line, ' ', n);
        if (!space || rank >= PM_TOK_MAX_ID) {
            s = pm_raise(PM_ERR_FILE, "merges.txt: \"%.*s\" is not two tokens", (int)(n < 60 ? n : 60), line);
            break;
        }
        size_t a = (size_t)(space - line);
        s = pm_tok_merge_texts(&t->model, &t->vocab, rank++, line, a, space + 1, n - a - 1, "merges.txt");
    }
    pm_blob_close(&blob);
    return s;
}

static pm_status set_up(pm_tokenizer *t, const pm_tok_config *c, const flavor *k, const pm_files *f) {
    static const char where[] = "vocab.json";
    int32_t bos = -1, eos = -1, unk = -1;
    bool prefix = pm_tok_config_flag(c, "add_prefix_space", false);
    const char *pre = prefix && !strcmp(k->pretokenizer, BYTE_LEVEL)
                          ? "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}"
                          : k->pretokenizer;
    if (k->normalizer)
        PM_TRY(pm_tok_pipeline_read_text(&t->normalizer, &pm_tok_normalizers, k->normalizer, where));
    PM_TRY(pm_tok_pipeline_read_text(&t->pretokenizer, &pm_tok_pretokenizers, pre, where));
    PM_TRY(pm_tok_pipeline_read_text(&t->decoder, &pm_tok_decoders, "{\"type\":\"ByteLevel\"}", where));
    t->has_decoder = true;
    PM_TRY(pm_tok_config_added(c, f, t));
    PM_TRY(pm_tok_add_special(t, pm_tok_config_token(c, "bos_token", k->bos), &bos));
    PM_TRY(pm_tok_add_special(t, pm_tok_config_token(c, "eos_token", k->eos), &eos));
    PM_TRY(pm_tok_add_special(t, pm_tok_config_token(c, "unk_token", k->unk), &unk));
    t->model.unk = unk;
    t->trim_offsets = k->around == AROUND_ROBERTA;
    t->trim_prefix_space = prefix;
    if (k->around == AROUND_ROBERTA && bos >= 0 && eos >= 0)
        return pm_tok_template_set_bert(t, bos, eos, true);
    bool add_bos = pm_tok_config_flag(c, "add_bos_token", k->around == AROUND_BOS),
         add_eos = pm_tok_config_flag(c, "add_eos_token", false);
    if (!add_bos && !add_eos) return PM_OK;
    return pm_tok_template_set(t, add_bos ? bos : -1, add_eos ? eos : -1);
}

pm_status pm_tok_open_vocab_merges(pm_tokenizer *t, const pm_files *f) {
    pm_tok_config c;
    pm_status s;
    PM_TRY(pm_tok_config_open(&c, f));
    const flavor *k = find_flavor(&c);
    t->model.type = PM_TOK_BPE;
    t->model.suffix = pm_strdup(k->suffix);
    s = t->model.suffix ? PM_OK : PM_ERR_MEMORY;
    if (s == PM_OK) s = read_vocab(t, f);
    if (s == PM_OK) s = read_merges(t, f);
    if (s == PM_OK) s = set_up(t, &c, k, f);
    pm_tok_config_close(&c);
    return s;
}
