/* Where boxes and lines lie. Rows: a box stands below all it reads, within its block. Order in a row: by the mean place of the
 * neighbours (Sugiyama's barycentres). x: as near to the neighbours as the boxes' widths allow, which is a least-squares
 * problem that merging of violators solves. Lines over many rows go beside all boxes, in lanes that readers of one tensor share. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph_picture.h"

enum { N_SWEEPS = 8, MAX_BENDS = 2 };
#define GAP      22.0 /* px between boxes of a row */
#define BEND_W   8.0
#define CHAR_W   6.4 /* of a line in a box, in the worst font */
#define TITLE_W  8.4
#define SHAPE_W  6.1
#define PADDING  12.0
#define LANE_W   9.0
#define PAGE_TOP 64.0

/* ---- sizes and rows ---- */

static size_t chars(const char *utf8) {
    size_t n = 0;
    for (; *utf8; utf8++) n += ((unsigned char)*utf8 & 0xc0) != 0x80;
    return n;
}

static void set_size(pm_box *b) {
    for (int i = 0; i < b->n_lines; i++) {
        double w = (i ? CHAR_W : TITLE_W) * (double)chars(b->lines[i]) + 20;
        if (w > b->w) b->w = w;
    }
    b->h = PM_BOX_HEAD + PM_BOX_LINE * (b->n_lines - 1) + 6;
    double text = 2 * (8 + SHAPE_W * (double)chars(b->shape)); /* at the right of the line that leaves */
    b->room = b->n_readers && text > b->w ? text : b->w;
}

/* Rows within blocks: below all operands; sources stand just above their first reader. */
static void find_rows(pm_picture *p) {
    for (size_t i = 0; i < p->n_lines; i++) { /* by reader, so operands are done */
        const pm_box *from = &p->boxes[p->lines[i].from];
        pm_box *to = &p->boxes[p->lines[i].to];
        if (from->block == to->block && to->row <= from->row) to->row = from->row + 1;
    }
    for (size_t i = p->n_lines; i-- > 0;) {
        pm_box *from = &p->boxes[p->lines[i].from];
        const pm_box *to = &p->boxes[p->lines[i].to];
        if (from->block != to->block || from->row != 0) continue;
        if (from->want == 0 || to->row < (uint32_t)from->want) from->want = to->row; /* its first reader */
    }
    for (size_t i = 0; i < p->n_boxes; i++) {
        pm_box *b = &p->boxes[i];
        if (b->row == 0 && b->want > 1) b->row = (uint32_t)b->want - 1;
        if (b->row >= p->blocks[b->block].n_rows) p->blocks[b->block].n_rows = b->row + 1;
        b->want = 0;
    }
    for (size_t i = 0; i < p->n_blocks; i++) {
        p->blocks[i].first_row = (uint32_t)p->n_rows;
        p->n_rows += p->blocks[i].n_rows;
    }
    for (size_t i = 0; i < p->n_boxes; i++) p->boxes[i].row += p->blocks[p->boxes[i].block].first_row;
}

/* ---- lanes and bends ---- */

static int by_row(const void *a, const void *b) {
    const pm_box *const *x = a, *const *y = b;
    return ((*x)->row > (*y)->row) - ((*x)->row < (*y)->row);
}

