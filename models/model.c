/* Opening and describing a model (pumice/model.h). Everything that can be wrong with the files is found here,
 * before a device is touched. */
#include "models/arch_causal.h"
#include "models/build.h"
#include "models/builtin.h"
#include "models/labels.h"
#include "models/pooling.h"

#include <stdio.h>
#include <string.h>

#include "models/model_text.h"
#include "models/need.h"

/* ---- opening ---- */

/* Special tokens: config.json's, and over them generation_config.json's, as Hugging Face has it. */
static pm_status read_ids(pm_model *m, const pm_config *c) {
    struct {
        const char *key;
        int32_t *to;
    } rows[] = {{"bos_token_id", &m->info.bos_id},
                {"pad_token_id", &m->info.pad_id},
                {"decoder_start_token_id", &m->info.decoder_start_id}};
    size_t n = 0;
    int32_t eos[PM_MAX_EOS];
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        PM_TRY(pm_config_ids(c, rows[i].key, eos, PM_MAX_EOS, &n));
        if (n) *rows[i].to = eos[0];
    }
    PM_TRY(pm_config_ids(c, "eos_token_id", eos, PM_MAX_EOS, &n));
    if (!n) return PM_OK;
    memcpy(m->eos, eos, n * sizeof *eos);
    m->n_eos = n;
    m->info.eos_id = eos[0];
    return PM_OK;
}

static void describe(pm_model *m) {
    const pm_spec *spec = &m->spec;
    int side = m->arch->encoder_decoder ? 1 : 0;
    pm_model_info *info = &m->info;
    info->name = m->files.path;
    info->model_type = m->arch->model_type;
    info->task = m->arch->task;
    info->decoder = m->arch->decoder;
    info->encoder_decoder = m->arch->encoder_decoder;
    info->has_tokenizer = m->words.source || m->tokenizer[0];
    info->vocab_size = spec->embed[side].vocab;
    info->source_vocab_size = spec->embed[0].vocab;
    info->n_labels = m->labels ? spec->n_labels : 0;
    info->max_positions = spec->max_positions;
    info->n_layers = spec->stack[side].n_layers;
    info->n_heads = spec->stack[side].n_heads;
    info->width = spec->stack[side].width;
    if (info->encoder_decoder && info->decoder_start_id < 0) info->decoder_start_id = info->bos_id;
    for (size_t i = 0; i < m->n_needs; i++) {
        const pm_need *need = &m->needs[i];
        info->n_parameters += pm_need_elems(need);
        for (size_t k = 0; k < need->n_arrays; k++)
            info->weight_bytes += need->arrays[k] ? need->arrays[k]->bytes : 0;
    }
}

static pm_status check_words(const pm_model *m) {
    const pm_embedding *e = m->spec.embed;
    if (!m->words.source) return PM_OK;
    int side = m->arch->encoder_decoder ? 1 : 0;
    if (m->words.letters) {
        if ((int64_t)m->words.n_source <= e[0].vocab && (int64_t)m->words.n_target <= e[side].vocab)
            return PM_OK;
        return pm_raise(PM_ERR_FILE,
                        "config.json: grapheme_chars and phoneme_chars have %zu and %zu characters, expected "
                        "%lld and %lld at most",
                        m->words.n_source, m->words.n_target, (long long)e[0].vocab,
                        (long long)e[side].vocab);
    }
    if ((int64_t)m->words.n_source == e[0].vocab && (int64_t)m->words.n_target == e[side].vocab) return PM_OK;
    return pm_raise(PM_ERR_FILE,
                    "vocab.txt: source and target have %zu and %zu lines, expected %lld and %lld",
                    m->words.n_source, m->words.n_target, (long long)e[0].vocab, (long long)e[side].vocab);
}

/* The checkpoint is opened first, since configure looks into it for how names begin; but when both files are
 * bad, the error is config.json's, which comes first for a reader. */
static pm_status configure(pm_model *m, const pm_config *c) {
    pm_status checkpoint = pm_checkpoint_open(&m->files, &m->checkpoint);
    char *error = checkpoint != PM_OK ? pm_strdup(pm_error_text()) : NULL;
    pm_status s = m->arch->family ? pm_causal_configure(m, c, m->arch->family) : m->arch->configure(m, c);
    if (s == PM_OK && checkpoint != PM_OK) s = error ? pm_raise(checkpoint, "%s", error) : PM_ERR_MEMORY;
    pm_free(error);
    return s;
}

