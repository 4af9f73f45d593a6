/* Layout, colours and growing files of the attention pictures, and the formats without drawing: npy and json. */
#include "cli/picture.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

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

void picture_add_escaped(picture_file *f, const char *utf8) {
    for (const char *c = utf8; *c; c++) {
        switch (*c) {
        case '<': picture_add_bytes(f, "&lt;", 4); break;
        case '>': picture_add_bytes(f, "&gt;", 4); break;
        case '&': picture_add_bytes(f, "&amp;", 5); break;
        case '"': picture_add_bytes(f, "&quot;", 6); break;
        default:
            if ((unsigned char)*c < 0x20)
                picture_add_bytes(f, " ", 1);
            else
                picture_add_bytes(f, c, 1);
        }
    }
}

size_t picture_label_width(const char *utf8) {
    size_t width = 0;
    for (const unsigned char *c = (const unsigned char *)utf8; *c; c++)
        if ((*c & 0xc0u) != 0x80u)
            width += *c >= 0xe2 ? 2 : 1; /* lead bytes from U+2000 on: as good as wide */
    return width;
}

static size_t widest(char *const *labels, int64_t n) {
    size_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        size_t w = picture_label_width(labels[i]);
        if (w > most) most = w;
    }
    return most > 40 ? 40 : most;
}

void picture_measure(const picture_choice *c, picture_layout *o) {
    const pm_attention *a = c->map;
    o->n_layers = c->layer < 0 ? a->n_layers : 1;
    o->n_heads = c->head < 0 ? a->n_heads : 1;
    o->first_layer = c->layer < 0 ? 0 : c->layer;
    o->first_head = c->head < 0 ? 0 : c->head;
    o->cell = o->n_layers * o->n_heads == 1 ? 24 : 14;
    double letter = o->cell * 0.44; /* half a wide character of a label */
    o->left = 12 + letter * (double)widest(a->query_labels, a->n_queries);
    o->top = 26 + letter * (double)widest(a->key_labels, a->n_keys);
    o->panel_w = o->left + o->cell * (double)a->n_keys + 12;
    if (o->panel_w < o->left + 120) o->panel_w = o->left + 120; /* room for "layer 31, head 31" */
    o->panel_h = o->top + o->cell * (double)a->n_queries + 12;
    double title = 24 + 7.6 * (double)picture_label_width(c->title);
    o->width = o->panel_w * (double)o->n_heads + 12;
    if (o->width < title) o->width = title;
    o->height = o->panel_h * (double)o->n_layers + 40;
}

float picture_weight(const picture_choice *c, int64_t layer, int64_t head, int64_t q, int64_t k) {
    const pm_attention *a = c->map;
    return a->weights[((layer * a->n_heads + head) * a->n_queries + q) * a->n_keys + k];
}

void picture_colour(float weight, unsigned char rgb[3]) {
    static const float stops[][3] = {
        {250, 250, 252}, {190, 211, 236}, {98, 150, 207}, {32, 84, 158}, {8, 24, 66}};
    float x = weight < 0 ? 0 : weight > 1 ? 4 : weight * 4;
    int i = x >= 4 ? 3 : (int)x;
    for (int k = 0; k < 3; k++)
        rgb[k] = (unsigned char)(stops[i][k] + (stops[i + 1][k] - stops[i][k]) * (x - (float)i) + 0.5f);
}

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

int picture_npy(const picture_choice *c, picture_file *out) {
    picture_layout o;
    picture_measure(c, &o);
    const pm_attention *a = c->map;
    picture_npy_head(out, 4, (int64_t[]){o.n_layers, o.n_heads, a->n_queries, a->n_keys});
    for (int64_t l = 0; l < o.n_layers; l++)
        for (int64_t h = 0; h < o.n_heads; h++)
            picture_add_bytes(out,
                              a->weights + ((o.first_layer + l) * a->n_heads + o.first_head + h) *
                                               a->n_queries * a->n_keys,
                              (size_t)(a->n_queries * a->n_keys) * sizeof(float));
    return PM_OK;
}

static json_t *labels_json(char *const *labels, int64_t n) {
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) json_array_append_new(list, json_string(labels[i]));
    return list;
}

static json_t *head_json(const picture_choice *c, int64_t layer, int64_t head) {
    json_t *rows = json_array();
    for (int64_t q = 0; q < c->map->n_queries; q++) {
        json_t *row = json_array();
        for (int64_t k = 0; k < c->map->n_keys; k++)
            json_array_append_new(row, json_real((double)picture_weight(c, layer, head, q, k)));
        json_array_append_new(rows, row);
    }
    return rows;
}

int picture_json(const picture_choice *c, picture_file *out) {
    picture_layout o;
    picture_measure(c, &o);
    json_t *layers = json_array();
    for (int64_t l = 0; l < o.n_layers; l++) {
        json_t *heads = json_array();
        for (int64_t h = 0; h < o.n_heads; h++)
            json_array_append_new(heads, head_json(c, o.first_layer + l, o.first_head + h));
        json_array_append_new(layers, heads);
    }
    json_t *all = json_pack("{ss sI sI so so so}", "title", c->title, "first_layer",
                            (json_int_t)o.first_layer, "first_head", (json_int_t)o.first_head, "queries",
                            labels_json(c->map->query_labels, c->map->n_queries), "keys",
                            labels_json(c->map->key_labels, c->map->n_keys), "weights", layers);
    char *text = all ? json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(7)) : NULL;
    json_decref(all);
    if (!text)
        return cli_error(PM_ERR_OTHER,
                         "JSON: the title or a label of the attention map is not UTF-8, or memory is out");
    picture_add_bytes(out, text, strlen(text));
    picture_add_bytes(out, "\n", 1);
    free(text);
    return PM_OK;
}
