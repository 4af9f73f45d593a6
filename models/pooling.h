/* One vector for a text from the hidden states of its tokens: pooling, as graph outputs and as the layout of
 * sentence-transformers asks for it (modules.json, 1_Pooling/config.json, 2_Dense, 2_Normalize). */
#ifndef PM_POOLING_H
#define PM_POOLING_H

#include "models/build.h"

/* x[B,T,C] to [B,C] over the present tokens. keys: I32 [B,T], 0 is absent; NULL: all are present. */
pm_tensor *pm_pool(pm_build *b, pm_tensor *x, pm_tensor *keys, pm_pool_kind kind);

/* Where a folder says nothing: the mean, of decoders the last token. */
pm_pool_kind pm_pool_default(const pm_model *m);
enum { PM_POOL_NAME = 64 };
/* The output's name: "sentence_embedding.mean". */
void pm_pool_name(pm_pool_kind kind, char out_name[PM_POOL_NAME]);

/* The outputs that embed texts:
 *   "sentence_embedding" [B,N]: what the folder's layout says; without one, in models of task "features", the default. One
 *   of the final outputs where there is a layout.
 *   "sentence_embedding.cls", ".max", ".mean", ".lasttoken" [B,C]: that pooling alone; made only when asked for by name. */
void pm_pool_outputs(pm_build *b, pm_tensor *x, pm_tensor *keys);
/* The latter alone. */
void pm_pool_kinds(pm_build *b, pm_tensor *x, pm_tensor *keys);

/* Fills m->spec.pooling from the folder and adds the weights of dense layers to the checkpoint. No modules.json: nothing.
 * A decoder whose folder has no head is taken as one without, whatever class config.json names.
 * Errors: PM_ERR_FILE names the file, the key and its value. */
pm_status pm_pooling_read(pm_model *m) PM_MUST_USE;

#endif
