/* What the commands share: flags as tables, errors, and opening a device with a model. The command knows only the public
 * headers. Results go to stdout, everything else to stderr. */
#ifndef PM_CLI_H
#define PM_CLI_H

#include <jansson.h>
#include <stdio.h>

#include "pumice/model.h"

typedef enum cli_kind { CLI_BOOL, CLI_STRING, CLI_INT, CLI_REAL, CLI_SEED, CLI_STRINGS, CLI_BYTES } cli_kind;

#define CLI_MAX_STRINGS 16
typedef struct cli_strings {
    const char *at[CLI_MAX_STRINGS];
    size_t n;
} cli_strings;

typedef struct cli_seed {
    uint64_t value;
    bool given;
} cli_seed;

/* One flag. `value` points to bool, const char *, int64_t, double, cli_seed, cli_strings or uint64_t, as `kind` says. */
typedef struct cli_flag {
    const char *name; /* "--device"; a short form may follow a bar: "--output|-o" */
    cli_kind kind;
    void *value;
    const char *argument, *help;
    double min, max; /* of CLI_INT and CLI_REAL */
} cli_flag;

typedef struct cli_usage {
    const char *forms;   /* "generate MODEL [TEXT]" */
    const char *purpose; /* one sentence */
    const char *example; /* works in a fresh build */
    const cli_flag *flags;
    size_t n_flags;
    size_t min_words, max_words; /* positional arguments */
} cli_usage;

/* Reads the arguments after the command. *out_words points at the positional ones (in argv, reordered).
 * PM_OK, PM_ERR_USAGE (said), or CLI_HELP when --help was asked and printed: commands return it, main() takes it for PM_OK. */
#define CLI_HELP (-1)
int cli_parse(int argc, char **argv, const cli_usage *usage, char ***out_words, size_t *out_n_words);

int cli_error(pm_status status, const char *fmt, ...)
    PM_PRINTF(2, 3);                     /* prints "pumice: error: ...", returns status */
int cli_library_error(pm_status status); /* the same with pm_error_text() */

typedef struct cli_place {
    pm_device *device;
    pm_model *model;
    pm_session *session;
} cli_place;
/* Commands with a MODEL and a --device take the flags of a model, too (--lora), which this function heeds. */
int cli_open_model(const char *path, pm_model **out_model);
int cli_open(const char *model, const char *device, const pm_device_options *options, cli_place *out);
void cli_close(cli_place *p);
/* Opens a device with what the flags that all such commands share say of it (--max-memory). */
pm_status cli_open_device(const char *device, const pm_device_options *options, pm_device **out) PM_MUST_USE;
uint64_t cli_max_memory(void); /* 0: not given */
void cli_note_memory(
    pm_device *d); /* says what does not fit on the device, unless it has said the same before */
#define CLI_DEVICE_FLAG(value)                                                                               \
    { "--device", CLI_STRING, value, "D", "auto, cpu, reference, vulkan, vulkan:N or part of a name", 0, 0 }
int cli_set_start(cli_place *p, int64_t id); /* what --decoder-start says; -1: not given */
#define CLI_START_FLAG(value)                                                                                \
    {                                                                                                        \
        "--decoder-start", CLI_INT, value, "ID", "id that the decoder begins with, over config.json's", 0,   \
            INT32_MAX                                                                                        \
    }

/* "5,9,2" -> ids. Freed with free(). what: the text's place, for an error ("--ids", "line 3"). */
int cli_parse_ids(const char *what, const char *text, int32_t **out_ids, size_t *out_n);
void cli_print_ids(const int32_t *ids, size_t n);
json_t *cli_json_text(const char *text); /* what is not UTF-8 becomes U+FFFD; NULL: no text, or no memory */
int cli_print_json(json_t *value,
                   size_t flags); /* prints with jansson's flags and releases; NULL is an error */
int cli_write_file(const char *path, const void *data, size_t bytes); /* pm_file_write; "-" is stdout */
double cli_ms(uint64_t ns);
double cli_now_ms(void); /* from some moment on */
bool cli_is_blank(const char *text);
int cli_write_trace(const char *path, pm_device *const *devices, size_t n); /* pm_device_trace to a file */
#define CLI_TRACE_FLAG(value)                                                                                \
    {                                                                                                        \
        "--trace", CLI_STRING, value, "FILE",                                                                \
            "write a timeline of all dispatches there (open it in Perfetto)", 0, 0                           \
    }

/* The commands: cmd_<name>.c each. argv[0] is the command's name. They return an exit code. */
int cmd_attend(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_classify(int argc, char **argv);
int cmd_compile(int argc, char **argv);
int cmd_devices(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_embed(int argc, char **argv);
int cmd_fill(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_match(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_see(int argc, char **argv);
int cmd_tag(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_transcribe(int argc, char **argv);
int cmd_translate(int argc, char **argv);
int cmd_verify(int argc, char **argv);

#endif
