/* Pumice, chat: messages to the prompt that a chat model was trained on. The model's template (tokenizer_config.json's chat_template,
 * chat_template.jinja, GGUF's tokenizer.chat_template) is recognised by its markers, not run: docs/chat.md says which families. An unknown
 * template is an error.
 *
 *     pm_chat_message talk[] = {{"system", "Be brief."}, {"user", "Why is the sky blue?"}};
 *     int32_t *ids;  size_t n;
 *     if (pm_chat_encode(model, talk, 2, &ids, &n) == PM_OK) pm_generate(session, ids, n, &options, &answer);
 *     pm_release(ids);
 */
#ifndef PUMICE_CHAT_H
#define PUMICE_CHAT_H

#include "pumice/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pm_chat_message {
    const char *role, *content; /* role: "system" (only the first), "user" or "assistant" */
} pm_chat_message;

/* A template as the files have it; bos and eos: how its special tokens are spelled, NULL: "". */
typedef struct pm_chat_template {
    const char *text, *bos, *eos;
} pm_chat_template;

/* The prompt, up to where the assistant's answer begins. Freed with pm_release. Errors: PM_ERR_FILE for a template that is not known,
 * PM_ERR_USAGE for a message that it does not allow (named). */
pm_status pm_chat_render_template(const pm_chat_template *t, const pm_chat_message *messages, size_t n,
                                  char **out_text) PM_MUST_USE;
/* The same with the model's own template. PM_ERR_USAGE when it has none. */
pm_status pm_chat_render(const pm_model *m, const pm_chat_message *messages, size_t n,
                         char **out_text) PM_MUST_USE;
/* Its ids: special tokens that the template spells out are tokens, and none is added. Freed with pm_release. */
pm_status pm_chat_encode(const pm_model *m, const pm_chat_message *messages, size_t n, int32_t **out_ids,
                         size_t *out_n) PM_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
