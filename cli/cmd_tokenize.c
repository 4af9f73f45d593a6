/* pumice tokenize: ids of a text, or the text of ids. Needs tokenizer files alone, no weights. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "pumice/tokenizer.h"

/* All of stdin, byte for byte. free() */
static int read_stdin(char **out, size_t *out_n) {
    size_t n = 0, capacity = 1 << 16;
    char *text = malloc(capacity);
    while (text) {
        n += fread(text + n, 1, capacity - n, stdin);
        if (n < capacity) break;
        char *more = realloc(text, capacity *= 2);
        if (!more) free(text);
        text = more;
    }
    if (!text) return cli_error(PM_ERR_MEMORY, "out of memory: reading stdin");
    if (ferror(stdin)) {
        free(text);
        return cli_error(PM_ERR_OTHER, "stdin: cannot be read");
    }
    *out = text;
    *out_n = n;
    return PM_OK;
}

static json_t *token_json(const pm_tokenizer *t, const pm_token *k) {
    size_t n = 0;
    const char *s = pm_tokenizer_token(t, k->id, &n);
    json_t *spelled = s ? json_stringn(s, n) : NULL; /* NULL, too, for the rare token that is not UTF-8 */
    return json_pack("{s:i, s:o, s:[I,I], s:i, s:b}", "id", (int)k->id, "token",
                     spelled ? spelled : json_null(), "span", (json_int_t)k->begin, (json_int_t)k->end,
                     "type_id", (int)k->type_id, "special", (int)pm_tokenizer_is_special(t, k->id));
}

static int print_encoding(const pm_tokenizer *t, const pm_encoding *e, bool json) {
    if (!json) {
        for (size_t i = 0; i < e->n; i++) printf("%s%d", i ? "," : "", (int)e->tokens[i].id);
        printf("\n");
        return PM_OK;
    }
    json_t *ids = json_array(), *tokens = json_array();
    for (size_t i = 0; i < e->n; i++) {
        json_array_append_new(ids, json_integer(e->tokens[i].id));
        json_array_append_new(tokens, token_json(t, &e->tokens[i]));
    }
    return cli_print_json(json_pack("{s:o, s:o}", "ids", ids, "tokens", tokens), JSON_COMPACT);
}

static int encode(const pm_tokenizer *t, const char *text, const char *pair, bool special, bool json) {
    char *read = NULL;
    size_t n = text ? strlen(text) : 0;
    int code = text ? PM_OK : read_stdin(&read, &n);
    if (code) return code;
    pm_encoding e;
    pm_encode_options o = {
        .add_special = special, .apply_length = true, .pair = pair, .pair_bytes = pair ? strlen(pair) : 0};
    pm_status s = pm_tokenizer_encode(t, text ? text : read, n, &o, &e);
    free(read);
    if (s != PM_OK) return cli_library_error(s);
    code = print_encoding(t, &e, json);
    pm_encoding_free(&e);
    return code;
}

static int decode(const pm_tokenizer *t, const char *list, bool skip, bool json) {
    int32_t *ids = NULL;
    size_t n = 0, bytes;
    char *text;
    int code = *list ? cli_parse_ids("--ids", list, &ids, &n) : PM_OK;
    if (code) return code;
    pm_status s = pm_tokenizer_decode(t, ids, n, skip, &text, &bytes);
    free(ids);
    if (s != PM_OK) return cli_library_error(s);
    if (json) {
        code = cli_print_json(json_pack("{s:o}", "text", json_stringn(text, bytes)), JSON_COMPACT);
    } else {
        fwrite(text, 1, bytes, stdout);
        printf("\n");
    }
    pm_release(text);
    return code;
}

int cmd_tokenize(int argc, char **argv) {
    const char *ids = NULL, *pair = NULL;
    bool special = false, skip = false, json = false;
    const cli_flag flags[] = {
        {"--special", CLI_BOOL, &special, NULL, "with the special tokens that the model adds", 0, 0},
        {"--pair", CLI_STRING, &pair, "TEXT", "a second text, as a pair with the first", 0, 0},
        {"--decode", CLI_STRING, &ids, "IDS", "the text of ids, as 5,9,2", 0, 0},
        {"--skip-special", CLI_BOOL, &skip, NULL, "with --decode: leave special tokens out", 0, 0},
        {"--json", CLI_BOOL, &json, NULL,
         "tokens with their spelling and the bytes of the text they stand for", 0, 0},
    };
    const cli_usage usage = {
        "tokenize MODEL [--special] [TEXT]",
        "Prints the ids of TEXT, or of all of stdin, comma-separated; or the text of ids. MODEL may be a folder "
        "with tokenizer files alone, or a GGUF file with a vocabulary only.",
        "pumice tokenize tests/data/tokenizers/bpe \"Hello, world!\"",
        flags,
        sizeof flags / sizeof *flags,
        1,
        2};
    char **words;
    size_t n_words;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (code) return code;
    if (ids && (n_words > 1 || special || pair))
        return cli_error(PM_ERR_USAGE, "tokenize: --decode takes ids, not a text, --special or --pair");
    if (skip && !ids) return cli_error(PM_ERR_USAGE, "tokenize: --skip-special goes with --decode");
    pm_tokenizer *t;
    pm_status s = pm_tokenizer_open(words[0], &t);
    if (s != PM_OK) return cli_library_error(s);
    code = ids ? decode(t, ids, skip, json) : encode(t, n_words > 1 ? words[1] : NULL, pair, special, json);
    pm_tokenizer_close(t);
    return code;
}
