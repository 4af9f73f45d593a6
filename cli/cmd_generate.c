/* pumice generate: continue a text or ids, or many of them: greedy, sampling or beams. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/prompts.h"

typedef struct generation {
    const char *device, *print, *early; /* print NULL: text where the model has a tokenizer, else ids */
    const char *trace;
    cli_prompt_source source;
    cli_strings ids;
    int64_t batch; /* prompts that run together */
    int64_t max_new, top_k, beams, start, no_repeat_ngram, min_new, loop;
    double temperature, top_p, min_p, length_penalty, repetition_penalty;
    cli_seed seed;
    bool greedy, ignore_eos, ignore_rules, stats, json;
    cli_strings stops;
    pm_text_stream *stream; /* text goes out as it comes; NULL: at the end */
    const int32_t *prompt;  /* not given out yet */
    size_t n_prompt;
} generation;

/* Flags to options; any sampling flag turns sampling on, as long as --greedy does not forbid it. */
static int make_options(const generation *g, pm_generate_options *o) {
    *o = (pm_generate_options){.max_new = (int32_t)g->max_new,
                               .top_k = (int32_t)g->top_k,
                               .top_p = (float)g->top_p,
                               .min_p = (float)g->min_p,
                               .temperature = (float)g->temperature,
                               .seed = g->seed.value,
                               .n_beams = (int32_t)g->beams,
                               .ignore_eos = g->ignore_eos,
                               .ignore_rules = g->ignore_rules,
                               .repetition_penalty = (float)g->repetition_penalty,
                               .no_repeat_ngram = (int32_t)g->no_repeat_ngram,
                               .min_new = (int32_t)g->min_new,
                               .loop_steps = (int32_t)g->loop,
                               .stops = g->stops.at,
                               .n_stops = g->stops.n};
    o->sample = g->temperature > 0 || g->top_k > 0 || g->top_p > 0 || g->min_p > 0 || g->seed.given;
    if (g->greedy && o->sample)
        return cli_error(PM_ERR_USAGE,
                         "generate: --greedy and a sampling flag were given, expected one of them");
    if (g->beams > 1 && o->sample)
        return cli_error(PM_ERR_USAGE,
                         "generate: --beams and a sampling flag were given, expected one of them");
    if (g->length_penalty > -1e9) {
        o->length_penalty = (float)g->length_penalty;
        o->has_length_penalty = true;
    }
    static const char *const early[] = {"false", "true", "never"};
    if (!g->early) return PM_OK;
    o->has_early_stopping = true;
    for (int i = 0; i < 3; i++)
        if (!strcmp(g->early, early[i])) {
            o->early_stopping = i;
            return PM_OK;
        }
    return cli_error(PM_ERR_USAGE, "--early-stopping: %s, expected false, true or never", g->early);
}

/* What several generations have cost, in `to`: times, tokens and submissions of them all. Those of a batch are the same in each of
 * its sequences, but for the tokens. */
static void add_costs(pm_generated *to, const pm_generated *r, bool new_batch) {
    to->n_prompt += r->n_prompt;
    to->n_ids += r->n_ids;
    if (r->n_together > to->n_together) to->n_together = r->n_together;
    to->decode_steps += r->decode_steps;
    to->loop_steps += r->loop_steps;
    to->no_loop = r->no_loop;
    if (!new_batch) return;
    if (!to->first_token_ns) to->first_token_ns = r->first_token_ns;
    to->prompt_ns += r->prompt_ns;
    to->decode_ns += r->decode_ns;
    to->decode_submits += r->decode_submits;
    to->decode_recordings += r->decode_recordings;
    to->decode_host_ns += r->decode_host_ns;
    to->n_device_ops = r->n_device_ops;
    to->n_fallback_ops = r->n_fallback_ops;
}

