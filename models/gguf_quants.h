/* Elements of GGUF files: plain floats, and blocks of quantised weights that share scales. To F32 only; from bytes, so
 * right on any machine. Knows no file. */
#ifndef PM_GGUF_QUANTS_H
#define PM_GGUF_QUANTS_H

#include "graph/base.h"

/* Types of blocks stand behind the public ones in pm_array.dtype, inside models/ only. PM_N_DTYPES itself means: none. */
enum { PM_FIRST_BLOCK = PM_N_DTYPES + 1 };

typedef struct pm_block_type {
    const char *name;                                       /* "Q4_K" */
    unsigned gguf;                                          /* the format's number */
    unsigned elems, bytes;                                  /* of one block */
    pm_dtype dtype;                                         /* of a pm_array */
    void (*to_f32)(const unsigned char *block, float *out); /* one block; NULL for plain floats */
} pm_block_type;

const pm_block_type *pm_block_of_gguf(uint64_t gguf);   /* NULL: a type that is not read */
const pm_block_type *pm_block_of_dtype(pm_dtype dtype); /* NULL: not a type of blocks */
void pm_gguf_list_types(pm_text *t);                    /* "F32, F16, ..." */

#endif