/* A lane for every box with far readers: the innermost that is free all the way. */
static pm_status find_lanes(pm_picture *p) {
    uint32_t *ends = pm_calloc(p->n_boxes, sizeof *ends), *busy = pm_calloc(p->n_boxes, sizeof *busy);
    int32_t *lanes = pm_calloc(p->n_boxes, sizeof *lanes);
    const pm_box **order = pm_calloc(p->n_boxes, sizeof(const pm_box *));
    pm_status s = ends && busy && lanes && order ? PM_OK : PM_ERR_MEMORY;
    for (size_t i = 0; s == PM_OK && i < p->n_lines; i++) {
        const pm_line *l = &p->lines[i];
        uint32_t last = p->boxes[l->to].row;
        if (last - p->boxes[l->from].row > MAX_BENDS + 1 && last > ends[l->from]) ends[l->from] = last;
    }
    for (size_t i = 0; s == PM_OK && i < p->n_boxes; i++) order[i] = &p->boxes[i];
    if (s == PM_OK) qsort(order, p->n_boxes, sizeof(const pm_box *), by_row);
    for (size_t i = 0; s == PM_OK && i < p->n_boxes; i++) {
        uint32_t box = (uint32_t)(order[i] - p->boxes), end = ends[box];
        int32_t lane = 0;
        if (!end) continue;
        while (busy[lane] > order[i]->row) lane++;
        busy[lane] = end;
        lanes[box] = lane;
        if ((size_t)lane >= p->n_lanes) p->n_lanes = (size_t)lane + 1;
    }
    for (size_t i = 0; s == PM_OK && i < p->n_lines; i++) {
        pm_line *l = &p->lines[i];
        if (p->boxes[l->to].row - p->boxes[l->from].row > MAX_BENDS + 1) l->lane = lanes[l->from];
    }
    pm_free(ends);
    pm_free(busy);
    pm_free(lanes);
    pm_free(order);
    return s;
}

static pm_status add_bends(pm_picture *p) {
    for (size_t i = 0; i < p->n_lines; i++) {
        pm_line *l = &p->lines[i];
        uint32_t first = p->boxes[l->from].row + 1, last = p->boxes[l->to].row;
        if (l->lane >= 0) continue;
        for (uint32_t row = first; row < last; row++) {
            PM_TRY(pm_grow((void **)&p->boxes, &p->boxes_capacity, p->n_boxes + 1, sizeof *p->boxes));
            l->bends[l->n_bends++] = (uint32_t)p->n_boxes;
            p->boxes[p->n_boxes++] = (pm_box){.row = row, .w = BEND_W, .room = BEND_W};
        }
    }
    return PM_OK;
}

/* ---- order and x ---- */

static pm_status fill_rows(pm_picture *p) {
    p->rows = pm_arena_alloc(&p->arena, (p->n_rows + 1) * sizeof *p->rows);
    p->row_lengths = pm_arena_alloc(&p->arena, (p->n_rows + 1) * sizeof *p->row_lengths);
    p->row_ends = pm_arena_alloc(&p->arena, (p->n_rows + 1) * sizeof *p->row_ends);
    if (!p->rows || !p->row_lengths || !p->row_ends) return PM_ERR_MEMORY;
    for (size_t i = 0; i < p->n_boxes; i++) p->row_lengths[p->boxes[i].row]++;
    for (size_t r = 0; r < p->n_rows; r++) {
        if (!(p->rows[r] = pm_arena_alloc(&p->arena, (p->row_lengths[r] + 1) * sizeof **p->rows)))
            return PM_ERR_MEMORY;
        p->row_lengths[r] = 0;
    }
    for (uint32_t i = 0; i < p->n_boxes; i++) p->rows[p->boxes[i].row][p->row_lengths[p->boxes[i].row]++] = i;
    return PM_OK;
}

/* The straight parts of lines: from a row to the next one, ordered by the lower row. */
typedef struct part {
    uint32_t from, to;
} part;

typedef struct parts {
    part *at;
    size_t *first; /* of those that end in row r: first[r] .. first[r + 1] - 1 */
} parts;

/* Without a list it counts alone, into next[row]. */
static void add_parts(const pm_picture *p, parts *out, size_t *next) {
    for (size_t i = 0; i < p->n_lines; i++) {
        const pm_line *l = &p->lines[i];
        uint32_t from = l->from;
        for (uint32_t k = 0; l->lane < 0 && k <= l->n_bends; k++) {
            uint32_t to = k < l->n_bends ? l->bends[k] : l->to;
            size_t at = next[p->boxes[to].row]++;
            if (out->at) out->at[at] = (part){from, to};
            from = to;
        }
    }
}