/* r: one sequence; whole: it and those that ran with it. */
static json_t *stats_json(const pm_generated *r, const pm_generated *whole, const char *device) {
    double steps = whole->decode_steps ? (double)whole->decode_steps : 1;
    size_t n_new = r->n_ids - r->n_prompt;
    return json_pack("{ss sI sI sf sf sf sf sI sf sI sI sf sI sI sI ss?}", "device", device, "n_prompt",
                     (json_int_t)r->n_prompt, "n_new", (json_int_t)n_new, "prompt_ms",
                     cli_ms(whole->prompt_ns), "first_token_ms", cli_ms(whole->first_token_ns), "decode_ms",
                     cli_ms(whole->decode_ns), "decode_tokens_per_s",
                     whole->decode_ns ? 1e9 * (double)whole->decode_steps / (double)whole->decode_ns : 0.0,
                     "n_submits", (json_int_t)whole->decode_submits, "submits_per_token",
                     (double)whole->decode_submits / steps, "decode_steps", (json_int_t)whole->decode_steps,
                     "recordings", (json_int_t)whole->decode_recordings, "host_us_per_token",
                     (double)whole->decode_host_ns / 1e3 / steps, "device_ops",
                     (json_int_t)whole->n_device_ops, "fallback_ops", (json_int_t)whole->n_fallback_ops,
                     "loop_steps", (json_int_t)whole->loop_steps, "no_loop", whole->no_loop);
}

static void print_stats(const pm_generated *r, const char *device) {
    double steps = r->decode_steps ? (double)r->decode_steps : 1;
    fprintf(stderr, "device             %s\n", device);
    fprintf(stderr, "prompt             %zu tokens in %.2f ms\n", r->n_prompt, cli_ms(r->prompt_ns));
    fprintf(stderr, "first token        after %.2f ms\n", cli_ms(r->first_token_ns));
    fprintf(stderr, "decode             %" PRIu64 " steps in %.2f ms, %.1f tokens/s\n", r->decode_steps,
            cli_ms(r->decode_ns), r->decode_ns ? 1e9 * (double)r->decode_steps / (double)r->decode_ns : 0.0);
    fprintf(stderr, "n_submits          %" PRIu64 " in decoding, %.2f a token; %" PRIu64 " recordings\n",
            r->decode_submits, (double)r->decode_submits / steps, r->decode_recordings);
    fprintf(stderr, "loop               %" PRIu64 " of %" PRIu64 " steps without the host%s%s\n",
            r->loop_steps, r->decode_steps, r->no_loop ? ": " : "", r->no_loop ? r->no_loop : "");
    fprintf(stderr, "host               %.1f us a token\n", (double)r->decode_host_ns / 1e3 / steps);
    fprintf(stderr, "operations         %" PRIu64 " a step on the device, %" PRIu64 " elsewhere\n",
            r->n_device_ops, r->n_fallback_ops);
}

static int print_json(const generation *g, const cli_place *p, const pm_generated *r,
                      const pm_generated *whole, const char *text) {
    json_t *ids = json_array();
    for (size_t i = 0; i < r->n_ids; i++) json_array_append_new(ids, json_integer(r->ids[i]));
    json_t *row = json_pack("{so sI}", "ids", ids, "n_prompt", (json_int_t)r->n_prompt);
    if (text) json_object_set_new(row, "text", cli_json_text(text));
    if (g->beams > 1) json_object_set_new(row, "score", json_real((double)r->score));
    json_object_set_new(row, "stats", stats_json(r, whole, pm_device_name(p->device)));
    return cli_print_json(row, whole == r ? JSON_INDENT(2) : 0);
}

/* The text of the answer, with the prompt's before it, as for ids; of a chat the answer alone. whole: r itself, or what its batch has
 * cost: JSON is one line then. */
