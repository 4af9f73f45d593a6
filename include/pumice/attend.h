/* Pumice, attention maps: how much each token attends to each, by layer and head; for texts, pictures and sound.
 *
 *     pm_attention a;
 *     pm_attend_options o = {.text = "half past three", .layers = PM_ATTEND_ONE, .layer = 1};
 *     if (pm_session_attend(session, &o, &a) == PM_OK) { ... a.weights[head * a.n_queries * a.n_keys + ...] ... }
 *     pm_attention_free(&a);
 *
 * It computes; the command `pumice attend` draws. */
#ifndef PUMICE_ATTEND_H
#define PUMICE_ATTEND_H

#include "pumice/audio.h"
#include "pumice/image.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pm_attend_input { PM_ATTEND_TEXT, PM_ATTEND_IMAGE, PM_ATTEND_SOUND } pm_attend_input;
typedef enum pm_attend_parts { PM_ATTEND_EACH, PM_ATTEND_ONE, PM_ATTEND_MEAN } pm_attend_parts;

/* What is read: one of text, ids, image, sound and inputs. */
typedef struct pm_attend_options {
    /* Encoder-decoders: "cross" (NULL), "encoder", "decoder". CLIP: "vision", "text". Longformer: "encoder" (all), "window" (rows of
     * local tokens), "global" (rows of global ones). Other models have one, whether it is called "encoder" or "decoder". */
    const char *map;
    const char *text, *pair; /* pair: a second text, of encoders, or NULL */
    const int32_t *ids;      /* with the special tokens that the model wants */
    size_t n_ids;
    const pm_image *image;
    const pm_sound *sound;    /* the first window of it */
    const pm_tensors *inputs; /* as of pm_session_run */
    int64_t row;              /* of inputs' batch */
    /* What the decoder of an encoder-decoder is fed with, from its start token on; NULL: what it generates. */
    const int32_t *target;
    size_t n_target;
    const pm_generate_options *generate;     /* how; from and to, for models of many languages; or NULL */
    const pm_transcribe_options *transcribe; /* the same for sound */
    int64_t segment;                         /* Transformer-XL: tokens of a segment; 0: 512 */
    pm_attend_parts layers, heads;           /* each of them, one, or their mean */
    int64_t layer, head;                     /* PM_ATTEND_ONE: which */
    /* Rollout (Abnar, Zuidema 2020) through all layers, or up to `layer`: the product of (A + I) / 2 with rows scaled to 1, A being the mean of
     * the heads or one head. Of maps of tokens to themselves. */
    bool rollout;
} pm_attend_options;

/* Patches: n_lead tokens of the model's own, then rows x columns patches of side x side pixels. Frames: pieces of sound. */
typedef enum pm_axis_kind { PM_AXIS_TOKENS, PM_AXIS_PATCHES, PM_AXIS_FRAMES } pm_axis_kind;
typedef struct pm_axis {
    pm_axis_kind kind;
    int64_t n;
    /* UTF-8 on one line, without control characters. "[class]" and "row,column" of patches, seconds of frames. */
    char **labels;
    int64_t n_lead, rows, columns, side; /* side: pixels of a patch */
} pm_axis;

/* weights[n_layers][n_heads][n_queries][n_keys], of layers and heads from first_layer and first_head on; means count as one. A row of
 * them sums to 1, but for what models define otherwise: gpt-oss's heads keep a share for themselves, and a token that the mask leaves
 * out may attend to nothing. */
typedef struct pm_attention {
    const char *map; /* its name */
    int64_t n_layers, n_heads, n_queries, n_keys, first_layer, first_head;
    pm_attend_parts layers, heads;
    bool rollout; /* first_layer is the last one of it */
    float *weights;
    pm_axis query, key;
    char *text; /* what an encoder-decoder made of the input, or NULL */
    pm_image
        image; /* a picture as the model saw it, scaled and cut; its patches fill it from the upper left corner */
} pm_attention;

/* What `map` of this model reads. Errors: PM_ERR_USAGE lists the maps that it has. */
pm_status pm_model_attend_input(const pm_model *m, const char *map, pm_attend_input *out) PM_MUST_USE;
/* Errors: PM_ERR_USAGE names the map, layer, head, row or length that the model does not have. Free with pm_attention_free. */
pm_status pm_session_attend(pm_session *s, const pm_attend_options *options, pm_attention *out) PM_MUST_USE;
void pm_attention_free(pm_attention *a);

#ifdef __cplusplus
}
#endif
#endif
