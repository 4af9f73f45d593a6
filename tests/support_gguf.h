/* GGUF files written by code, and checkpoints of tests/data as llama.cpp's converter would write them. */
#ifndef PM_TEST_SUPPORT_GGUF_H
#define PM_TEST_SUPPORT_GGUF_H

#include "tests/support_models.h"

/* Zero-initialise. Keys and tensors are added in any order. */
typedef struct test_gguf {
    pm_text keys, infos, data;
    uint64_t n_keys, n_tensors;
    uint32_t version; /* 0: 3 */
} test_gguf;

void test_gguf_word(pm_text *t, uint64_t value, int bytes); /* little-endian */
void test_gguf_string(pm_text *t, const char *s);
/* A key with the bytes of a value of that type of the format. */
void test_gguf_key(test_gguf *f, const char *key, unsigned type, const void *bytes, size_t n);
void test_gguf_u32(test_gguf *f, const char *key, uint32_t value);
void test_gguf_f32(test_gguf *f, const char *key, float value);
void test_gguf_text(test_gguf *f, const char *key, const char *value);
/* bytes: of n elements of that type. */
void test_gguf_array(test_gguf *f, const char *key, unsigned type, uint64_t n, const char *bytes,
                     size_t n_bytes);
/* dims: outermost first. data NULL: zeros. */
void test_gguf_tensor(test_gguf *f, const char *name, unsigned type, int rank, const int64_t *dims,
                      const void *data, size_t bytes);
/* The whole file, and frees what f holds; free(). */
unsigned char *test_gguf_bytes(test_gguf *f, size_t *out_n);
void test_gguf_write(test_gguf *f, const char *path);

/* Experts as the converter keeps them, one tensor for all: from tensors of each, and from gpt-oss's, which lie turned and
 * have gate and up by turns. */
pm_tensors *test_join_experts(const pm_tensors *set, int64_t n_experts);

/* tests/data/reference/NAME (llama, mixtral, qwen3-moe, gpt-oss, gpt2, t5, t5-v1.1) as a GGUF file of F32 in a fresh folder;
 * t5encoder: v1.1's encoder alone. */
test_path test_gguf_of(const char *name);

#endif