static pm_status find_parts(const pm_picture *p, parts *out) {
    size_t n = 0, *next = pm_calloc(p->n_rows + 1, sizeof *next);
    out->first = pm_calloc(p->n_rows + 2, sizeof *out->first);
    if (next && out->first) {
        add_parts(p, out, next);
        for (size_t r = 0; r <= p->n_rows; r++) {
            out->first[r] = n;
            n += next[r];
            next[r] = out->first[r];
        }
        out->first[p->n_rows + 1] = n;
        out->at = pm_calloc(n, sizeof *out->at);
        if (out->at) add_parts(p, out, next);
    }
    pm_free(next);
    return out->at ? PM_OK : PM_ERR_MEMORY;
}

/* What the boxes of row r ask for: the mean x of their neighbours in the row above, below, or both. */
static void find_wishes(pm_picture *p, const parts *ps, size_t r, bool above, bool below, uint32_t *n) {
    for (size_t i = 0; i < p->row_lengths[r]; i++) {
        p->boxes[p->rows[r][i]].want = 0;
        n[p->rows[r][i]] = 0;
    }
    for (size_t i = ps->first[r]; above && i < ps->first[r + 1]; i++) {
        p->boxes[ps->at[i].to].want += p->boxes[ps->at[i].from].x;
        n[ps->at[i].to]++;
    }
    for (size_t i = ps->first[r + 1]; below && i < ps->first[r + 2]; i++) {
        p->boxes[ps->at[i].from].want += p->boxes[ps->at[i].to].x;
        n[ps->at[i].from]++;
    }
    for (size_t i = 0; i < p->row_lengths[r]; i++) {
        pm_box *b = &p->boxes[p->rows[r][i]];
        b->want = n[p->rows[r][i]] ? b->want / n[p->rows[r][i]] : b->x;
    }
}

/* Insertion sort: rows are short, or nearly in order. */
static void sort_row(pm_picture *p, uint32_t *row, size_t n) {
    for (size_t i = 1; i < n; i++) {
        uint32_t box = row[i];
        size_t k = i;
        for (; k && p->boxes[row[k - 1]].want > p->boxes[box].want; k--) row[k] = row[k - 1];
        row[k] = box;
    }
}

/* The x nearest to the wishes (least squares) that keep order and distances: violators are merged into groups, each at the
 * mean of its members' wishes. */
typedef struct group {
    double sum;
    size_t n;
} group;

static void place_row(pm_picture *p, const uint32_t *row, size_t n, group *groups) {
    size_t n_groups = 0;
    double at = 0;
    for (size_t i = 0; i < n; i++) {
        pm_box *b = &p->boxes[row[i]];
        if (i) at += (p->boxes[row[i - 1]].room + b->room) / 2 + GAP;
        groups[n_groups++] = (group){b->want - at, 1};
        while (n_groups > 1 && groups[n_groups - 2].sum / (double)groups[n_groups - 2].n >
                                   groups[n_groups - 1].sum / (double)groups[n_groups - 1].n) {
            groups[n_groups - 2].sum += groups[n_groups - 1].sum;
            groups[n_groups - 2].n += groups[n_groups - 1].n;
            n_groups--;
        }
    }
    at = 0;
    for (size_t i = 0, k = 0, left = n ? groups[0].n : 0; i < n; i++) {
        pm_box *b = &p->boxes[row[i]];
        if (i) at += (p->boxes[row[i - 1]].room + b->room) / 2 + GAP;
        if (left-- == 0) left = groups[++k].n - 1;
        b->x = at + groups[k].sum / (double)groups[k].n;
    }
}