static int print_result(const generation *g, const cli_place *p, const pm_generated *r,
                        const pm_generated *whole) {
    size_t skip = g->source.chat ? r->n_prompt : 0;
    char *text = NULL;
    int code = PM_OK;
    if (!strcmp(g->print, "text") && !g->stream) {
        pm_status s = pm_model_decode(p->model, r->ids + skip, r->n_ids - skip, &text);
        if (s != PM_OK) return cli_library_error(s);
    }
    if (g->json)
        code = print_json(g, p, r, whole, text);
    else if (text)
        printf("%s\n", text);
    else if (!g->stream)
        cli_print_ids(r->ids, r->n_ids);
    pm_release(text);
    return code;
}

/* ---- text as it comes ---- */

static bool put_id(const generation *g, int32_t id) {
    const char *text;
    size_t n;
    if (pm_text_stream_add(g->stream, id, &text, &n) != PM_OK) return false;
    fwrite(text, 1, n, stdout);
    if (n) fflush(stdout);
    return true;
}

/* The prompt goes before the first new id: what cannot be continued is not printed. */
static bool stream_id(void *user, int32_t id) {
    generation *g = user;
    for (size_t i = 0; i < g->n_prompt; i++)
        if (!put_id(g, g->prompt[i])) return false;
    g->n_prompt = 0;
    return put_id(g, id);
}

/* Beams, JSON and the built-in model's characters come at the end. */
static int begin_stream(generation *g, const pm_model *m, const int32_t *ids, size_t n,
                        pm_generate_options *o) {
    const pm_tokenizer *t = pm_model_tokenizer(m, 1);
    pm_model_info info;
    pm_model_get_info(m, &info);
    if (g->json || g->beams > 1 || strcmp(g->print, "text") != 0 || !t) return PM_OK;
    pm_status s = pm_text_stream_open(t, true, &g->stream);
    if (s != PM_OK) return cli_library_error(s);
    g->prompt = ids;
    g->n_prompt = g->source.chat || info.encoder_decoder ? 0 : n;
    o->on_token = stream_id;
    o->user = g;
    return PM_OK;
}

static void end_stream(generation *g, bool whole) {
    const char *text;
    size_t n;
    if (!g->stream) return;
    if (pm_text_stream_end(g->stream, &text, &n) == PM_OK) fwrite(text, 1, n, stdout);
    if (whole) printf("\n");
    pm_text_stream_close(g->stream);
}

/* What to print, before anything is generated for nothing. JSON has the text whenever the model can give it. */
static int choose_print(generation *g, const pm_model *m) {
    pm_model_info info;
    pm_model_get_info(m, &info);
    if (g->print && !strcmp(g->print, "text") && !info.has_tokenizer)
        return cli_error(PM_ERR_USAGE,
                         "--print: text, but %s has no tokenizer that is supported, expected --print ids",
                         info.name);
    if (!g->print || g->json) g->print = info.has_tokenizer ? "text" : "ids";
    return PM_OK;
}

/* Fewer ids than were asked for, with no end of text among them. */
static void note_early_end(const pm_generate_options *o, const cli_place *p, const pm_generated *r) {
    pm_model_info info;
    pm_model_get_info(p->model, &info);
    size_t n_new = r->n_ids - r->n_prompt;
    if (r->n_ids > (size_t)info.max_positions && n_new < (size_t)o->max_new)
        fprintf(stderr, "pumice: note: %zu new ids, not %d: the model has %" PRId64 " positions\n", n_new,
                (int)o->max_new, info.max_positions);
}

static int generate_one(generation *g, cli_place *place, const pm_ids *prompt, pm_generate_options *options) {
    pm_generated result = {0};
    int code = begin_stream(g, place->model, prompt->ids, prompt->n, options);
    if (!code) {
        pm_status s = pm_generate(place->session, prompt->ids, prompt->n, options, &result);
        end_stream(g, s == PM_OK);
        if (s == PM_OK) note_early_end(options, place, &result);
        code = s == PM_OK ? print_result(g, place, &result, &result) : cli_library_error(s);
    }
    if (!code && fflush(stdout) != 0) code = cli_error(PM_ERR_FILE, "stdout: cannot be written");
    if (!code && g->stats && !g->json) print_stats(&result, pm_device_name(place->device));
    pm_generated_free(&result);
    return code;
}