/* generation_config.json's rules; without it config.json's, over what the family's class has by itself. */
static pm_status read_rules(pm_model *m, const pm_config *c, bool own_file) {
    static const struct {
        const char *model_type;
        int32_t forced_eos;
    } classes[] = {{"bart", 2}, {"marian", 0}};
    PM_TRY(pm_rules_read(c, &m->arena, &m->rules));
    for (size_t i = 0; !own_file && i < PM_COUNT(classes); i++)
        if (!strcmp(m->arch->model_type, classes[i].model_type) &&
            !pm_config_names(c, "forced_eos_token_id")) {
            m->rules.forced_eos[0] = classes[i].forced_eos;
            m->rules.n_forced_eos = 1;
        }
    return PM_OK;
}

static pm_status read_settings(pm_model *m) {
    pm_config c, generation = {0};
    m->info.bos_id = m->info.eos_id = m->info.pad_id = m->info.decoder_start_id = -1;
    pm_status s;
    if (!pm_files_has(&m->files, "config.json") && pm_files_has(&m->files, "adapter_config.json"))
        return pm_raise(
            PM_ERR_FILE,
            "%s: a LoRA adapter, expected a model: give its base model as MODEL, and this folder to --lora",
            m->files.path);
    PM_TRY(pm_config_open(&m->files, "config.json", &c));
    PM_GOTO(pm_arch_find(&c, &m->arch));
    PM_GOTO(configure(m, &c));
    PM_GOTO(pm_labels_read(m, &c));
    PM_GOTO(read_ids(m, &c));
    if (pm_files_has(&m->files, "generation_config.json")) {
        PM_GOTO(pm_config_open(&m->files, "generation_config.json", &generation));
        PM_GOTO(read_ids(m, &generation));
    }
    PM_GOTO(read_rules(m, generation.root ? &generation : &c, generation.root));
fail:
    pm_config_close(&c);
    pm_config_close(&generation);
    return s;
}

pm_status pm_model_open(const char *path, pm_model **out_model) {
    return pm_model_open_with(path, NULL, out_model);
}

pm_status pm_model_open_with(const char *path, const pm_model_options *options, pm_model **out_model) {
    pm_status s;
    *out_model = NULL;
    pm_model *m = pm_calloc(1, sizeof *m);
    if (!m) return PM_ERR_MEMORY;
    PM_GOTO(pm_files_open(path, &m->files));
    PM_GOTO(read_settings(m));
    PM_GOTO(pm_pooling_read(m));
    PM_GOTO(pm_words_open(&m->files, &m->words));
    if (!m->words.source && m->arch->encoder_decoder && !pm_tokenizer_has_files(&m->files))
        PM_GOTO(pm_words_open_letters(&m->files, &m->words));
    PM_GOTO(check_words(m));
    PM_GOTO(pm_model_open_text(m));
    if (options && options->lora) PM_GOTO(pm_checkpoint_adapt(&m->checkpoint, options->lora));
    PM_GOTO(pm_model_collect(m));
    describe(m);
    *out_model = m;
    return PM_OK;
fail:
    pm_model_close(m);
    return s;
}

void pm_model_close(pm_model *m) {
    if (!m) return;
    pm_model_close_text(m);
    pm_checkpoint_close(&m->checkpoint);
    pm_files_close(&m->files);
    pm_free(m->needs);
    pm_arena_free(&m->arena);
    pm_free(m);
}

void pm_model_get_info(const pm_model *m, pm_model_info *out_info) {
    *out_info = m->info;
}

const char *pm_model_builtin_name(size_t i) {
    const char *last = NULL;
    for (const pm_builtin_file *f = pm_builtin_files; f->model; f++) {
        if (last && strcmp(f->model, last) == 0) continue; /* a model's files stand together */
        last = f->model;
        if (i-- == 0) return last;
    }
    return NULL;
}

void pm_release(void *p) {
    pm_free(p);
}
