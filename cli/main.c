/* The pumice command: finds the command by name and hands over. */
#include <string.h>

#include "cli/cli.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"devices", cmd_devices, "list the devices of this machine"},
    {"translate", cmd_translate, "text to text with an encoder-decoder"},
    {"generate", cmd_generate, "continue a text or ids"},
    {"classify", cmd_classify, "classes of texts, or how right they are"},
    {"tag", cmd_tag, "entities in texts, or how right they are"},
    {"fill", cmd_fill, "candidates for masked words"},
    {"embed", cmd_embed, "vectors of texts"},
    {"transcribe", cmd_transcribe, "sound to text with Whisper"},
    {"see", cmd_see, "classes of pictures"},
    {"match", cmd_match, "how well texts fit a picture"},
    {"tokenize", cmd_tokenize, "ids of a text, or the text of ids"},
    {"run", cmd_run, "one forward pass on tensors in a safetensors file"},
    {"dump", cmd_dump, "the graph, the memory plan or the program of a model"},
    {"compile", cmd_compile, "compile a graph in text form, run it, time it, verify it"},
    {"verify", cmd_verify, "compare every operation with the reference executor"},
    {"bench", cmd_bench, "time operations or a model on devices, side by side"},
    {"attend", cmd_attend, "attention weights as a picture or as numbers"},
};

static void print_help(FILE *to) {
    fprintf(to,
            "pumice %s: Transformer inference on any GPU that speaks Vulkan\n\nusage: pumice COMMAND "
            "[ARGUMENTS]\n\n",
            pm_version());
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fprintf(to, "\n`pumice COMMAND --help` shows its flags and an example. Built-in models:");
    for (size_t i = 0; pm_model_builtin_name(i); i++) fprintf(to, " %s", pm_model_builtin_name(i));
    fprintf(to, "\n");
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return PM_ERR_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_help(stdout);
        return PM_OK;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("pumice %s\n", pm_version());
        return PM_OK;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name)) return commands[i].run(argc - 1, argv + 1);
    return cli_error(PM_ERR_USAGE, "unknown command: %s; `pumice --help` lists them", argv[1]);
}

int main(int argc, char **argv) {
    int status = run(argc, argv);
    if (status == CLI_HELP) status = PM_OK;
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    int failed = cli_error(PM_ERR_OTHER, "stdout: the results could not be written");
    return status ? status : failed;
}
