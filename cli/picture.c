/* Growing files, escapes and names of the attention pictures, and the formats without drawing: npy and json. */
#include "cli/picture.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "cli/cli.h"

/* ---- files ---- */

void picture_add_bytes(picture_file *f, const void *data, size_t bytes) {
    if (f->failed) return;
    if (f->bytes + bytes + 1 > f->capacity) {
        size_t capacity = (f->bytes + bytes + 1) * 2;
        char *grown = realloc(f->data, capacity);
        if (!grown) {
            f->failed = true;
            return;
        }
        f->data = grown;
        f->capacity = capacity;
    }
    memcpy(f->data + f->bytes, data, bytes);
    f->bytes += bytes;
}

void picture_add(picture_file *f, const char *fmt, ...) {
    char text[512]; /* callers print numbers and short words; labels go through picture_add_escaped */
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text)
        f->failed = true;
    else
        picture_add_bytes(f, text, (size_t)n);
}

/* Bytes of the character that s begins with, 0 where it begins with none that XML has. */
static size_t character(const unsigned char *s) {
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0u) != 0x80) return 0; /* the end of the text, too */
    if (s[0] == 0xE0 && s[1] < 0xA0) return 0;
    if (s[0] == 0xED && s[1] > 0x9F) return 0;
    if (s[0] == 0xF0 && s[1] < 0x90) return 0;
    if (s[0] == 0xF4 && s[1] > 0x8F) return 0;
    if (s[0] == 0xEF && s[1] == 0xBF && s[2] > 0xBD) return 0;
    return n;
}

void picture_add_escaped(picture_file *f, const char *text) {
    for (const char *c = text; *c;) {
        size_t n = character((const unsigned char *)c);
        switch (*c) {
        case '<': picture_add_bytes(f, "&lt;", 4); break;
        case '>': picture_add_bytes(f, "&gt;", 4); break;
        case '&': picture_add_bytes(f, "&amp;", 5); break;
        case '"': picture_add_bytes(f, "&quot;", 6); break;
        default:
            if ((unsigned char)*c < 0x20 || *c == 0x7F)
                picture_add_bytes(f, " ", 1);
            else
                picture_add_bytes(f, n ? c : "\xEF\xBF\xBD", n ? n : 3);
        }
        c += n ? n : 1;
    }
}

void picture_add_json(picture_file *f, const char *text) {
    json_t *value = cli_json_text(text);
    char *quoted = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    json_decref(value);
    if (!quoted) f->failed = true;
    for (const char *c = quoted; c && *c; c++)
        if (*c == '<') /* no end of a script in it */
            picture_add(f, "\\u003c");
        else
            picture_add_bytes(f, c, 1);
    free(quoted);
}

void picture_add_base64(picture_file *f, const void *data, size_t bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = data;
    for (size_t i = 0; i < bytes; i += 3) {
        size_t n = bytes - i < 3 ? bytes - i : 3;
        uint32_t word = 0;
        for (size_t k = 0; k < 3; k++) word = word << 8 | (k < n ? from[i + k] : 0u);
        char four[4];
        for (size_t k = 0; k < 4; k++) four[k] = k <= n ? digits[word >> (18 - 6 * k) & 63] : '=';
        picture_add_bytes(f, four, 4);
    }
}

static void add_word(unsigned char *to, uint32_t x) {
    for (int i = 0; i < 4; i++) to[i] = (unsigned char)(x >> (24 - 8 * i));
}

static void add_chunk(picture_file *f, const char *type, const unsigned char *data, size_t n) {
    unsigned char word[4];
    add_word(word, (uint32_t)n);
    picture_add_bytes(f, word, 4);
    picture_add_bytes(f, type, 4);
    if (n) picture_add_bytes(f, data, n);
    uLong crc = crc32(crc32(0, NULL, 0), (const Bytef *)type, 4);
    if (n) crc = crc32(crc, data, (uInt)n);
    add_word(word, (uint32_t)crc);
    picture_add_bytes(f, word, 4);
}

/* Rows behind a filter byte of 0, deflated: 8 bits a channel, red, green, blue. */
void picture_add_pixels(picture_file *f, const unsigned char *rgb, int64_t width, int64_t height) {
    size_t row = (size_t)width * 3;
    uLong raw_bytes = (uLong)((row + 1) * (size_t)height), bytes = compressBound(raw_bytes);
    unsigned char *raw = calloc(1, raw_bytes), *packed = malloc(bytes), head[13] = {0};
    for (int64_t i = 0; raw && i < height; i++)
        memcpy(raw + (size_t)i * (row + 1) + 1, rgb + (size_t)i * row, row);
    if (!raw || !packed || compress2(packed, &bytes, raw, raw_bytes, 6) != Z_OK) f->failed = true;
    add_word(head, (uint32_t)width);
    add_word(head + 4, (uint32_t)height);
    head[8] = 8;
    head[9] = 2;
    picture_add_bytes(f, "\x89PNG\r\n\x1a\n", 8);
    add_chunk(f, "IHDR", head, sizeof head);
    if (!f->failed) add_chunk(f, "IDAT", packed, bytes);
    add_chunk(f, "IEND", NULL, 0);
    free(raw);
    free(packed);
}

/* ---- names and weights ---- */

