/* Recognises a chat template by its markers. What differs within a family (spaces, line ends, which special tokens) is read from the
 * template's own expressions, {{ 'literal' + message['content'] + eos_token }}. No template is run. */
#include "models/chat_style.h"

#include <ctype.h>
#include <string.h>
#include <stdio.h>
#include <time.h>

/* ---- the template's text ---- */

/* Escaped line ends become line ends and double quotes single ones, so that a template has one spelling. */
static char *normal_spelling(pm_arena *arena, const char *s) {
    char *t = pm_arena_alloc(arena, strlen(s) + 1), *to = t;
    for (; t && *s; s++) {
        if (s[0] == '\\' && s[1] == 'n') {
            *to++ = '\n';
            s++;
        } else if (s[0] == '\\' && (s[1] == '\'' || s[1] == '"')) {
            *to++ = *++s;
        } else {
            *to++ = *s == '"' ? '\'' : *s;
        }
    }
    return t;
}

static bool has(const char *t, const char *what) {
    return strstr(t, what) != NULL;
}

/* The text from behind `after` to `until`, copied, where both stand in one literal; NULL when they never do. */
static char *cut(pm_arena *arena, const char *t, const char *after, const char *until) {
    for (const char *from = t; (from = strstr(from, after)) != NULL;) {
        from += strlen(after);
        const char *to = strstr(from, until);
        size_t n = to ? (size_t)(to - from) : 0;
        if (!n || *from == '\'' || *from == '{') continue;
        char *out = pm_arena_alloc(arena, n + 1);
        if (out) memcpy(out, from, n);
        return out;
    }
    return NULL;
}

/* ---- expressions: {{ 'a' + message['content'] | trim + eos_token }} ---- */

typedef struct expression {
    const char *begin, *end; /* between the braces */
    bool line_end;           /* the template itself ends the line behind it */
} expression;

/* The next expression from `at`, or false. */
static bool next_expression(const char *at, expression *out) {
    const char *begin = strstr(at, "{{"), *end = begin ? strstr(begin, "}}") : NULL;
    if (!end) return false;
    const char *next = end + 2 + strspn(end + 2, "\n \t");
    bool kept = end[-1] != '-' && strncmp(next, "{%-", 3) != 0 && strncmp(next, "{{-", 3) != 0;
    *out = (expression){begin + 2, end, kept && end[2] == '\n'};
    if (*out->begin == '-') out->begin++;
    if (end[-1] == '-') out->end--;
    return true;
}

static bool holds(const expression *e, const char *what) {
    const char *at = strstr(e->begin, what);
    return at && at + strlen(what) <= e->end;
}

/* The first expression from `at` that holds both texts and not the third. */
static bool find_expression(const char *at, const char *a, const char *b, const char *without,
                            expression *out) {
    while (at && next_expression(at, out)) {
        if (holds(out, a) && holds(out, b) && !holds(out, "raise_exception") &&
            !holds(out, "system_message") && !(without && holds(out, without)))
            return true;
        at = out->end;
    }
    return false;
}

static bool take_word(const char **at, const char *end, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(end - *at) < n || memcmp(*at, word, n) != 0) return false;
    *at += n;
    return true;
}

/* Which name stands at *at: 'c' content, 'r' role, 'b' bos, 'e' eos, 0 none that is known. */
static char take_name(const char **at, const char *end) {
    static const struct {
        const char *word;
        char kind;
    } names[] = {{"message['content']", 'c'}, {"message.content", 'c'}, {"content", 'c'},
                 {"message['role']", 'r'},    {"message.role", 'r'},    {"role", 'r'},
                 {"bos_token", 'b'},          {"eos_token", 'e'}};
    for (size_t i = 0; i < PM_COUNT(names); i++)
        if (take_word(at, end, names[i].word)) return names[i].kind;
    return 0;
}

static const char *skip_blanks(const char *at, const char *end) {
    while (at < end && isspace((unsigned char)*at)) at++;
    return at;
}

/* The parts of a concatenation go into before, between and after. False: it has a part that is not known. */
static bool read_parts(const pm_chat_template *t, const expression *e, chat_turn *turn, pm_text text[3]) {
    int place = 0;
    const char *at = skip_blanks(e->begin, e->end);
    while (at < e->end) {
        const char *close = *at == '\'' ? memchr(at + 1, '\'', (size_t)(e->end - at - 1)) : NULL;
        char kind = close ? '\'' : take_name(&at, e->end);
        if (close) {
            pm_text_add_bytes(&text[place], at + 1, (size_t)(close - at - 1));
            at = close + 1;
        }
        if (kind == 'b') pm_text_add(&text[place], "%s", t->bos ? t->bos : "");
        if (kind == 'e') pm_text_add(&text[place], "%s", t->eos ? t->eos : "");
        if (kind == 'r') turn->names_role = place++ == 0;
        if (kind == 'c') place = 2;
        if (!kind) return false;
        at = skip_blanks(at, e->end);
        if (take_word(&at, e->end, ".strip()") || take_word(&at, e->end, "|trim") ||
            take_word(&at, e->end, "| trim"))
            turn->trims |= kind == 'c';
        at = skip_blanks(at, e->end);
        if (at < e->end && *at != '+' && *at != '~') return false;
        at = skip_blanks(at < e->end ? at + 1 : at, e->end);
    }
    if (e->line_end) pm_text_add(&text[place], "\n");
    return true;
}

