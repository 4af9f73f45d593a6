/* Reading the text form of graphs piece by piece. A cursor never moves past the text's final NUL; blanks (not
 * newlines) before a piece are passed over. Errors are PM_ERR_FILE and say what was expected and what stands
 * there. */
#ifndef PM_LEXER_H
#define PM_LEXER_H

#include "graph/ir.h"

bool pm_lex_at(const char **cursor, char c);   /* passes blanks; whether c comes next */
bool pm_lex_take(const char **cursor, char c); /* takes c when it comes next */
bool pm_lex_end_of_line(const char **cursor);  /* passes blanks and a comment; whether the line ends here */
pm_status pm_lex_want(const char **cursor, char c) PM_MUST_USE;
/* [A-Za-z_][A-Za-z0-9_]*, less than `room` characters; `what` is for the error. */
pm_status pm_lex_word(const char **cursor, char *out, size_t room, const char *what) PM_MUST_USE;
pm_status pm_lex_int(const char **cursor, int64_t min, int64_t max, int64_t *out) PM_MUST_USE;
pm_status pm_lex_f32(const char **cursor, float *out) PM_MUST_USE; /* decimal, or 0x and the bits */
pm_status pm_lex_dims(const char **cursor, int32_t *out_rank,
                      int64_t *out_dims) PM_MUST_USE; /* "[2,3]", "[]" */
pm_status pm_lex_string(const char **cursor,
                        pm_text *out) PM_MUST_USE; /* "quoted", JSON's escapes below \u0080 */
pm_status pm_lex_expected(const char *at, const char *what) PM_MUST_USE;

void pm_text_add_f32(pm_text *t, float value); /* as pm_lex_f32 reads it back bit for bit (attrs.c) */

#endif
