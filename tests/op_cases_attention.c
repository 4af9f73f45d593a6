/* Cases of the kernel attention. size: T, S, D, H, G, then bits below; the batch is 2. */
#include "tests/op_cases_masks.h"

enum {
    LENGTH_A_BATCH = 1,
    KEYS_BOOL = 2,
    BIAS_SCORES = 4,
    BIAS_HEADS = 8,
    SHORT_TABLE = 16,
    AT_A_BATCH = 32,
    BATCH = 2
};

static int64_t n_places(const test_op_case *c) {
    return c->size[5] >> 16;
}

/* [T,S]; [1,H,T,S]; [B,1,1,S]; the same of sinks, for which S is 1; by distance [H,N] or [1,N] */
static pm_tensor *bias_of(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    int64_t table[] = {s[5] & BIAS_HEADS ? s[3] : 1, s[5] & SHORT_TABLE ? s[1] / 2 : s[0] + s[1] - 1};
    if (c->attrs.mask & PM_MASK_RELATIVE) return pm_weight(g, "bias", PM_F32, 2, table);
    int64_t last = c->attrs.mask & PM_MASK_SINK ? 1 : s[1];
    if (s[5] & BIAS_SCORES) return pm_input(g, "bias", PM_F32, 2, (int64_t[]){s[0], last});
    if (s[5] & BIAS_HEADS)
        return pm_weight(g, "bias", PM_F32, 4, (int64_t[]){1, s[3], last == 1 ? 1 : s[0], last});
    return pm_input(g, "bias", PM_F32, 4, (int64_t[]){BATCH, 1, 1, last});
}

/* size[5] >> 16: how many distances there are; kept as a product leaves them, [N,H,D] */
static pm_tensor *places_of(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    return pm_transpose(g, pm_input(g, "places", PM_F32, 3, (int64_t[]){n_places(c), s[3], s[2]}), 0, 1);
}

static pm_tensor *attend(pm_graph *g, const test_op_case *c, pm_tensor *q, pm_tensor *k, pm_tensor *v) {
    const int64_t bts[3] = {BATCH, c->size[0], c->size[1]};
    uint32_t mask = c->attrs.mask;
    pm_tensor *in[PM_ATTN_PLACES + 1] = {q, k, v};
    if (mask & PM_MASK_POSITION) in[PM_ATTN_POSITION] = test_position(g, c->size[5] & AT_A_BATCH, BATCH);
    if (mask & PM_MASK_LENGTH) in[PM_ATTN_LENGTH] = test_length(g, mask, c->size[5] & LENGTH_A_BATCH, bts);
    if (mask & PM_MASK_KEYS) in[PM_ATTN_KEY_MASK] = test_keys(g, mask, c->size[5] & KEYS_BOOL, bts);
    if (mask & (PM_MASK_BIAS | PM_MASK_SINK)) in[PM_ATTN_BIAS] = bias_of(g, c);
    if (n_places(c)) in[PM_ATTN_PLACES] = places_of(g, c);
    int n = PM_ATTN_PLACES + 1;
    while (!in[n - 1]) n--;
    return pm_add_op(g, PM_OP_ATTENTION, n, in, &c->attrs);
}

static pm_tensor *attention(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *q = pm_input(g, "q", PM_F32, 4, (int64_t[]){BATCH, s[3], s[0], n_places(c) ? 2 * s[2] : s[2]});
    pm_tensor *k = pm_input(g, "k", PM_F32, 4, (int64_t[]){BATCH, s[4], s[1], s[2]});
    pm_tensor *v = pm_input(g, "v", PM_F32, 4, (int64_t[]){BATCH, s[4], s[1], s[2]});
    return attend(g, c, q, k, v);
}

/* q, k, v as projections leave them, [B,T,H,D]; the result's order likewise */
static pm_tensor *attention_heads(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *q = pm_input(g, "q", PM_F32, 4, (int64_t[]){BATCH, s[0], s[3], n_places(c) ? 2 * s[2] : s[2]});
    pm_tensor *k = pm_input(g, "k", PM_F32, 4, (int64_t[]){BATCH, s[1], s[4], s[2]});
    pm_tensor *v = pm_input(g, "v", PM_F32, 4, (int64_t[]){BATCH, s[1], s[4], s[2]});
    pm_tensor *y = attend(g, c, pm_transpose(g, q, 1, 2), pm_transpose(g, k, 1, 2), pm_transpose(g, v, 1, 2));
    if (y && pm_tensor_set_strides(y, (int64_t[]){s[0] * s[3] * s[2], s[2], s[3] * s[2], 1}) != PM_OK)
        return NULL;
    return y;
}

