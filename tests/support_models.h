/* What the tests of models share: copies of the small checkpoints of tests/data, and ways to spoil them. */
#ifndef PM_TEST_SUPPORT_MODELS_H
#define PM_TEST_SUPPORT_MODELS_H

#include "pumice/model.h"
#include "tests/support.h"

enum { TEST_PATH = 512 };
typedef struct test_path {
    char s[TEST_PATH];
} test_path;

/* tests/data/reference/NAME, and one file of it. */
test_path test_reference(const char *name, const char *file);

/* A fresh folder under /tmp that goes when the program ends. */
test_path test_folder(void);
/* A copy of the checkpoint in a fresh folder (config.json, model.safetensors). */
test_path test_copy_model(const char *name);
test_path test_join(const test_path *folder, const char *file);

unsigned char *test_read_file(const char *path, size_t *out_bytes); /* free() */
void test_write_file(const char *path, const void *data, size_t bytes);

/* Sets key of config.json to a value in JSON, or removes it (json NULL). */
void test_edit_config(const test_path *folder, const char *key, const char *json);
/* Sets a field of a tensor's entry in model.safetensors' header; field NULL: the whole entry; json NULL:
 * removes it. */
void test_edit_header(const test_path *folder, const char *tensor, const char *field, const char *json);

/* Passes each element of an F32 tensor of model.safetensors through `edit`. */
void test_edit_tensor(const test_path *folder, const char *tensor, float (*edit)(float x, size_t i));

/* Opening the folder fails with `status`, and the text has every one of the words (NULL ends them). */
void test_expect_error(const test_path *folder, pm_status status, const char *const *words);

/* A device of that spec, or NULL when there is none. */
pm_device *test_open_device(const char *spec);

typedef struct test_session {
    pm_device *d; /* NULL: the caller's */
    pm_model *m;
    pm_session *s;
} test_session;
/* Or the test fails. */
test_session test_open(const char *path, const char *device);
test_session test_open_on(pm_device *d, const char *path);
void test_close(test_session *o);

/* A device of that spec; the test is skipped when there is none. */
pm_device *test_need_device(const char *spec);
/* Whether the model generates from a prompt of ids; an encoder-decoder without a start id gets 1. */
bool test_is_decoder(const test_session *o);
/* Calls `check` for every decoder of tests/data/reference on one device, which must have no messages in the end. */
void test_each_decoder(const char *spec, void (*check)(test_session *o, const char *name, const void *user),
                       const void *user);

#endif