static pm_status read_turn(pm_chat_style *s, const pm_chat_template *t, const expression *e, chat_turn *turn,
                           bool *out_known) {
    pm_text text[3] = {{0}};
    const char **to[3] = {&turn->before, &turn->between, &turn->after};
    *turn = (chat_turn){0};
    *out_known = read_parts(t, e, turn, text);
    pm_status status = PM_OK;
    for (int i = 0; i < 3; i++) {
        if (status == PM_OK) status = pm_text_status(&text[i]);
        *to[i] = status == PM_OK ? pm_arena_strdup(&s->arena, text[i].data ? text[i].data : "") : NULL;
        if (!*to[i]) status = PM_ERR_MEMORY;
        pm_text_free(&text[i]);
    }
    return status;
}

/* ---- families ---- */

static pm_status not_known(const char *what) {
    return pm_raise(
        PM_ERR_FILE,
        "chat template: %s, expected one of ChatML, Llama 2 or 3, Mistral, Gemma, Phi 3 or 4, Zephyr, Tulu, OLMo, Falcon 3, "
        "DeepSeek, gpt-oss (docs/chat.md)",
        what);
}

static chat_turn fixed_turn(const char *before, const char *between, const char *after) {
    return (chat_turn){before, between, after, between[0] != 0, false};
}

static void all_turns(pm_chat_style *s, chat_turn turn, bool trims) {
    turn.trims = trims;
    s->system = s->user = s->assistant = turn;
}

static void read_thoughts(pm_chat_style *s, const char *text) {
    s->drops_thoughts = has(text, "</think>");
    s->drops_lines = has(text, "lstrip('");
}

static pm_status chatml(pm_chat_style *s, const pm_chat_template *t, const char *text) {
    bool phi4 = has(text, "<|im_sep|>");
    (void)t;
    s->family = phi4 ? "Phi 4" : "ChatML";
    all_turns(s,
              phi4 ? fixed_turn("<|im_start|>", "<|im_sep|>", "<|im_end|>")
                   : fixed_turn("<|im_start|>", "\n", "<|im_end|>\n"),
              has(text, "content'] | trim") || has(text, "content']|trim"));
    read_thoughts(s, text);
    s->default_system = cut(&s->arena, text, "<|im_start|>system\n", "<|im_end|>");
    return PM_OK;
}

/* Llama 3.1 and later say in every system's turn when they were trained and what day it is. */
static pm_status llama3(pm_chat_style *s, const pm_chat_template *t, const char *text) {
    char today[32] = "26 Jul 2024", preamble[128];
    time_t now = time(NULL);
    struct tm local;
    (void)t;
    s->family = "Llama 3";
    all_turns(s, fixed_turn("<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>"), has(text, "trim"));
    if (!has(text, "Cutting Knowledge Date: December 2023")) return PM_OK;
    if (has(text, "strftime_now") && localtime_r(&now, &local))
        strftime(today, sizeof today, "%d %b %Y", &local);
    const char *given = has(text, "strftime_now") ? NULL : cut(&s->arena, text, "date_string = '", "'");
    snprintf(preamble, sizeof preamble, "Cutting Knowledge Date: December 2023\nToday Date: %.32s\n\n",
             given ? given : today);
    s->system_preamble = pm_arena_strdup(&s->arena, preamble);
    return s->system_preamble ? PM_OK : PM_ERR_MEMORY;
}

static pm_status gemma(pm_chat_style *s, const pm_chat_template *t, const char *text) {
    (void)t;
    s->family = "Gemma";
    all_turns(s, fixed_turn("<start_of_turn>", "\n", "<end_of_turn>\n"), true);
    s->assistant_role = "model";
    s->system_place = has(text, "System role not supported") ? CHAT_SYSTEM_NONE : CHAT_SYSTEM_FIRST;
    s->system_before = "";
    s->system_after = "\n\n";
    return PM_OK;
}