/* T = S, H = G: all three are parts of the rows of one projection, [B,T,3,H,D] */
static pm_tensor *attention_joined(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *in[3], *all = pm_input(g, "q", PM_F32, 3, (int64_t[]){BATCH, s[0], 3 * s[3] * s[2]});
    for (int i = 0; i < 3; i++) {
        pm_tensor *part = pm_slice(g, all, 2, i * s[3] * s[2], s[3] * s[2]);
        in[i] = pm_transpose(g, pm_reshape(g, part, 4, (int64_t[]){BATCH, s[0], s[3], s[2]}), 1, 2);
    }
    return attend(g, c, in[0], in[1], in[2]);
}

/* The last 8 rows of v hold NaN and infinities: absent keys, unless they share a tile with present ones. */
static pm_tensor *attention_poisoned(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *q = pm_input(g, "q", PM_F32, 4, (int64_t[]){BATCH, s[3], s[0], s[2]});
    pm_tensor *k = pm_input(g, "k", PM_F32, 4, (int64_t[]){BATCH, s[4], s[1], s[2]});
    pm_tensor *parts[] = {pm_input(g, "v", PM_F32, 4, (int64_t[]){BATCH, s[4], s[1] - 8, s[2]}),
                          pm_input(g, "poison", PM_F32, 4, (int64_t[]){BATCH, s[4], 8, s[2]})};
    return attend(g, c, q, k, pm_concat(g, 2, parts, 2));
}

/* k and v are states of which the first S rows are used */
static pm_tensor *attention_cached(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size, rows = s[1] + 11;
    pm_tensor *q = pm_input(g, "q", PM_F32, 4, (int64_t[]){BATCH, s[3], s[0], s[2]});
    pm_tensor *k = pm_state(g, "k", PM_F32, 4, (int64_t[]){BATCH, s[4], rows, s[2]});
    pm_tensor *v = pm_state(g, "v", PM_F32, 4, (int64_t[]){BATCH, s[4], rows, s[2]});
    return attend(g, c, q, pm_slice(g, k, 2, 0, s[1]), pm_slice(g, v, 2, 0, s[1]));
}