/* Results in the order of the prompts; what they have cost is added to *costs. */
static int generate_batch(const generation *g, cli_place *place, const pm_ids *prompts, size_t n,
                          const pm_generate_options *options, pm_generated *costs) {
    pm_generated *results = calloc(n, sizeof *results), whole = {0};
    if (!results) return cli_error(PM_ERR_MEMORY, "out of memory: %zu results", n);
    pm_status s = pm_generate_batch(place->session, prompts, n, options, results);
    int code = s == PM_OK ? PM_OK : cli_library_error(s);
    for (size_t i = 0, next = 0; s == PM_OK && i < n; i++) {
        bool new_batch = i == next;
        if (new_batch) next += results[i].n_together;
        add_costs(&whole, &results[i], new_batch);
        add_costs(costs, &results[i], new_batch);
    }
    for (size_t i = 0; !code && i < n; i++) {
        note_early_end(options, place, &results[i]);
        code = print_result(g, place, &results[i], &whole);
    }
    if (fflush(stdout) != 0 && !code) code = cli_error(PM_ERR_FILE, "stdout: cannot be written");
    for (size_t i = 0; i < n; i++) pm_generated_free(&results[i]);
    free(results);
    return code;
}

static int generate_all(const generation *g, cli_place *place, const cli_prompts *p,
                        const pm_generate_options *options) {
    pm_generated costs = {0};
    pm_generate_options o = *options;
    size_t *numbers = malloc(p->n * sizeof *numbers);
    int code = numbers ? PM_OK : cli_error(PM_ERR_MEMORY, "out of memory: %zu prompts", p->n);
    for (size_t i = 0; !code && i < p->n; i++) numbers[i] = i + 1;
    o.prompt_name = g->source.file ? "line" : g->ids.n ? "--ids" : "TEXT";
    for (size_t i = 0; !code && i < p->n; i += (size_t)g->batch) {
        size_t n = p->n - i < (size_t)g->batch ? p->n - i : (size_t)g->batch;
        o.prompt_numbers = numbers + i;
        code = generate_batch(g, place, p->at + i, n, &o, &costs);
    }
    free(numbers);
    if (code || !g->stats || g->json) return code;
    fprintf(stderr, "prompts            %zu, %zu at a time\n", p->n, costs.n_together);
    print_stats(&costs, pm_device_name(place->device));
    return PM_OK;
}

static int run(generation *g, cli_place *place, pm_generate_options *options) {
    cli_prompts prompts = {0};
    int code = cli_set_start(place, g->start);
    if (!code) code = cli_read_prompts(place, &g->source, &prompts);
    if (!code) code = choose_print(g, place->model);
    if (!code)
        code = prompts.listed ? generate_all(g, place, &prompts, options)
                              : generate_one(g, place, prompts.at, options);
    cli_free_prompts(&prompts);
    return code;
}