void picture_layer_name(const pm_attention *a, int64_t i, char out[PICTURE_NAME]) {
    if (a->rollout)
        snprintf(out, PICTURE_NAME, "rollout to layer %lld", (long long)a->first_layer);
    else if (a->layers == PM_ATTEND_MEAN)
        snprintf(out, PICTURE_NAME, "mean of layers");
    else
        snprintf(out, PICTURE_NAME, "layer %lld", (long long)(a->first_layer + i));
}

void picture_head_name(const pm_attention *a, int64_t i, char out[PICTURE_NAME]) {
    if (a->heads == PM_ATTEND_MEAN)
        snprintf(out, PICTURE_NAME, "mean of heads");
    else
        snprintf(out, PICTURE_NAME, "head %lld", (long long)(a->first_head + i));
}

const float *picture_weights(const pm_attention *a, int64_t layer, int64_t head) {
    return a->weights + (layer * a->n_heads + head) * a->n_queries * a->n_keys;
}

bool picture_is_overlay(const pm_attention *a) {
    return a->query.kind == PM_AXIS_PATCHES && a->key.kind == PM_AXIS_PATCHES && a->image.pixels;
}

float picture_largest(const picture_choice *c) {
    const pm_attention *a = c->map;
    bool overlay = picture_is_overlay(a);
    float most = 1e-6f;
    for (int64_t i = 0; i < a->n_layers * a->n_heads; i++)
        for (int64_t q = overlay ? c->query : 0; q < (overlay ? c->query + 1 : a->n_queries); q++)
            for (int64_t k = overlay ? a->key.n_lead : 0; k < a->n_keys; k++) {
                float w = a->weights[(i * a->n_queries + q) * a->n_keys + k];
                if (w > most) most = w;
            }
    return most;
}

/* ---- numbers ---- */

void picture_npy_head(picture_file *f, int rank, const int64_t *dims) {
    const uint16_t probe = 1;
    char header[128];
    int n = snprintf(header, sizeof header, "{'descr': '%cf4', 'fortran_order': False, 'shape': (",
                     *(const char *)&probe ? '<' : '>');
    for (int i = 0; i < rank; i++)
        n += snprintf(header + n, sizeof header - (size_t)n, "%lld, ", (long long)dims[i]);
    n += snprintf(header + n, sizeof header - (size_t)n, "), }");
    memset(header + n, ' ', sizeof header - (size_t)n); /* 10 + 118 bytes: the data is aligned to 64 */
    header[117] = '\n';
    picture_add_bytes(f, "\x93NUMPY\x01\x00\x76\x00", 10);
    picture_add_bytes(f, header, 118);
}

static size_t count(const pm_attention *a) {
    return (size_t)(a->n_layers * a->n_heads * a->n_queries * a->n_keys);
}

int picture_npy(const picture_choice *c, picture_file *out) {
    const pm_attention *a = c->map;
    picture_npy_head(out, 4, (int64_t[]){a->n_layers, a->n_heads, a->n_queries, a->n_keys});
    picture_add_bytes(out, a->weights, count(a) * sizeof *a->weights);
    return PM_OK;
}

static void add_labels(picture_file *f, const char *name, const pm_axis *axis) {
    picture_add(f, "\"%s\":[", name);
    for (int64_t i = 0; i < axis->n; i++) {
        if (i) picture_add(f, ",");
        picture_add_json(f, axis->labels[i]);
    }
    picture_add(f, "],\n");
}

static void add_names(picture_file *f, const pm_attention *a) {
    char name[PICTURE_NAME];
    picture_add(f, "\"layers\":[");
    for (int64_t i = 0; i < a->n_layers; i++) {
        picture_layer_name(a, i, name);
        picture_add(f, "%s\"%s\"", i ? "," : "", name);
    }
    picture_add(f, "],\n\"heads\":[");
    for (int64_t i = 0; i < a->n_heads; i++) {
        picture_head_name(a, i, name);
        picture_add(f, "%s\"%s\"", i ? "," : "", name);
    }
    picture_add(f, "],\n");
}

void picture_add_head(const picture_choice *c, picture_file *f) {
    const pm_attention *a = c->map;
    picture_add(f, "{\"title\":");
    picture_add_json(f, c->title);
    picture_add(f, ",\n\"map\":\"%s\",\"first_layer\":%lld,\"first_head\":%lld,\n", a->map,
                (long long)a->first_layer, (long long)a->first_head);
    add_names(f, a);
    add_labels(f, "queries", &a->query);
    add_labels(f, "keys", &a->key);
}

/* Brackets close and open where a row, a head, a layer ends. */
int picture_json(const picture_choice *c, picture_file *out) {
    const pm_attention *a = c->map;
    const int64_t sizes[] = {a->n_keys, a->n_queries, a->n_heads, a->n_layers};
    picture_add_head(c, out);
    picture_add(out, "\"weights\":[[[[");
    for (size_t i = 0, n = count(a); i < n; i++) {
        int ends = 0;
        for (size_t left = i; i && ends < 3 && left % (size_t)sizes[ends] == 0; ends++)
            left /= (size_t)sizes[ends];
        picture_add(out, "%.*s%s%.*s%.9g", ends, "]]]", i ? "," : "", ends, "[[[", (double)a->weights[i]);
    }
    picture_add(out, "]]]]}\n");
    return PM_OK;
}