#define PLAIN(text, how, ...)                                                                                \
    {                                                                                                        \
        .name = "attention " text, .build = attention##how, .attrs = {.scale = 0.25f}, .size = {             \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define MASKED(text, bits, dims, ...)                                                                        \
    {                                                                                                        \
        .name = "attention " text, .build = attention, .attrs = {.scale = 0.25f, .mask = bits},              \
        .size = dims, .hints = {                                                                             \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define POISONED(text, bits, dims, ...)                                                                      \
    {                                                                                                        \
        .name = "attention of infinite values, " text, .build = attention_poisoned,                          \
        .attrs = {.scale = 0.25f, .mask = bits}, .size = dims, .hints = {                                    \
            {"poison", TEST_NONFINITE, -4, 4},                                                               \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define WINDOW(text, bits, w, dims, ...)                                                                     \
    {                                                                                                        \
        .name = "attention " text, .build = attention,                                                       \
        .attrs = {.scale = 0.25f, .mask = (bits) | PM_MASK_WINDOW, .window = w}, .size = dims, .hints = {    \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }

#define BY_DISTANCE(text, bits, zero, dims, ...)                                                             \
    {                                                                                                        \
        .name = "attention, bias by distance" text, .build = attention,                                      \
        .attrs = {.scale = 0.25f, .mask = (bits) | RELATIVE, .origin = zero}, .size = dims, .hints = {       \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }

/* Keys at most n away on either side. */
#define BAND(text, bits, n, dims, ...)                                                                       \
    {                                                                                                        \
        .name = "attention " text, .build = attention,                                                       \
        .attrs = {.scale = 0.25f,                                                                            \
                  .mask = (bits) | CAUSAL | POSITION | PM_MASK_WINDOW,                                       \
                  .window = 2 * (n) + 1},                                                                    \
        .size = dims, .hints = {                                                                             \
            AT(n),                                                                                           \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }

/* n: distances that the table has */
#define BY_PLACE(text, how, bits, n, t, s, d, h, g, ...)                                                     \
    {                                                                                                        \
        .name = "attention by place" text, .build = attention##how, .attrs = {.scale = 0.25f, .mask = bits}, \
        .size = {t, s, d, h, g, (n) << 16}, .hints = {                                                       \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }

static const test_op_case cases[] = {
    PLAIN("one", , 1, 1, 1, 1, 1),
    PLAIN("D 1", , 3, 5, 1, 2, 2),
    PLAIN("D 3", , 3, 5, 3, 2, 2),
    PLAIN("D 8", , 5, 9, 8, 2, 2),
    PLAIN("D 16", , 5, 9, 16, 2, 2),
    PLAIN("D 64", , 5, 33, 64, 2, 2),
    PLAIN("D 65", , 5, 33, 65, 2, 2),
    PLAIN("D 80", , 5, 33, 80, 2, 2),
    PLAIN("D 128", , 5, 33, 128, 2, 2),
    PLAIN("D 256", , 3, 17, 256, 2, 2),
    PLAIN("T 1", , 1, 77, 64, 3, 3),
    PLAIN("T 1, S 1", , 1, 1, 64, 3, 3),
    PLAIN("T 1, long S", , 1, 1031, 16, 2, 2),
    PLAIN("S 63", , 2, 63, 8, 1, 1),
    PLAIN("S 64", , 2, 64, 8, 1, 1),
    PLAIN("S 65", , 2, 65, 8, 1, 1),
    PLAIN("S 129", , 2, 129, 8, 1, 1),
    PLAIN("T 65", , 65, 65, 16, 2, 2),
    PLAIN("large", , 130, 131, 32, 2, 1),
    PLAIN("groups", , 5, 33, 16, 6, 2),
    PLAIN("one group", , 5, 33, 16, 4, 1),
    PLAIN("groups T 1", , 1, 65, 64, 6, 3),
    PLAIN("heads", _heads, 5, 33, 16, 6, 2),
    PLAIN("heads T 1", _heads, 1, 33, 64, 4, 4),
    PLAIN("joined", _joined, 17, 17, 16, 3, 3),
    PLAIN("cached", _cached, 3, 33, 16, 4, 2),
    {.name = "attention no scale", .build = attention, .size = {5, 17, 8, 2, 2}},
    {.name = "attention softcap",
     .build = attention,
     .attrs = {.scale = 0.5f, .softcap = 5},
     .size = {5, 33, 16, 2, 2}},
    {.name = "attention sharp", .build = attention, .attrs = {.scale = 3}, .size = {5, 33, 16, 2, 2}},
    {.name = "attention small scores",
     .build = attention,
     .attrs = {.scale = 1e-3f},
     .size = {5, 33, 16, 2, 2}},
    {.name = "attention wide v",
     .build = attention,
     .attrs = {.scale = 0.25f},
     .size = {5, 33, 16, 2, 2},
     .hints = {{"v", TEST_WIDE, 1e-6, 1e6}}},
    {.name = "attention S of many loops",
     .build = attention,
     .attrs = {.scale = 0.2f},
     .size = {17, 5440, 128, 1, 1}},
    {.name = "attention very long S",
     .build = attention,
     .attrs = {.scale = 1e-3f},
     .size = {2, 9001, 8, 2, 1},
     .hints = {{"v", TEST_UNIFORM, 1, 2}}},
    {.name = "attention equal keys",
     .build = attention,
     .attrs = {.scale = 0.25f},
     .size = {5, 100, 16, 2, 2},
     .hints = {{"k", TEST_UNIFORM, 1, 1}}},

    MASKED("causal", CAUSAL, DIMS(17, 17, 16, 2, 2)),
    MASKED("causal 65", CAUSAL, DIMS(65, 65, 16, 2, 2)),
    MASKED("causal, fewer keys", CAUSAL, DIMS(17, 9, 16, 2, 2)),
    MASKED("causal, position", CAUSAL | POSITION, DIMS(5, 33, 16, 2, 2), AT(20)),
    MASKED("causal, position T 1", CAUSAL | POSITION, DIMS(1, 200, 64, 4, 2), AT(129)),
    MASKED("causal, position 0 T 1", CAUSAL | POSITION, DIMS(1, 200, 64, 4, 2), AT(0)),
    MASKED("causal, position past the keys", CAUSAL | POSITION, DIMS(5, 33, 16, 2, 2), AT(40)),
    MASKED("causal, no key for the first rows", CAUSAL | POSITION, DIMS(5, 33, 16, 2, 2), AT(-3)),
    MASKED("causal, position far away", CAUSAL | POSITION, DIMS(5, 33, 16, 2, 2), AT(2147483647)),
    MASKED("causal, position far away, T 40", CAUSAL | POSITION, DIMS(40, 33, 16, 2, 2), AT(2147483647)),
    MASKED("causal, position far behind", CAUSAL | POSITION, DIMS(5, 33, 16, 2, 2), AT(-2147483648.0)),
    WINDOW("window, position far away", CAUSAL | POSITION, 4, DIMS(5, 33, 16, 2, 2), AT(2147483647)),
    WINDOW("window, position far behind", POSITION, 4, DIMS(5, 33, 16, 2, 2), AT(-2147483648.0)),
    WINDOW("largest window", POSITION, INT32_MAX, DIMS(5, 33, 16, 2, 2), AT(-5)),
    WINDOW("largest window, position far away", POSITION, INT32_MAX, DIMS(17, 33, 16, 2, 2), AT(2147483647)),
    MASKED("causal, a position each", CAUSAL | POSITION, DIMS(5, 33, 16, 2, 2, AT_A_BATCH), AT_EACH(9)),
    MASKED("causal, a position each, T 1", CAUSAL | POSITION, DIMS(1, 200, 64, 4, 2, AT_A_BATCH),
           AT_EACH(129)),
    MASKED("causal, a position each, T 67", CAUSAL | POSITION, DIMS(67, 97, 16, 4, 2, AT_A_BATCH),
           AT_EACH(7)),
    MASKED("causal, a position each, one before the keys", CAUSAL | POSITION,
           DIMS(5, 33, 16, 2, 2, AT_A_BATCH), AT_EACH(-11)),
    MASKED("causal, a position each, one past the keys", CAUSAL | POSITION,
           DIMS(20, 33, 16, 2, 2, AT_A_BATCH), AT_EACH(26)),
    WINDOW("window, a position each", CAUSAL | POSITION, 8, DIMS(5, 77, 16, 2, 2, AT_A_BATCH), AT_EACH(50)),
    WINDOW("window, a position each, T 1", CAUSAL | POSITION, 16, DIMS(1, 77, 64, 2, 2, AT_A_BATCH),
           AT_EACH(5)),
    WINDOW("window, a position each, T 40", CAUSAL | POSITION, 16, DIMS(40, 177, 16, 2, 2, AT_A_BATCH),
           AT_EACH(100)),
    WINDOW("window, a position each, without causal", POSITION, 8, DIMS(5, 33, 16, 2, 2, AT_A_BATCH),
           AT_EACH(9)),
    WINDOW("window, a position each, sink", SINK | CAUSAL | POSITION, 8,
           DIMS(3, 200, 16, 2, 2, BIAS_HEADS | AT_A_BATCH), AT_EACH(150)),
    WINDOW("window", CAUSAL, 4, DIMS(17, 17, 16, 2, 2)),
    WINDOW("window of 1", CAUSAL, 1, DIMS(5, 9, 16, 2, 2)),
    WINDOW("window 64 of 200", CAUSAL | POSITION, 64, DIMS(3, 200, 16, 2, 2), AT(150)),
    WINDOW("window past the keys", CAUSAL | POSITION, 3, DIMS(5, 33, 16, 2, 2), AT(32)),
    WINDOW("window without causal", POSITION, 8, DIMS(5, 33, 16, 2, 2), AT(12)),
    MASKED("length", PM_MASK_LENGTH, DIMS(5, 33, 16, 2, 2), LENGTH(20, 20)),
    MASKED("length 0", PM_MASK_LENGTH, DIMS(5, 33, 16, 2, 2), LENGTH(0, 0)),
    MASKED("length 1", PM_MASK_LENGTH, DIMS(5, 130, 16, 2, 2), LENGTH(1, 1)),
    MASKED("negative length", PM_MASK_LENGTH, DIMS(5, 33, 16, 2, 2), LENGTH(-4, -4)),
    MASKED("length past the keys", PM_MASK_LENGTH, DIMS(5, 33, 16, 2, 2), LENGTH(99, 99)),
    MASKED("length a batch", PM_MASK_LENGTH, DIMS(5, 65, 16, 2, 2, LENGTH_A_BATCH), LENGTH(64, 65)),
    MASKED("length a batch, none", PM_MASK_LENGTH, DIMS(5, 65, 16, 2, 2, LENGTH_A_BATCH), LENGTH(0, 1)),
    MASKED("keys", PM_MASK_KEYS, DIMS(5, 33, 16, 2, 2), KEYS),
    MASKED("keys bool", PM_MASK_KEYS, DIMS(5, 70, 16, 2, 2, KEYS_BOOL), KEYS),
    MASKED("keys all absent", PM_MASK_KEYS, DIMS(5, 33, 16, 2, 2), {"keys", TEST_UNIFORM, 0, 0}),
    MASKED("rows", ROWS, DIMS(9, 33, 16, 2, 2), LENGTHS(33)),
    MASKED("rows of tiles", ROWS, DIMS(77, 70, 16, 2, 2), LENGTHS(80)),
    MASKED("rows, few seen", ROWS, DIMS(100, 100, 16, 2, 2), {"length", TEST_RARE, 0, 100}),
    MASKED("rows, none seen", ROWS, DIMS(70, 33, 16, 2, 2), {"length", TEST_RARE, 0, 0}),
    MASKED("rows T 1", ROWS, DIMS(1, 65, 64, 2, 2), LENGTHS(65)),
    MASKED("rows, causal", ROWS | CAUSAL, DIMS(67, 67, 16, 2, 2), LENGTHS(67)),
    BAND("band", 0, 8, DIMS(70, 70, 16, 2, 2)),
    BAND("band of none but itself", 0, 0, DIMS(9, 9, 16, 2, 2)),
    BAND("band, global", GLOBAL, 8, DIMS(70, 70, 16, 2, 2), WORDS),
    BAND("band, global, long", GLOBAL, 8, DIMS(300, 300, 16, 2, 2), WORDS),
    BAND("band, global of few", GLOBAL, 8, DIMS(5, 200, 65, 2, 2), WORDS),
    BAND("band, global T 1", GLOBAL, 8, DIMS(1, 333, 64, 2, 2), WORDS),
    BAND("band, global wide head", GLOBAL, 8, DIMS(40, 140, 160, 1, 1), WORDS),
    BAND("band, global and absent keys", GLOBAL, 8, DIMS(67, 129, 16, 2, 2), {"keys", TEST_UNIFORM, 0, 2}),
    BAND("band, no global", GLOBAL, 8, DIMS(67, 128, 16, 2, 2), {"keys", TEST_UNIFORM, 1, 1}),
    BAND("band, all global", GLOBAL, 8, DIMS(67, 96, 16, 2, 2), {"keys", TEST_UNIFORM, 2, 2}),
    BAND("band, all absent", GLOBAL, 8, DIMS(67, 96, 16, 2, 2), {"keys", TEST_UNIFORM, 0, 0}),
    BAND("band past the keys, global", GLOBAL, 8, DIMS(200, 70, 16, 2, 2), WORDS),
    BAND("band, global, length", GLOBAL | PM_MASK_LENGTH, 8, DIMS(67, 97, 16, 2, 2), WORDS, LENGTH(50, 50)),
    BAND("band, global, rows", GLOBAL | ROWS, 8, DIMS(133, 133, 16, 2, 2), WORDS, LENGTHS(133)),
    MASKED("global, causal alone", GLOBAL | CAUSAL, DIMS(67, 97, 16, 2, 2), WORDS),
    MASKED("bias", PM_MASK_BIAS, DIMS(5, 33, 16, 2, 2, BIAS_SCORES)),
    MASKED("bias of heads", PM_MASK_BIAS, DIMS(5, 33, 16, 4, 2, BIAS_HEADS)),
    MASKED("bias of keys", PM_MASK_BIAS, DIMS(5, 33, 16, 2, 2)),
    MASKED("bias masks", PM_MASK_BIAS, DIMS(5, 33, 16, 2, 2, BIAS_SCORES), {"bias", TEST_SPECIAL, -4, 4}),
    MASKED("bias masks rows", PM_MASK_BIAS, DIMS(5, 33, 16, 2, 2, BIAS_SCORES),
           {"bias", TEST_UNIFORM, -3e38, -2e30}),
    BY_DISTANCE("", 0, 4, DIMS(5, 33, 16, 2, 2, BIAS_HEADS)),
    BY_DISTANCE(" T 1", 0, 0, DIMS(1, 65, 16, 2, 2, BIAS_HEADS)),
    BY_DISTANCE(" T 67", 0, 66, DIMS(67, 35, 16, 4, 4, BIAS_HEADS)),
    BY_DISTANCE(" S 1", 0, 20, DIMS(21, 1, 16, 2, 2, BIAS_HEADS)),
    BY_DISTANCE(", one for all heads", 0, 39, DIMS(40, 40, 16, 3, 3)),
    BY_DISTANCE(", few in the table", 0, 10, DIMS(40, 40, 16, 2, 2, BIAS_HEADS | SHORT_TABLE)),
    BY_DISTANCE(", few in the table, T 3", 0, 10, DIMS(3, 140, 16, 2, 2, BIAS_HEADS | SHORT_TABLE)),
    BY_DISTANCE(", none in the table", 0, -500, DIMS(17, 33, 16, 2, 2, BIAS_HEADS)),
    BY_DISTANCE(", causal", CAUSAL, 16, DIMS(17, 17, 16, 2, 2, BIAS_HEADS)),
    BY_DISTANCE(", step", CAUSAL | POSITION, 199, DIMS(1, 200, 64, 4, 2, BIAS_HEADS), AT(129)),
    BY_DISTANCE(", chunk", CAUSAL | POSITION, 199, DIMS(20, 200, 64, 4, 4, BIAS_HEADS), AT(150)),
    BY_DISTANCE(", position past the keys", CAUSAL | POSITION, 32, DIMS(5, 33, 16, 2, 2, BIAS_HEADS), AT(40)),
    BY_DISTANCE(", position, all keys", POSITION, 30, DIMS(18, 33, 16, 2, 2, BIAS_HEADS), AT(12)),
    BY_DISTANCE(", negative position", POSITION, 4, DIMS(5, 33, 16, 2, 2, BIAS_HEADS), AT(-9)),
    BY_DISTANCE(", far origin, far position", POSITION, 1 << 30, DIMS(18, 33, 16, 2, 2, BIAS_HEADS),
                AT(2147483647)),
    BY_DISTANCE(", origin far behind, far position", POSITION, -(1 << 30), DIMS(18, 33, 16, 2, 2, BIAS_HEADS),
                AT(2147483647)),
    BY_DISTANCE(", far origin, position far behind", POSITION, 1 << 30, DIMS(5, 33, 16, 2, 2, BIAS_HEADS),
                AT(-2147483648.0)),
    BY_DISTANCE(", far origin, position there", POSITION, 1 << 30, DIMS(5, 33, 16, 2, 2, BIAS_HEADS),
                AT((1 << 30) - 20)),
    BY_DISTANCE(", a position each, step", CAUSAL | POSITION, 199,
                DIMS(1, 200, 64, 4, 2, BIAS_HEADS | AT_A_BATCH), AT_EACH(129)),
    BY_DISTANCE(", a position each", CAUSAL | POSITION, 32, DIMS(5, 33, 16, 2, 2, BIAS_HEADS | AT_A_BATCH),
                AT_EACH(15)),
    BY_DISTANCE(", a position each, T 40", POSITION, 99, DIMS(40, 100, 64, 4, 4, BIAS_HEADS | AT_A_BATCH),
                AT_EACH(40)),
    BY_DISTANCE(" masks", 0, 16, DIMS(17, 33, 16, 2, 2, BIAS_HEADS), {"bias", TEST_SPECIAL, -4, 4}),
    BY_DISTANCE(" is NaN", 0, 4, DIMS(5, 40, 16, 2, 2, BIAS_HEADS), {"bias", TEST_NAN, -4, 4}),
    {.name = "attention, bias by distance and all masks",
     .build = attention_heads,
     .size = {18, 70, 16, 4, 2, LENGTH_A_BATCH | BIAS_HEADS},
     .attrs = {.mask = 63 | PM_MASK_RELATIVE, .window = 40, .origin = 60, .scale = 0.25f, .softcap = 3},
     .hints = {AT(50), LENGTH(60, 61), KEYS}},
    MASKED("sink", SINK, DIMS(5, 33, 16, 4, 2, BIAS_HEADS)),
    MASKED("sink T 1", SINK, DIMS(1, 200, 64, 4, 2, BIAS_HEADS)),
    MASKED("sink S 1", SINK, DIMS(1, 1, 64, 4, 2, BIAS_HEADS)),
    MASKED("sink T 67", SINK, DIMS(67, 65, 16, 4, 4, BIAS_HEADS)),
    MASKED("sink, causal", SINK | CAUSAL, DIMS(33, 33, 16, 2, 2, BIAS_HEADS)),
    MASKED("sink, no key for the first rows", SINK | CAUSAL | POSITION, DIMS(5, 33, 16, 2, 2, BIAS_HEADS),
           AT(-3)),
    MASKED("sink, no key, T 20", SINK | PM_MASK_LENGTH, DIMS(20, 33, 16, 2, 2, BIAS_HEADS), LENGTH(0, 0)),
    MASKED("sink a row", SINK, DIMS(21, 33, 16, 2, 2, BIAS_SCORES)),
    MASKED("sink a batch, keys", SINK | PM_MASK_KEYS, DIMS(5, 33, 16, 2, 2), KEYS),
    MASKED("sink above all", SINK, DIMS(18, 33, 16, 2, 2, BIAS_HEADS), {"bias", TEST_UNIFORM, 80, 90}),
    MASKED("sink below all", SINK, DIMS(18, 33, 16, 2, 2, BIAS_HEADS), {"bias", TEST_UNIFORM, -200, -190}),
    MASKED("sink absent", SINK, DIMS(18, 33, 16, 2, 2, BIAS_SCORES), {"bias", TEST_SPECIAL, -4, 4}),
    MASKED("sink is NaN", SINK, DIMS(18, 33, 16, 2, 2, BIAS_SCORES), {"bias", TEST_NAN, -4, 4}),
    WINDOW("sink, window", SINK | CAUSAL | POSITION, 8, DIMS(3, 200, 16, 2, 2, BIAS_HEADS), AT(150)),
    {.name = "attention softcap, sink",
     .build = attention,
     .attrs = {.scale = 0.5f, .softcap = 5, .mask = SINK},
     .size = {5, 33, 16, 2, 2, BIAS_HEADS}},
    BY_PLACE("", , CAUSAL, 17, 17, 17, 16, 2, 2),
    BY_PLACE(", one", , 0, 1, 1, 1, 1, 2, 2),
    BY_PLACE(", D 3", , CAUSAL, 7, 7, 7, 3, 2, 2),
    BY_PLACE(", D 33", , CAUSAL, 9, 9, 9, 33, 2, 2),
    BY_PLACE(", D 65", , CAUSAL, 9, 9, 9, 65, 2, 2),
    BY_PLACE(", D 256", , CAUSAL, 5, 5, 5, 256, 2, 2),
    BY_PLACE(", T 67", , CAUSAL, 67, 67, 67, 16, 3, 3),
    BY_PLACE(", memory", , CAUSAL | POSITION, 40, 18, 40, 16, 2, 2, AT(22)),
    BY_PLACE(", step", , CAUSAL | POSITION, 130, 1, 200, 64, 4, 4, AT(129)),
    BY_PLACE(", few distances", , CAUSAL | POSITION, 5, 18, 40, 16, 2, 2, AT(22)),
    BY_PLACE(", many distances", , CAUSAL | POSITION, 100, 18, 40, 16, 2, 2, AT(22)),
    BY_PLACE(", one distance", , CAUSAL | POSITION, 1, 18, 40, 16, 2, 2, AT(22)),
    BY_PLACE(", groups", , CAUSAL, 9, 9, 9, 16, 6, 2),
    BY_PLACE(", heads", _heads, CAUSAL | POSITION, 33, 5, 33, 16, 4, 4, AT(28)),
    BY_PLACE(", all keys", , 0, 20, 5, 33, 16, 2, 2),
    BY_PLACE(", position, all keys", , POSITION, 20, 5, 33, 16, 2, 2, AT(12)),
    BY_PLACE(", negative position", , POSITION, 20, 5, 33, 16, 2, 2, AT(-9)),
    BY_PLACE(", position far away", , POSITION, 20, 5, 33, 16, 2, 2, AT(2147483647)),
    BY_PLACE(", position far behind", , POSITION, 20, 5, 33, 16, 2, 2, AT(-2147483648.0)),
    {.name = "attention by place, a position each",
     .build = attention,
     .size = {18, 40, 16, 2, 2, 40 << 16 | AT_A_BATCH},
     .attrs = {.mask = CAUSAL | POSITION, .scale = 0.25f},
     .hints = {AT_EACH(8)}},
    {.name = "attention by place, a position each, heads T 1",
     .build = attention_heads,
     .size = {1, 90, 64, 4, 4, 60 << 16 | AT_A_BATCH},
     .attrs = {.mask = CAUSAL | POSITION | PM_MASK_WINDOW, .window = 20, .scale = 0.125f},
     .hints = {AT_EACH(30)}},
    BY_PLACE(", keys", , PM_MASK_KEYS, 20, 5, 70, 16, 2, 2, KEYS),
    BY_PLACE(", length", , PM_MASK_LENGTH | CAUSAL | POSITION, 33, 5, 33, 16, 2, 2, AT(25), LENGTH(20, 20)),
    {.name = "attention by place, window and softcap",
     .build = attention_heads,
     .size = {18, 70, 16, 4, 4, 40 << 16},
     .attrs = {.mask = CAUSAL | POSITION | PM_MASK_WINDOW, .window = 40, .scale = 0.25f, .softcap = 3},
     .hints = {AT(50)}},
    {.name = "attention by place, equal keys",
     .build = attention,
     .attrs = {.scale = 0.25f, .mask = CAUSAL},
     .size = {40, 40, 128, 1, 1, 40 << 16},
     .hints = {{"k", TEST_UNIFORM, 1, 1}, {"places", TEST_UNIFORM, 1, 1}}},
    POISONED("causal, few queries", CAUSAL | POSITION, DIMS(9, 40, 16, 2, 2), AT(25)),
    POISONED("length", PM_MASK_LENGTH, DIMS(17, 40, 16, 2, 2), LENGTH(32, 32)),
    POISONED("length T 1", PM_MASK_LENGTH, DIMS(1, 40, 16, 2, 2), LENGTH(33, 33)),
    POISONED("keys T 1", PM_MASK_KEYS, DIMS(1, 40, 16, 2, 2), KEYS),
    POISONED("bias", PM_MASK_BIAS, DIMS(3, 40, 16, 2, 2, BIAS_SCORES), {"bias", TEST_SPECIAL, -4, 4}),
    {.name = "attention of NaN scores",
     .build = attention,
     .attrs = {.scale = 0.25f, .mask = PM_MASK_BIAS},
     .size = {5, 40, 16, 2, 2, BIAS_SCORES},
     .hints = {{"bias", TEST_NAN, -4, 4}}},
    {.name = "attention of tiny values",
     .build = attention,
     .attrs = {.scale = 0.25f},
     .size = {5, 40, 16, 2, 2},
     .hints = {{"v", TEST_WIDE, 1e-42, 1e-37}}},
    {.name = "attention all masks",
     .build = attention,
     .size = {9, 70, 16, 4, 2, LENGTH_A_BATCH | BIAS_HEADS},
     .attrs = {.mask = 63, .window = 40, .scale = 0.25f, .softcap = 3},
     .hints = {AT(50), LENGTH(60, 61), KEYS, {"bias", TEST_SPECIAL, -2, 2}}},
    {.name = "attention all masks, global and rows",
     .build = attention,
     .size = {70, 70, 16, 4, 2, BIAS_HEADS},
     .attrs = {.mask = 63 | PM_MASK_GLOBAL | PM_MASK_ROWS, .window = 20, .scale = 0.25f, .softcap = 3},
     .hints = {AT(10), LENGTHS(70), WORDS, {"bias", TEST_SPECIAL, -2, 2}}},
    {.name = "attention wide heads",
     .build = attention,
     .attrs = {.scale = 0.03f},
     .size = {3, 9, 1100, 2, 1}},
    {.name = "attention all masks, a position each",
     .build = attention,
     .size = {19, 70, 16, 4, 2, LENGTH_A_BATCH | BIAS_HEADS | AT_A_BATCH},
     .attrs = {.mask = 63, .window = 40, .scale = 0.25f, .softcap = 3},
     .hints = {AT_EACH(40), LENGTH(60, 61), KEYS, {"bias", TEST_SPECIAL, -2, 2}}},
    {.name = "attention all masks heads",
     .build = attention_heads,
     .size = {9, 70, 64, 4, 2, LENGTH_A_BATCH},
     .attrs = {.mask = 63, .window = 40, .scale = 0.125f},
     .hints = {AT(50), LENGTH(60, 61), KEYS}},
};

const test_op_table test_attention_cases = {cases, PM_COUNT(cases)};
