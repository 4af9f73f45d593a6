/* See pumice/scores.h. */
#include "pumice/scores.h"

#include <stdlib.h>
#include <string.h>

#include "graph/base.h"

static pm_status find_row(pm_report *r, const char *name, size_t bytes, pm_score **out) {
    for (size_t i = 0; i < r->n_rows; i++)
        if (strncmp(r->rows[i].name, name, bytes) == 0 && !r->rows[i].name[bytes])
            return *out = &r->rows[i], PM_OK;
    PM_TRY(pm_grow((void **)&r->rows, &r->capacity, r->n_rows + 1, sizeof *r->rows));
    char *copy = pm_calloc(bytes + 1, 1);
    if (!copy) return PM_ERR_MEMORY;
    memcpy(copy, name, bytes);
    r->rows[r->n_rows] = (pm_score){.name = copy};
    *out = &r->rows[r->n_rows++];
    return PM_OK;
}

static pm_status count(pm_report *r, const char *name, size_t bytes, bool truth, bool guess) {
    pm_score *row;
    PM_TRY(find_row(r, name, bytes, &row));
    row->n_true += truth;
    row->n_guessed += guess;
    row->n_right += truth && guess;
    return PM_OK;
}

/* ---- classes ---- */

static bool holds(const char *const *list, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0) return true;
    return false;
}

pm_status pm_report_count_classes(pm_report *r, const char *const *truth, size_t n_truth,
                                  const char *const *guess, size_t n_guess) {
    bool same = true;
    for (size_t i = 0; i < n_truth; i++) {
        bool right = holds(guess, n_guess, truth[i]);
        same &= right;
        if (!holds(truth, i, truth[i])) PM_TRY(count(r, truth[i], strlen(truth[i]), true, right));
    }
    for (size_t i = 0; i < n_guess; i++) {
        if (holds(truth, n_truth, guess[i]) || holds(guess, i, guess[i])) continue;
        same = false;
        PM_TRY(count(r, guess[i], strlen(guess[i]), false, true));
    }
    r->n_items++;
    r->n_correct += same;
    return PM_OK;
}

pm_status pm_report_count_class(pm_report *r, const char *truth, const char *guess) {
    return pm_report_count_classes(r, &truth, 1, &guess, 1);
}

/* ---- entities ---- */

/* A tag: where its word stands in an entity ('B', 'I', 'E', 'S'; 'O': in none), and the entity's type. */
typedef struct tag {
    char place;
    const char *type;
} tag;

static tag read_tag(const char *s) {
    if (strcmp(s, "O") == 0 || !*s) return (tag){'O', ""};
    if (s[1] != '-' || !strchr("BIESLU", s[0])) return (tag){'I', s};
    char place = s[0] == 'L' ? 'E' : s[0] == 'U' ? 'S' : s[0];
    return (tag){place, s + 2};
}

static bool ends(tag before, tag now) {
    return before.place != 'O' &&
           (before.place == 'E' || before.place == 'S' || now.place == 'O' || now.place == 'B' ||
            now.place == 'S' || strcmp(before.type, now.type) != 0);
}

/* The end of the entity that begins at word i; 0 when none begins there. */
static size_t entity_end(const char *const *tags, size_t n, size_t i) {
    tag now = read_tag(tags[i]), before = i ? read_tag(tags[i - 1]) : (tag){'O', ""};
    if (now.place == 'O' || (before.place != 'O' && !ends(before, now))) return 0;
    size_t end = i + 1;
    while (end < n && !ends(read_tag(tags[end - 1]), read_tag(tags[end]))) end++;
    return end;
}

pm_status pm_report_count_tags(pm_report *r, const char *const *truth, const char *const *guess, size_t n) {
    for (size_t i = 0; i < n; i++) {
        size_t true_end = entity_end(truth, n, i), guess_end = entity_end(guess, n, i);
        const char *true_type = read_tag(truth[i]).type, *guess_type = read_tag(guess[i]).type;
        bool right = true_end && true_end == guess_end && strcmp(true_type, guess_type) == 0;
        if (true_end) PM_TRY(count(r, true_type, strlen(true_type), true, right));
        if (guess_end && !right) PM_TRY(count(r, guess_type, strlen(guess_type), false, true));
        r->n_correct += strcmp(truth[i], guess[i]) == 0;
    }
    r->n_items += n;
    return PM_OK;
}

/* ---- figures ---- */

static double ratio(double a, double b) {
    return b > 0 ? a / b : 0;
}

static void divide(pm_score *s) {
    s->precision = ratio((double)s->n_right, (double)s->n_guessed);
    s->recall = ratio((double)s->n_right, (double)s->n_true);
    s->f1 = ratio(2 * s->precision * s->recall, s->precision + s->recall);
}

static void add_figures(pm_score *to, const pm_score *from, double weight) {
    to->precision += weight * from->precision;
    to->recall += weight * from->recall;
    to->f1 += weight * from->f1;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const pm_score *)a)->name, ((const pm_score *)b)->name);
}

void pm_report_finish(pm_report *r) {
    r->micro = r->macro = r->weighted = (pm_score){0};
    if (r->n_rows) qsort(r->rows, r->n_rows, sizeof *r->rows, by_name);
    for (size_t i = 0; i < r->n_rows; i++) {
        divide(&r->rows[i]);
        r->micro.n_true += r->rows[i].n_true;
        r->micro.n_guessed += r->rows[i].n_guessed;
        r->micro.n_right += r->rows[i].n_right;
    }
    divide(&r->micro);
    for (size_t i = 0; i < r->n_rows; i++) {
        add_figures(&r->macro, &r->rows[i], 1 / (double)r->n_rows);
        add_figures(&r->weighted, &r->rows[i], ratio((double)r->rows[i].n_true, (double)r->micro.n_true));
    }
    r->macro.n_true = r->weighted.n_true = r->micro.n_true;
    r->accuracy = ratio((double)r->n_correct, (double)r->n_items);
}

void pm_report_free(pm_report *r) {
    for (size_t i = 0; i < r->n_rows; i++) pm_free(r->rows[i].name);
    pm_free(r->rows);
    *r = (pm_report){0};
}