static pm_status find_x(pm_picture *p) {
    uint32_t *n = pm_calloc(p->n_boxes, sizeof *n);
    group *groups = pm_calloc(p->n_boxes, sizeof *groups);
    parts ps = {0};
    pm_status s = n && groups ? find_parts(p, &ps) : PM_ERR_MEMORY;
    for (int sweep = 0; s == PM_OK && sweep <= N_SWEEPS; sweep++) {
        bool down = sweep % 2 == 0, last = sweep >= N_SWEEPS - 2;
        for (size_t i = 0; i < p->n_rows; i++) {
            size_t r = down ? i : p->n_rows - 1 - i;
            find_wishes(p, &ps, r, down || last, !down || last, n);
            if (!last) sort_row(p, p->rows[r], p->row_lengths[r]);
            place_row(p, p->rows[r], p->row_lengths[r], groups);
        }
    }
    pm_free(n);
    pm_free(groups);
    pm_free(ps.at);
    pm_free(ps.first);
    return s;
}

/* ---- the page ---- */

double pm_picture_lane_x(const pm_picture *p, int32_t lane) {
    return p->right + PADDING + 6 + LANE_W * lane;
}

static void find_width(pm_picture *p) {
    double left = 0, right = 0;
    for (size_t i = 0; i < p->n_boxes; i++) {
        const pm_box *b = &p->boxes[i];
        if (i == 0 || b->x - b->room / 2 < left) left = b->x - b->room / 2;
        if (i == 0 || b->x + b->room / 2 > right) right = b->x + b->room / 2;
    }
    if (right - left < 700) right = left + 700; /* room for titles and the legend */
    double shift = 3 * PADDING - left;
    for (size_t i = 0; i < p->n_boxes; i++) p->boxes[i].x += shift;
    p->left = left + shift;
    p->right = right + shift;
    p->width = pm_picture_lane_x(p, (int32_t)p->n_lanes) + 3 * PADDING;
}

/* Heights of one block, whose title is at y. Returns what is below it. */
static double place_block(pm_picture *p, pm_block *b, double y) {
    b->y = y;
    y += PM_FRAME_HEAD + 10;
    for (uint32_t r = b->first_row; r < b->first_row + b->n_rows; r++) {
        double h = 0;
        for (size_t i = 0; i < p->row_lengths[r]; i++)
            if (p->boxes[p->rows[r][i]].h > h) h = p->boxes[p->rows[r][i]].h;
        for (size_t i = 0; i < p->row_lengths[r]; i++) {
            pm_box *box = &p->boxes[p->rows[r][i]];
            box->y = y;
            if (!box->tensor) box->h = h;
        }
        p->row_ends[r] = y + h;
        y += h + PM_ROW_GAP;
    }
    b->h = y - PM_ROW_GAP + 24 - b->y;
    return b->y + b->h + 14;
}

static void find_y(pm_picture *p) {
    double y = PAGE_TOP;
    for (size_t i = 0; i < p->n_layers; i++) {
        pm_layer *l = &p->layers[i];
        l->y = y;
        if (l->label) y += PM_FRAME_HEAD + 4;
        for (uint32_t b = 0; b < l->n_blocks; b++) y = place_block(p, &p->blocks[l->first_block + b], y);
        l->h = y - l->y - (l->label ? 2 : 14);
        if (l->label) y += 12;
    }
    p->height = y + 16;
}

pm_status pm_picture_place(pm_picture *p) {
    for (size_t i = 0; i < p->n_boxes; i++) set_size(&p->boxes[i]);
    find_rows(p);
    PM_TRY(find_lanes(p));
    PM_TRY(add_bends(p));
    PM_TRY(fill_rows(p));
    PM_TRY(find_x(p));
    find_width(p);
    find_y(p);
    return PM_OK;
}

pm_status pm_picture_make(const pm_graph *g, const uint64_t *node_ns, pm_picture *out) {
    *out = (pm_picture){.node_ns = node_ns};
    pm_status s = pm_picture_fill(out, g);
    if (s == PM_OK) s = pm_picture_place(out);
    if (s != PM_OK) pm_picture_free(out);
    return s;
}

void pm_picture_free(pm_picture *p) {
    pm_free(p->boxes);
    pm_free(p->lines);
    pm_free(p->blocks);
    pm_free(p->layers);
    pm_arena_free(&p->arena);
    *p = (pm_picture){0};
}
