/* Little-endian words and texts of a GGUF file, front to back. Never reads past the end; every refusal names the
 * file, what was being read and the place. Internal to gguf*.c. */
#ifndef PM_GGUF_READER_H
#define PM_GGUF_READER_H

#include "models/gguf.h"
#include "models/safetensors.h"

typedef struct pm_gguf_reader {
    const char *label; /* the file's name, for errors */
    const unsigned char *data;
    uint64_t bytes, at; /* at <= bytes */
} pm_gguf_reader;

/* The bytes' value, low byte first. bytes: up to 8. */
uint64_t pm_gguf_word(const unsigned char *p, int bytes);

/* what: for errors ("key 3", "tensor blk.0.attn_q.weight"). */
pm_status pm_gguf_skip(pm_gguf_reader *r, uint64_t bytes, const char *what) PM_MUST_USE;
pm_status pm_gguf_next(pm_gguf_reader *r, int bytes, const char *what, uint64_t *out) PM_MUST_USE;
pm_status pm_gguf_next_text(pm_gguf_reader *r, const char *what, pm_gguf_text *out) PM_MUST_USE;

/* Reads n tensor infos where r stands and checks the data that they name. *out_entries is sorted by name and lies in
 * `arena`. alignment: of the data, a power of two. */
pm_status pm_gguf_read_tensors(pm_gguf_reader *r, uint64_t n, uint64_t alignment, pm_arena *arena,
                               pm_entry **out_entries) PM_MUST_USE;

#endif
