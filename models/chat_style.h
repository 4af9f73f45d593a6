/* How a family of chat models writes a conversation, as chat_style.c reads it from a template and chat.c writes it. */
#ifndef PM_CHAT_STYLE_H
#define PM_CHAT_STYLE_H

#include "graph/base.h"
#include "pumice/chat.h"

/* Where the text of the system goes. */
typedef enum chat_system {
    CHAT_SYSTEM_TURN,  /* a turn of its own */
    CHAT_SYSTEM_FIRST, /* before the first user's text */
    CHAT_SYSTEM_LAST,  /* before the last user's text */
    CHAT_SYSTEM_NONE   /* the template refuses it */
} chat_system;

/* One turn: before, the role where `names_role`, between, the content, after. */
typedef struct chat_turn {
    const char *before, *between, *after;
    bool names_role, trims;
} chat_turn;

typedef struct pm_chat_style {
    const char *family;
    const char *begin, *end; /* before all turns; where the answer begins */
    chat_turn system, user, assistant;
    chat_system system_place;
    const char *system_before, *system_after; /* FIRST, LAST: around the system's text */
    char *default_system;                     /* NULL: none */
    char *system_preamble;                    /* in the system's turn, which then always comes; NULL: none */
    bool needs_system;                        /* the template would make one up that we cannot */
    bool drops_lines;                         /* and its line ends after that */
    bool drops_thoughts; /* an assistant's text is what stands behind its last </think> */
    const char *assistant_role, *system_role;
    pm_arena arena;
} pm_chat_style;

/* Errors: PM_ERR_FILE for a template of no known family. Close it in any case. */
pm_status pm_chat_style_read(const pm_chat_template *t, pm_chat_style *out) PM_MUST_USE;
void pm_chat_style_close(pm_chat_style *s);

#endif
