/* What fusion leaves of every family in tests/data/reference, in every graph that its model has: no softmax outside
 * attention, no mean and rsqrt, gamma or beta of a norm, no activation or bias that is not a product's epilogue, and no dispatch of the
 * program that only copies. What remains stands in a table with its reason; a row that is no longer true fails. */
#include "tests/support_models.h"

#include <dirent.h>
#include <stdlib.h>

#include "graph/compile.h"
#include "graph/ir.h"
#include "models/arch.h"
#include "models/build.h"

typedef enum kind { SOFTMAX, NORM, ACTIVATION, BIAS, ROW, COPY, N_KINDS } kind;
static const char *const kind_names[] = {"softmax", "mean and rsqrt", "activation", "bias", "row", "copy"};

/* ---- what remains ---- */

typedef struct remains {
    const char *family, *graph; /* graph NULL: each one */
    kind kind;
    int n;
    const char *why;
} remains;

static const remains table[] = {
    {"mixtral", NULL, SOFTMAX, 2,
     "the weights of the experts that were chosen, a few numbers a token, no attention"},
    {"qwen3-moe", NULL, SOFTMAX, 2, "the weights of the experts, a few numbers a token, no attention"},
    {"gpt-oss", NULL, SOFTMAX, 2,
     "the weights of the experts that were chosen, a few numbers a token, no attention"},
    /* copies of two sequences, or two pictures */
    {"longformer-answer", NULL, COPY, 4, "as longformer"},
    {"longformer", NULL, COPY, 4,
     "masks of global tokens with their blocks' words behind them, a word a token"},
    {"longformer-none", NULL, COPY, 4, "as longformer"},
    {"longformer-globals", NULL, COPY, 4, "as longformer"},
    {"longformer-ner", NULL, COPY, 4, "as longformer"},
    {"longformer-classify", NULL, COPY, 4, "as longformer"},
    {"sentence-many", NULL, COPY, 4, "poolings side by side, a row a sentence"},
    {"sentence-last", "forward", COPY, 1, "the last token's row of each sentence is an output"},
    {"dinov2-registers", NULL, COPY, 8,
     "as dinov2, and registers go between tokens that have their positions"},
    {"dinov2-swiglu", NULL, COPY, 4, "as vit; no classifier on the mean of patches"},
    {"dinov2", NULL, COPY, 5, "as vit, and the classifier's row of the class token"},
    {"deit", NULL, COPY, 4, "as vit, with two tokens before the patches"},
    {"vit", NULL, COPY, 3, "patches (twice: tensors have five dims) and the class token before them"},
    {"vit-gray-odd", NULL, COPY, 3, "as vit"},
    {"clip", NULL, COPY, 4, "as vit, and one of the two tables of likeness is the other one turned"},
    {"clip-eos2", NULL, COPY, 4, "as clip"},
    {"whisper", "forward", COPY, 5, "as its encoder"},
    {"whisper", "encode", COPY, 5,
     "a row of zeros at both ends of what is convolved, and the features turned once"},
    {"transfo-xl", NULL, COPY, 5,
     "rows of the two biases side by side, and the shortlist's part of the words"},
};

/* ---- looking ---- */

static const pm_tensor *behind_views(const pm_tensor *t) {
    while (t && pm_op_get(t->op)->flags & PM_OPF_VIEW) t = t->in[0];
    return t;
}

static bool is_norm(const pm_tensor *rsqrt) {
    const pm_tensor *t = rsqrt->in[0];
    while (t && (t->op == PM_OP_ADD || t->op == PM_OP_MAX)) t = behind_views(t->in[0]);
    return t && t->op == PM_OP_MEAN;
}

static bool is_activation(pm_op op) {
    static const pm_op ops[] = {PM_OP_ERF,  PM_OP_TANH,      PM_OP_SIGMOID, PM_OP_RELU,
                                PM_OP_GELU, PM_OP_GELU_TANH, PM_OP_SILU,    PM_OP_QUICK_GELU};
    for (size_t i = 0; i < PM_COUNT(ops); i++)
        if (op == ops[i]) return true;
    return false;
}

/* A weight of one row, added to a product. */
static bool is_bias(const pm_tensor *add) {
    for (int i = 0; i < 2; i++) {
        const pm_tensor *product = behind_views(add->in[i]), *row = behind_views(add->in[1 - i]);
        if (product->op == PM_OP_MATMUL && row->kind == PM_KIND_WEIGHT &&
            pm_elems(row) == row->dims[row->rank - 1])
            return true;
    }
    return false;
}

/* A weight of one row, times or added to what no product left: gamma or beta that no norm took. */
static bool is_row(const pm_tensor *t) {
    for (int i = 0; i < 2; i++) {
        const pm_tensor *x = behind_views(t->in[i]), *row = behind_views(t->in[1 - i]);
        if (x->kind == PM_KIND_TEMP && x->op != PM_OP_MATMUL && row->kind == PM_KIND_WEIGHT && row->rank == 1)
            return true;
    }
    return false;
}

