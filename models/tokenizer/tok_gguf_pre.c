/* How byte-level models cut a text before they join bytes, by the name that a GGUF file gives (tokenizer.ggml.pre). Each expression is
 * applied to what the ones before it left; the expressions are those of the models' own tokenizer.json. */
#include "models/tokenizer/tok_gguf.h"

#define GPT2     "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define SUFFIXES "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST     " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define WORDS    SUFFIXES "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define LLAMA3   WORDS "\\p{N}{1,3}|" REST
#define QWEN2    WORDS "\\p{N}|" REST
#define QWEN35                                                                                               \
    SUFFIXES                                                                                                 \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define BLOOM " ?[^(\\s|.,!?…。，、।۔،)]+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(after)                                                                                         \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" after "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" after "|"
#define CASED_REST " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CJK        "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
#define CASED_WORD "\\s?(?:(?![\\x{10D0}-\\x{10FF}])[\\p{Lu}\\p{Ll}\\p{Lt}])+"
#define WIDE_PUNCT "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+"
#define DEEPSEEK3                                                                                            \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"     \
    " ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define HAN_KANA "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"

static const pm_tok_pre rows[] = {
    {"default", {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}, false},
    {"gpt-2", {GPT2}, false},
    {"llama-bpe", {LLAMA3}, true},
    {"falcon", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}, false},
    {"qwen2", {QWEN2}, false},
    {"qwen35", {QWEN35}, false},
    {"starcoder", {"\\p{N}", GPT2}, false},
    {"deepseek-llm", {"[\\r\\n]", CASED_WORD, WIDE_PUNCT, "\\s+$", CJK, "\\p{N}+"}, false},
    {"deepseek-coder", {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK, "\\p{N}"}, false},
    {"deepseek-v3", {"\\p{N}{1,3}", HAN_KANA, DEEPSEEK3}, false},
    {"bloom", {BLOOM}, false},
    {"viking", {BLOOM, "\\p{N}"}, false},
    {"tekken", {CASED("") "\\p{N}|" CASED_REST}, true},
    {"gpt-4o", {CASED(SUFFIXES "?") "\\p{N}{1,3}|" CASED_REST}, true},
};

/* Other names for the same. */
static const char *const aliases[][2] = {
    {"llama3", "llama-bpe"},
    {"llama-v3", "llama-bpe"},
    {"llama4", "gpt-4o"},
    {"falcon3", "llama-bpe"},
    {"smaug-bpe", "llama-bpe"},
    {"dbrx", "llama-bpe"},
    {"pixtral", "llama-bpe"},
    {"glm4", "llama-bpe"},
    {"chatglm-bpe", "llama-bpe"},
    {"megrez", "qwen2"},
    {"hunyuan", "qwen2"},
    {"stablelm2", "qwen2"},
    {"deepseek-r1-qwen", "qwen2"},
    {"phi-2", "gpt-2"},
    {"mpt", "gpt-2"},
    {"olmo", "gpt-2"},
    {"jais", "gpt-2"},
    {"jina-en", "gpt-2"},
    {"jina-es", "gpt-2"},
    {"jina-de", "gpt-2"},
    {"jina-v1-en", "gpt-2"},
    {"jina-v2-en", "gpt-2"},
    {"jina-v2-es", "gpt-2"},
    {"jina-v2-de", "gpt-2"},
    {"jina-v2-code", "gpt-2"},
    {"roberta-bpe", "gpt-2"},
    {"gigachat", "gpt-2"},
    {"modern-bert", "gpt-2"},
    {"refact", "starcoder"},
    {"command-r", "starcoder"},
    {"smollm", "starcoder"},
    {"codeshell", "starcoder"},
    {"exaone", "starcoder"},
    {"minerva-7b", "starcoder"},
    {"poro-chat", "bloom"},
    {"gpt3-finnish", "bloom"},
    {"llama-bpe-v3", "llama-bpe"},
    {"hunyuan-dense", "deepseek-v3"},
    {"kanana2", "gpt-4o"},
    {"trillion", "gpt-2"},
};

const pm_tok_pre *pm_tok_pre_find(const char *s, size_t n) {
    for (size_t i = 0; i < PM_COUNT(aliases); i++)
        if (strlen(aliases[i][0]) == n && !memcmp(aliases[i][0], s, n)) {
            s = aliases[i][1];
            n = strlen(s);
            break;
        }
    for (size_t i = 0; i < PM_COUNT(rows); i++)
        if (strlen(rows[i].name) == n && !memcmp(rows[i].name, s, n)) return &rows[i];
    return NULL;
}
