/* What the tests of tokenizers share: the data of tests/data/tokenizers, and a check of one text against what must come out. */
#ifndef PM_TEST_SUPPORT_TOKENIZER_H
#define PM_TEST_SUPPORT_TOKENIZER_H

#include <jansson.h>

#include "pumice/tokenizer.h"
#include "tests/support_models.h"

test_path test_tokenizer_folder(const char *name); /* tests/data/tokenizers/NAME */
json_t *test_json(const test_path *path);
void test_write_json(const test_path *path, const json_t *json);

/* The ids of a text; fails with `name` and the text where they differ. ids: array of integers. */
void test_ids(const pm_tokenizer *t, const char *name, const json_t *text, const json_t *ids, bool special);
/* The text of ids, at once and as a stream. */
void test_decoded(const pm_tokenizer *t, const char *name, const json_t *ids, const json_t *text);
/* All of a folder's cases.json. */
void test_cases(const pm_tokenizer *t, const test_path *folder);

#endif
