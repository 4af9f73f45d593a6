/* Pumice, scores: how right guesses are: precision, recall, F1 and support by class, with micro, macro and weighted means, as the usual reports for
 * classes and for named entities give them. It runs nothing.
 *
 *     pm_report r = {0};
 *     pm_report_count_class(&r, "good", "bad");               // truth, guess; for each text
 *     pm_report_finish(&r);
 *     for (size_t i = 0; i < r.n_rows; i++) printf("%s %.3f\n", r.rows[i].name, r.rows[i].f1);
 *     pm_report_free(&r);
 */
#ifndef PUMICE_SCORES_H
#define PUMICE_SCORES_H

#include "pumice/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pm_score {
    char *name;                          /* the report's; NULL in means */
    uint64_t n_true, n_guessed, n_right; /* support; guesses of this class; those that are right */
    double precision, recall, f1;        /* 0 where there is nothing to divide by */
} pm_score;

/* Zero-initialise. A class has a row when it is true or guessed somewhere; rows are sorted by name. */
typedef struct pm_report {
    pm_score *rows;
    size_t n_rows, capacity;
    uint64_t n_items, n_correct; /* texts, or words */
    double accuracy;
    pm_score micro, macro, weighted; /* of all counts together; of the rows' figures; the same by support */
} pm_report;

/* One text of one class. */
pm_status pm_report_count_class(pm_report *r, const char *truth, const char *guess) PM_MUST_USE;
/* One text of any number of classes; it is correct when all are. */
pm_status pm_report_count_classes(pm_report *r, const char *const *truth, size_t n_truth,
                                  const char *const *guess, size_t n_guess) PM_MUST_USE;
/* The tags of n words. Rows are of entities: one is right when its words and its type are, whatever tags wrote it: IOB2 (B-X begins every
 * entity), IOB1 (B-X only behind another of its type), BIOES, BILOU, or plain types (O is none). Accuracy is of words. */
pm_status pm_report_count_tags(pm_report *r, const char *const *truth, const char *const *guess,
                               size_t n) PM_MUST_USE;
void pm_report_finish(pm_report *r); /* sorts, divides */
void pm_report_free(pm_report *r);

#ifdef __cplusplus
}
#endif
#endif
