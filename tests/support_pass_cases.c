/* See support_pass_cases.h. */
#include "tests/support_pass_cases.h"

#include <stdlib.h>

static char *read_file(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/tests/passes/%s", PM_SOURCE_DIR, name);
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("%s: cannot be opened", path);
    pm_text text = {0};
    char block[4096];
    size_t n;
    while ((n = fread(block, 1, sizeof block, file)) > 0) pm_text_add_bytes(&text, block, n);
    fclose(file);
    assert_ok(pm_text_status(&text));
    return text.data;
}

/* Cuts the text at the line that is `word`, and gives what follows that line; NULL when there is none. */
static char *cut_at_line(char *text, const char *word) {
    size_t n = strlen(word);
    for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, word, n) == 0 && (line[n] == '\n' || line[n] == 0)) {
            *line = 0;
            return line + n + (line[n] == '\n');
        }
    return NULL;
}

static pm_graph *parse(const char *name, const char *body) {
    pm_text text = {0};
    pm_graph *g = NULL;
    pm_text_add(&text, "graph \"%s\"\n%s", name, body);
    assert_ok(pm_text_status(&text));
    if (pm_graph_parse(text.data, &g) != PM_OK) fail_msg("case %s: %s", name, pm_error_text());
    pm_text_free(&text);
    return g;
}

static char *print(const pm_graph *g) {
    char *text;
    assert_ok(pm_graph_print(g, &text));
    return text;
}

void test_each_pass_case(const char *file, void (*check)(const test_pass_case *c, void *user), void *user) {
    char *text = read_file(file), *next = strstr(text, "\ncase ");
    int n = 0;
    while (next) {
        char *body = next + strlen("\ncase ");
        test_pass_case c = {.name = ""};
        next = strstr(body, "\ncase ");
        if (next) *next = 0;
        if (sscanf(body, "%63[^\n]", c.name) != 1) fail_msg("%s: a case without a name", file);
        body = strchr(body, '\n');
        if (!body) fail_msg("%s: case %s is empty", file, c.name);
        char *after = cut_at_line(++body, "gives");
        if (!after && !cut_at_line(body, "stays"))
            fail_msg("%s: case %s has neither gives nor stays", file, c.name);
        c.after = after;
        c.before = parse(c.name, body);
        check(&c, user);
        pm_graph_destroy(c.before);
        n++;
    }
    assert_true(n > 0);
    pm_text_release(text);
}

void test_pass_case_check(const test_pass_case *c, pm_status (*pass)(const pm_graph *g, pm_graph **out)) {
    pm_graph *got = NULL, *want = c->after ? parse(c->name, c->after) : NULL;
    char *before = print(c->before), *untouched, *got_text, *want_text;
    assert_ok(pm_graph_verify(c->before));
    assert_ok(pass(c->before, &got));
    assert_ok(pm_graph_verify(got));
    untouched = print(c->before);
    assert_string_equal(before, untouched);
    got_text = print(got);
    want_text = print(want ? want : c->before);
    if (strcmp(got_text, want_text) != 0)
        fail_msg("before:\n%sgot:\n%sexpected:\n%s", before, got_text, want_text);
    pm_graph_destroy(got);
    pm_graph_destroy(want);
    pm_text_release(before);
    pm_text_release(untouched);
    pm_text_release(got_text);
    pm_text_release(want_text);
}
