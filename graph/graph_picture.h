/* A graph laid out on a page: which boxes there are, what stands in them, and where boxes and lines lie. Operations of one
 * label are a block, blocks of one layer ("layers.3" of "layers.3.self") a layer; blocks lie below one another in an order of
 * execution, so every line runs downwards. Weights and constants, also through views, stand inside their readers' boxes. */
#ifndef PM_GRAPH_PICTURE_H
#define PM_GRAPH_PICTURE_H

#include "graph/ir.h"

#define PM_BOX_LINES 12
#define PM_NOWHERE   UINT32_MAX

typedef struct pm_box {
    const pm_tensor *tensor; /* NULL: a bend of a line */
    const char *output;      /* the name of an output, else NULL */
    const char *lines[PM_BOX_LINES];
    int n_lines;
    const char *shape; /* of its result, for the line that leaves it */
    uint32_t block, row;
    double x, y, w, h; /* x: of the middle */
    double room;       /* width with the text on its line */
    double want;       /* the x that its neighbours ask for */
    uint32_t n_readers;
} pm_box;

typedef struct pm_line {
    uint32_t from, to;
    uint32_t bends[2], n_bends;
    int32_t lane; /* beside all boxes; -1: straight down */
} pm_line;

typedef struct pm_block {
    const char *label; /* "": none */
    uint32_t layer, first_row, n_rows, n_ops, n_fused;
    uint64_t ns;
    double y, h;
} pm_block;

typedef struct pm_layer {
    const char *label; /* NULL: blocks without a layer, which get no frame */
    uint32_t first_block, n_blocks, n_ops;
    uint64_t ns;
    double y, h;
} pm_layer;

typedef struct pm_picture {
    pm_box *boxes;
    pm_line *lines;
    pm_block *blocks;
    pm_layer *layers;
    size_t n_boxes, n_lines, n_blocks, n_layers, n_rows, n_lanes;
    size_t boxes_capacity, lines_capacity, blocks_capacity, layers_capacity;
    uint32_t **rows; /* boxes of each row, from the left */
    size_t *row_lengths;
    double *row_ends;        /* y below each row's boxes */
    const uint64_t *node_ns; /* by tensor; NULL: unknown */
    uint64_t total_ns;
    double width, height, left, right; /* left, right: of the boxes */
    pm_arena arena;
} pm_picture;

/* node_ns: the time of each tensor's operation, or NULL. */
pm_status pm_picture_make(const pm_graph *g, const uint64_t *node_ns, pm_picture *out) PM_MUST_USE;
void pm_picture_free(pm_picture *p);

/* ---- between its files ---- */
pm_status pm_picture_fill(pm_picture *p,
                          const pm_graph *g) PM_MUST_USE; /* picture_boxes.c: boxes, lines, blocks */
pm_status pm_picture_place(pm_picture *p) PM_MUST_USE;    /* picture_place.c: where they lie */
double pm_picture_lane_x(const pm_picture *p, int32_t lane);
size_t pm_label_layer(const char *label);       /* length of the part that names a layer; 0: none */
bool pm_is_fused(const pm_tensor *x);           /* more than one operation of the builder's */
void pm_text_add_time(pm_text *t, uint64_t ns); /* "12.3 us" */

#define PM_BOX_HEAD   18.0 /* px: the first line of a box, each other one, the frames' titles, between rows */
#define PM_BOX_LINE   13.0
#define PM_FRAME_HEAD 24.0
#define PM_ROW_GAP    42.0

#endif