static void count(const pm_graph *g, int n[N_KINDS]) {
    for (size_t i = 0; i < g->n_items; i++) {
        const pm_tensor *t = g->items[i];
        n[SOFTMAX] += t->op == PM_OP_SOFTMAX;
        n[NORM] += t->op == PM_OP_RSQRT && is_norm(t);
        n[ACTIVATION] += is_activation(t->op);
        n[ROW] += (t->op == PM_OP_ADD || t->op == PM_OP_MUL) && is_row(t);
        n[BIAS] += t->op == PM_OP_ADD && is_bias(t);
    }
}

static int copies_of(const pm_graph *built) {
    pm_program *p;
    assert_ok(pm_compile(built, NULL, &p));
    int n = (int)p->n_copies;
    pm_program_destroy(p);
    return n;
}

static int expected(const char *family, const char *graph, kind k) {
    for (size_t i = 0; i < PM_COUNT(table); i++)
        if (strcmp(table[i].family, family) == 0 && table[i].kind == k &&
            (!table[i].graph || strcmp(table[i].graph, graph) == 0))
            return table[i].n;
    return 0;
}

/* ---- graphs ---- */

static int n_wrong;

static void check_graph(const pm_model *m, const char *family, const char *graph, const pm_build_options *o) {
    int n[N_KINDS] = {0};
    pm_graph *built, *fused;
    pm_status s = pm_model_build(m, o, &built);
    if (s != PM_OK) fail_msg("%s, %s: %s", family, graph, pm_error_text());
    assert_ok(pm_optimize(built, &fused));
    count(fused, n);
    n[COPY] = copies_of(built);
    for (int k = 0; k < N_KINDS; k++) {
        int wanted = expected(family, graph, (kind)k);
        if (n[k] == wanted) continue;
        print_message("%s, %s: %d of %s, the table says %d\n", family, graph, n[k], kind_names[k], wanted);
        n_wrong++;
    }
    pm_graph_destroy(built);
    pm_graph_destroy(fused);
}

static void check_decoder(const pm_model *m, const char *family) {
    bool seq2seq = m->arch->encoder_decoder;
    pm_build_options o = {.kind = PM_BUILD_STEP, .batch = 2, .length = 6, .cache = 9, .source = 7};
    if (m->spec.front) o.source = m->spec.front_length;
    o.states = o.cross_states = "kv.";
    check_graph(m, family, "prefill", &o);
    o.length = 1;
    check_graph(m, family, "decode", &o);
    if (!seq2seq) return;
    o.kind = PM_BUILD_ENCODE;
    o.length = m->spec.embed[0].vocab ? o.source : 0;
    if (m->spec.signal.name) o.signals = 1, o.batch = 1;
    check_graph(m, family, "encode", &o);
}

static void check_family(const char *family) {
    pm_model *m;
    assert_ok(pm_model_open(test_reference(family, NULL).s, &m));
    pm_build_options o = {.batch = 2, .length = 9, .target_length = 5};
    if (m->spec.signal.name) o.signals = 2;
    o.globals = m->spec.global != PM_GLOBAL_OFF;
    if (!m->spec.embed[0].vocab) o.length = 0;
    check_graph(m, family, "forward", &o);
    o.key_mask = o.length && !m->spec.signal.name;
    if (o.key_mask) check_graph(m, family, "forward with a mask", &o);
    if (m->arch->decoder && strcmp(m->arch->model_type, "transfo-xl") != 0) check_decoder(m, family);
    pm_model_close(m);
}

static void test_families(void **state) {
    (void)state;
    DIR *d = opendir(PM_SOURCE_DIR "/tests/data/reference");
    size_t n = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.' || strstr(e->d_name, ".py")) continue;
        check_family(e->d_name);
        n++;
    }
    closedir(d);
    assert_true(n >= 60);
    if (n_wrong) fail_msg("%d graphs are not as the table says", n_wrong);
}

/* The looking finds all of them where nothing was fused. */
static void test_looking(void **state) {
    (void)state;
    static const int in_bert[N_KINDS] = {2, 5, 3, 9, 10, 0}; /* of 2 layers with a pooler */
    int n[N_KINDS] = {0};
    pm_model *m;
    pm_graph *g;
    assert_ok(pm_model_open(test_reference("bert-base", NULL).s, &m));
    assert_ok(pm_model_build(m, &(pm_build_options){.batch = 1, .length = 4}, &g));
    count(g, n);
    for (int k = 0; k < N_KINDS; k++)
        if (n[k] != in_bert[k]) fail_msg("%d of %s, not %d", n[k], kind_names[k], in_bert[k]);
    pm_graph_destroy(g);
    pm_model_close(m);
}

/* Rows of families that are gone would stay for ever. */
static void test_table(void **state) {
    (void)state;
    pm_model *m;
    for (size_t i = 0; i < PM_COUNT(table); i++) {
        assert_ok(pm_model_open(test_reference(table[i].family, NULL).s, &m));
        pm_model_close(m);
        assert_true(table[i].n > 0 && strlen(table[i].why) > 5);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_families), cmocka_unit_test(test_looking),
                                       cmocka_unit_test(test_table)};
    return run_all_tests(tests);
}