static pm_status llama2_or_mistral(pm_chat_style *s, const pm_chat_template *t, const char *text) {
    expression user, assistant;
    bool known = find_expression(text, "[INST]", "content", NULL, &user) &&
                 find_expression(text, "content", "eos_token", "[INST]", &assistant),
         llama2 = has(text, "<<SYS>>"), turn = has(text, "[SYSTEM_PROMPT]"),
         system = has(text, "system_message") || has(text, "== 'system'");
    s->family = llama2 ? "Llama 2" : "Mistral";
    if (known) PM_TRY(read_turn(s, t, &user, &s->user, &known));
    if (known) PM_TRY(read_turn(s, t, &assistant, &s->assistant, &known));
    if (!known) return not_known("the turns between [INST] and [/INST] are not those of a known model");
    s->system_place = llama2                      ? CHAT_SYSTEM_FIRST
                      : turn                      ? CHAT_SYSTEM_TURN
                      : !system                   ? CHAT_SYSTEM_NONE
                      : has(text, "if loop.last") ? CHAT_SYSTEM_LAST
                                                  : CHAT_SYSTEM_FIRST;
    s->system_before = llama2 ? "<<SYS>>\n" : "";
    s->system_after = llama2 ? "\n<</SYS>>\n\n" : "\n\n";
    s->system = fixed_turn(has(text, "[SYSTEM_PROMPT] ") ? "[SYSTEM_PROMPT] " : "[SYSTEM_PROMPT]", "",
                           "[/SYSTEM_PROMPT]");
    s->needs_system =
        has(text, "default_system_message") || (llama2 && has(text, "set system_message = 'You are"));
    return PM_OK;
}

/* Phi 3, Zephyr, Tulu, OLMo, Falcon 3: <|user|>, <|assistant|>, <|system|>, and Phi 4 mini, which writes '<|' + role + '|>'. */
static pm_status bars(pm_chat_style *s, const pm_chat_template *t, const char *text) {
    expression e;
    bool known = find_expression(text, "<|user|>", "content", NULL, &e), by_role = false;
    if (!known) known = by_role = find_expression(text, "'<|'", "content", "tools", &e);
    if (known) PM_TRY(read_turn(s, t, &e, &s->user, &known));
    s->family = has(text, "<|end|>") ? "Phi 3" : has(text, "eos_token") ? "Zephyr or Tulu" : "<|user|>";
    s->system = s->assistant = s->user;
    if (known && !by_role) {
        const char *branch = strstr(text, "== 'assistant'");
        known = find_expression(text, "<|assistant|>", "content", "<|user|>", &e) ||
                (branch && find_expression(branch, "content", "", NULL, &e));
        if (known) PM_TRY(read_turn(s, t, &e, &s->assistant, &known));
        s->system_place =
            find_expression(text, "<|system|>", "content", NULL, &e) ? CHAT_SYSTEM_TURN : CHAT_SYSTEM_NONE;
        if (known && s->system_place == CHAT_SYSTEM_TURN) PM_TRY(read_turn(s, t, &e, &s->system, &known));
    }
    return known ? PM_OK
                 : not_known("the turns of <|user|> and <|assistant|> are not those of a known model");
}

#define DEEPSEEK_USER "<\xEF\xBD\x9CUser\xEF\xBD\x9C>"
#define DEEPSEEK_ASSISTANT                                                                                   \
    "<\xEF\xBD\x9C"                                                                                          \
    "Assistant\xEF\xBD\x9C>"
#define DEEPSEEK_END                                                                                         \
    "<\xEF\xBD\x9C"                                                                                          \
    "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"

static pm_status deepseek3(pm_chat_style *s, const pm_chat_template *t, const char *text) {
    (void)t;
    s->family = "DeepSeek 3";
    s->system = fixed_turn("", "", "");
    s->user = fixed_turn(DEEPSEEK_USER, "", "");
    s->assistant = fixed_turn(DEEPSEEK_ASSISTANT, "", DEEPSEEK_END);
    read_thoughts(s, text);
    return PM_OK;
}

static pm_status deepseek2(pm_chat_style *s, const pm_chat_template *t, const char *text) {
    expression e;
    const char *branch = strstr(text, "== 'system'");
    bool known = find_expression(text, "'User: '", "content", NULL, &e);
    s->family = "DeepSeek 2";
    if (known) PM_TRY(read_turn(s, t, &e, &s->user, &known));
    if (known) known = find_expression(text, "'Assistant: '", "content", NULL, &e);
    if (known) PM_TRY(read_turn(s, t, &e, &s->assistant, &known));
    s->system_place = CHAT_SYSTEM_NONE;
    if (known && branch && find_expression(branch, "content", "", NULL, &e)) {
        s->system_place = CHAT_SYSTEM_TURN;
        PM_TRY(read_turn(s, t, &e, &s->system, &known));
    }
    return known ? PM_OK
                 : not_known("the turns of 'User: ' and 'Assistant: ' are not those of a known model");
}