int cmd_generate(int argc, char **argv) {
    generation g = {.device = "auto", .beams = 1, .batch = 8, .start = -1, .length_penalty = -1e10};
    const cli_flag flags[] = {
        {"--ids", CLI_STRINGS, &g.ids, "LIST", "a prompt as token ids: 5,9,2; may be repeated", 0, 0},
        {"--file", CLI_STRING, &g.source.file, "FILE", "a prompt a line; - is stdin", 0, 0},
        {"--lines", CLI_STRING, &g.source.lines, "WHAT",
         "with --file: text or ids; default: text, or ids without a tokenizer", 0, 0},
        {"--batch", CLI_INT, &g.batch, "N",
         "of several prompts: how many run together (default 8); with beams one after the other", 1, 256},
        {"-n|--max-new", CLI_INT, &g.max_new, "N", "most new tokens; default: up to the model's limit", 1,
         1e7},
        {"--greedy", CLI_BOOL, &g.greedy, NULL,
         "the likeliest token each time (default without sampling flags)", 0, 0},
        {"--temperature", CLI_REAL, &g.temperature, "T", "sample, logits divided by T", 1e-6, 1e6},
        {"--top-k", CLI_INT, &g.top_k, "K", "sample among the K likeliest", 1, 1e9},
        {"--top-p", CLI_REAL, &g.top_p, "P", "sample among the likeliest that hold probability P", 1e-9, 1},
        {"--min-p", CLI_REAL, &g.min_p, "P", "sample among those at least P times as likely as the likeliest",
         1e-9, 1},
        {"--seed", CLI_SEED, &g.seed, "S", "sample with this seed", 0, 0},
        {"--beams", CLI_INT, &g.beams, "K", "beam search with K beams", 1, 64},
        {"--length-penalty", CLI_REAL, &g.length_penalty, "A",
         "beams: scores are divided by length^A (default 1)", -1e3, 1e3},
        {"--early-stopping", CLI_STRING, &g.early, "WHEN", "beams: false, true or never", 0, 0},
        {"--repetition-penalty", CLI_REAL, &g.repetition_penalty, "P",
         "tokens that came before are this much less likely", 1e-3, 1e3},
        {"--no-repeat-ngram", CLI_INT, &g.no_repeat_ngram, "N", "no N tokens in a row come twice", 1, 1e6},
        {"--min-new", CLI_INT, &g.min_new, "N", "least new tokens", 1, 1e7},
        {"--ignore-rules", CLI_BOOL, &g.ignore_rules, NULL, "leave the model's generation_config.json aside",
         0, 0},
        {"--chat", CLI_BOOL, &g.source.chat, NULL, "TEXT is a message to a chat model; prints its answer", 0,
         0},
        {"--system", CLI_STRING, &g.source.system, "TEXT", "with --chat: the system's message", 0, 0},
        {"--stop", CLI_STRINGS, &g.stops, "S", "end when the text holds S; may be repeated", 0, 0},
        {"--ignore-eos", CLI_BOOL, &g.ignore_eos, NULL, "go on after the end-of-sequence token", 0, 0},
        {"--loop", CLI_INT, &g.loop, "N",
         "most steps that the device does before the host looks (default 32; 1: the host chooses each token)",
         1, 64},
        CLI_START_FLAG(&g.start),
        {"--print", CLI_STRING, &g.print, "WHAT", "text or ids; default: text, or ids without a tokenizer", 0,
         0},
        {"--stats", CLI_BOOL, &g.stats, NULL, "times, submissions, and where operations ran, to stderr", 0,
         0},
        CLI_DEVICE_FLAG(&g.device),
        CLI_TRACE_FLAG(&g.trace),
        {"--json", CLI_BOOL, &g.json, NULL, "print JSON", 0, 0},
    };
    const cli_usage usage = {"generate MODEL [TEXT...] [--ids 5,9,2] [--file FILE] [-n N]",
                             "Continues a text or ids, or several of them together.",
                             "pumice generate tests/data/reference/gpt2 --ids 5,9,2 -n 8 --print ids",
                             flags,
                             sizeof flags / sizeof *flags,
                             1,
                             4096};
    char **words;
    size_t n_words;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (code) return code;
    if (g.print && strcmp(g.print, "ids") && strcmp(g.print, "text"))
        return cli_error(PM_ERR_USAGE, "--print: %s, expected text or ids", g.print);
    pm_generate_options options;
    code = make_options(&g, &options);
    if (code) return code;

    cli_place place;
    code = cli_open(words[0], g.device, &(pm_device_options){.profile = g.trace != NULL}, &place);
    if (code) return code;
    g.source.ids = &g.ids;
    g.source.texts = words + 1;
    g.source.n_texts = n_words - 1;
    code = run(&g, &place, &options);
    if (!code && g.trace) code = cli_write_trace(g.trace, &place.device, 1);
    cli_close(&place);
    return code;
}
