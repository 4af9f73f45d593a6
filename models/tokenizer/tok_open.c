/* Opening and closing a tokenizer: which files make one. */
#include "models/tokenizer/tok_data.h"

#include <sys/stat.h>

pm_tokenizer *pm_tok_new(void) {
    pm_tokenizer *t = pm_calloc(1, sizeof *t);
    if (!t) return NULL;
    t->model.unk = -1;
    for (size_t b = 0; b < PM_COUNT(t->model.byte_id); b++) t->model.byte_id[b] = -1;
    return t;
}

void pm_tokenizer_close(pm_tokenizer *t) {
    if (!t) return;
    pm_tok_vocab_free(&t->vocab);
    pm_tok_model_free(&t->model);
    pm_tok_added_free(&t->added);
    pm_free(t->special);
    pm_tok_pipeline_free(&t->normalizer);
    pm_tok_pipeline_free(&t->pretokenizer);
    pm_tok_pipeline_free(&t->decoder);
    pm_free(t->single);
    pm_free(t->pair);
    pm_free(t);
}

pm_status pm_tok_finish(pm_tokenizer *t, pm_status s, pm_tokenizer **out) {
    *out = NULL;
    if (s == PM_OK) s = pm_tok_model_finish(&t->model, &t->vocab);
    if (s == PM_OK) s = pm_tok_added_finish(t);
    if (s == PM_OK)
        *out = t;
    else
        pm_tokenizer_close(t);
    return s;
}

typedef enum form { JSON, VOCAB_TXT, VOCAB_MERGES, SENTENCEPIECE } form;

static const struct {
    const char *file, *second; /* both must be there */
    form form;
} forms[] = {
    {"tokenizer.json", NULL, JSON},
    {"vocab.json", "merges.txt", VOCAB_MERGES},
    {"vocab.txt", NULL, VOCAB_TXT},
    {"tokenizer.model", NULL, SENTENCEPIECE},
    {"spiece.model", NULL, SENTENCEPIECE},
    {"sentencepiece.bpe.model", NULL, SENTENCEPIECE},
    {"sentencepiece.model", NULL, SENTENCEPIECE},
    {"tokenizer.spm", NULL, SENTENCEPIECE},
    {"source.spm", NULL, SENTENCEPIECE},
    {"target.spm", NULL, SENTENCEPIECE},
};

static size_t find_form(const pm_files *f, pm_tokenizer_side side) {
    if (side == PM_TOKENIZER_TARGET && pm_files_has(f, "target.spm")) return PM_COUNT(forms) - 1;
    for (size_t i = 0; i < PM_COUNT(forms); i++)
        if (pm_files_has(f, forms[i].file) && (!forms[i].second || pm_files_has(f, forms[i].second)))
            return i;
    return PM_COUNT(forms);
}

bool pm_tokenizer_has_files(const pm_files *f) {
    pm_gguf_text model;
    if (f->gguf) return pm_gguf_string(f->gguf, "tokenizer.ggml.model", &model);
    return find_form(f, PM_TOKENIZER_SOURCE) < PM_COUNT(forms);
}

pm_status pm_tokenizer_open_files(const pm_files *f, pm_tokenizer_side side, pm_tokenizer **out) {
    if (f->gguf) return pm_tokenizer_open_gguf(f->gguf, out);
    size_t i = find_form(f, side);
    *out = NULL;
    if (i == PM_COUNT(forms))
        return pm_raise(
            PM_ERR_FILE,
            "%s: no tokenizer: expected tokenizer.json, vocab.json and merges.txt, vocab.txt, tokenizer.model, "
            "spiece.model or source.spm",
            f->path);
    pm_tokenizer *t = pm_tok_new();
    if (!t) return PM_ERR_MEMORY;
    pm_status s = PM_ERR_OTHER;
    switch (forms[i].form) {
    case JSON: s = pm_tok_open_json(t, f, forms[i].file); break;
    case VOCAB_TXT: s = pm_tok_open_vocab_txt(t, f); break;
    case VOCAB_MERGES: s = pm_tok_open_vocab_merges(t, f); break;
    case SENTENCEPIECE: s = pm_tok_open_sentencepiece(t, f, forms[i].file); break;
    }
    return pm_tok_finish(t, s, out);
}

pm_status pm_tokenizer_open(const char *path, pm_tokenizer **out) {
    struct stat st;
    *out = NULL;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        pm_gguf *g;
        PM_TRY(pm_gguf_open(path, &g));
        pm_status s = pm_tokenizer_open_gguf(g, out);
        pm_gguf_close(g);
        return s;
    }
    pm_files files;
    PM_TRY(pm_files_open(path, &files));
    pm_status s = pm_tokenizer_open_files(&files, PM_TOKENIZER_SOURCE, out);
    pm_files_close(&files);
    return s;
}