/* gpt-oss: what the caller calls the system is the developer's turn; the system's own says what the model is. */
static pm_status harmony(pm_chat_style *s, const pm_chat_template *t, const char *text) {
    char today[32] = "", begin[512];
    expression e;
    time_t now = time(NULL);
    struct tm local;
    (void)t;
    s->family = "gpt-oss";
    if (localtime_r(&now, &local)) strftime(today, sizeof today, "%Y-%m-%d", &local);
    snprintf(
        begin, sizeof begin,
        "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\n"
        "Current date: %s\n\nReasoning: medium\n\n# Valid channels: analysis, commentary, final. Channel must be included "
        "for every message.<|end|>",
        today);
    s->begin = pm_arena_strdup(&s->arena, begin);
    const char *system = strstr(text, "developer_message }}");
    bool two_lines = system && next_expression(system + 1, &e) && holds(&e, "'\n\n'");
    s->system =
        fixed_turn("<|start|>", "<|message|># Instructions\n\n", two_lines ? "\n\n<|end|>" : "<|end|>");
    s->end = "<|start|>assistant";
    s->system_role = "developer";
    s->user = fixed_turn("<|start|>", "<|message|>", "<|end|>");
    s->assistant = fixed_turn("<|start|>", "<|channel|>final<|message|>", "<|end|>");
    return s->begin ? PM_OK : PM_ERR_MEMORY;
}

/* The first whose markers are all there. */
static const struct {
    const char *marker, *second;
    pm_status (*read)(pm_chat_style *s, const pm_chat_template *t, const char *text);
} families[] = {
    {"<|im_start|>", NULL, chatml},
    {"<|start_header_id|>", "<|end_header_id|>", llama3},
    {"<start_of_turn>", "<end_of_turn>", gemma},
    {"<|start|>", "<|channel|>", harmony},
    {DEEPSEEK_USER, DEEPSEEK_ASSISTANT, deepseek3},
    {"[INST]", "[/INST]", llama2_or_mistral},
    {"<|user|>", "<|assistant|>", bars},
    {"'<|' + message", "<|end|>", bars},
    {"'User: '", "'Assistant: '", deepseek2},
};

/* {{ bos_token }} by itself, or put before the first content; OLMo begins with {{ eos_token }}. */
static const char *first_text(const pm_chat_template *t, const char *text) {
    expression e;
    const char *at = text + strspn(text, " \n\t");
    bool begins = !strncmp(at, "{{ eos_token }}", 15) || !strncmp(at, "{{eos_token}}", 13);
    if (begins) return t->eos ? t->eos : "";
    for (at = text; next_expression(at, &e); at = e.end) {
        const char *word = skip_blanks(e.begin, e.end);
        if (take_word(&word, e.end, "bos_token") && skip_blanks(word, e.end) == e.end)
            return t->bos ? t->bos : "";
    }
    return has(text, "set content = bos_token + ") && t->bos ? t->bos : "";
}

/* What the template writes where it is told that an answer follows. */
static pm_status read_end(pm_chat_style *s, const pm_chat_template *t, const char *text) {
    const char *at = NULL;
    chat_turn end;
    expression e;
    bool known = false;
    if (s->end) return PM_OK;
    s->end = "";
    for (const char *p = text; (p = strstr(p, "add_generation_prompt")) != NULL; p++) at = p;
    if (!at || !next_expression(at, &e)) return PM_OK;
    PM_TRY(read_turn(s, t, &e, &end, &known));
    if (!known) return not_known("what comes with add_generation_prompt is not that of a known model");
    s->end = end.before;
    return PM_OK;
}

pm_status pm_chat_style_read(const pm_chat_template *t, pm_chat_style *out) {
    *out = (pm_chat_style){.assistant_role = "assistant", .system_role = "system"};
    const char *text = normal_spelling(&out->arena, t->text);
    if (!text) return PM_ERR_MEMORY;
    for (size_t i = 0; i < PM_COUNT(families); i++) {
        if (!has(text, families[i].marker) || (families[i].second && !has(text, families[i].second)))
            continue;
        PM_TRY(families[i].read(out, t, text));
        if (!out->begin) out->begin = pm_arena_strdup(&out->arena, first_text(t, text));
        return out->begin ? read_end(out, t, text) : PM_ERR_MEMORY;
    }
    return not_known("it has the markers of no known family");
}

void pm_chat_style_close(pm_chat_style *s) {
    pm_arena_free(&s->arena);
    *s = (pm_chat_style){0};
}
