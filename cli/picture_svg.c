/* The attention map as SVG, and as one HTML page in which a person chooses layer and head. */
#include "cli/picture.h"

#include <stdio.h>

static void add_label(picture_file *f, double x, double y, const char *extra, double size, const char *text) {
    picture_add(f, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.1f\" %s>", x, y, size, extra);
    picture_add_escaped(f, text);
    picture_add(f, "</text>\n");
}

static void add_panel(picture_file *f, const picture_choice *c, const picture_layout *o, int64_t layer,
                      int64_t head) {
    const pm_attention *a = c->map;
    char title[64], extra[96];
    snprintf(title, sizeof title, "layer %lld, head %lld", (long long)layer, (long long)head);
    add_label(f, o->left, 14, "font-weight=\"bold\"", 11, title);
    for (int64_t k = 0; k < a->n_keys; k++) {
        double x = o->left + o->cell * ((double)k + 0.65), y = o->top - 4;
        snprintf(extra, sizeof extra, "transform=\"rotate(-90 %.1f %.1f)\"", x, y);
        add_label(f, x, y, extra, o->cell * 0.7, a->key_labels[k]);
    }
    for (int64_t q = 0; q < a->n_queries; q++) {
        double y = o->top + o->cell * (double)q;
        add_label(f, o->left - 4, y + o->cell * 0.72, "text-anchor=\"end\"", o->cell * 0.7,
                  a->query_labels[q]);
        for (int64_t k = 0; k < a->n_keys; k++) {
            unsigned char rgb[3];
            float w = picture_weight(c, layer, head, q, k);
            picture_colour(w, rgb);
            picture_add(f,
                        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
                        "fill=\"#%02x%02x%02x\"><title>%.4f</title></rect>\n",
                        o->left + o->cell * (double)k, y, o->cell, o->cell, rgb[0], rgb[1], rgb[2],
                        (double)w);
        }
    }
    picture_add(f,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" stroke=\"#667\" "
                "stroke-width=\"0.7\"/>\n",
                o->left, o->top, o->cell * (double)a->n_keys, o->cell * (double)a->n_queries);
}

int picture_svg(const picture_choice *c, picture_file *f) {
    picture_layout o;
    picture_measure(c, &o);
    picture_add(f,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
                "font-family=\"sans-serif\" fill=\"#223\">\n",
                o.width, o.height);
    picture_add(f, "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n");
    add_label(f, 12, 20, "", 13, c->title);
    for (int64_t l = 0; l < o.n_layers; l++)
        for (int64_t h = 0; h < o.n_heads; h++) {
            picture_add(f, "<g transform=\"translate(%.1f %.1f)\">\n", o.panel_w * (double)h,
                        32 + o.panel_h * (double)l);
            add_panel(f, c, &o, o.first_layer + l, o.first_head + h);
            picture_add(f, "</g>\n");
        }
    picture_add(f, "</svg>\n");
    return PM_OK;
}

int picture_html(const picture_choice *c, picture_file *f) {
    picture_layout o;
    picture_measure(c, &o);
    picture_add(f, "<!doctype html><html><head><meta charset=\"utf-8\"><title>");
    picture_add_escaped(f, c->title);
    picture_add(f, "</title>\n<style>body{font:14px "
                   "sans-serif;color:#223;margin:20px}select{margin-right:16px}</style></head><body>\n<h3>");
    picture_add_escaped(f, c->title);
    picture_add(f, "</h3>\n<label>Layer <select id=\"l\"></select></label><label>Head <select "
                   "id=\"h\"></select></label>\n"
                   "<span id=\"v\"></span><div id=\"all\">\n");
    for (int64_t l = 0; l < o.n_layers; l++)
        for (int64_t h = 0; h < o.n_heads; h++) {
            picture_choice one = {c->map, "", o.first_layer + l, o.first_head + h};
            picture_add(f, "<div class=\"p\" data-l=\"%lld\" data-h=\"%lld\" hidden>\n", (long long)one.layer,
                        (long long)one.head);
            picture_svg(&one, f);
            picture_add(f, "</div>\n");
        }
    picture_add(f, "</div>\n<script>\n"
                   "const "
                   "panels=[...document.querySelectorAll('.p')],l=document.getElementById('l'),h=document."
                   "getElementById('h');\n"
                   "for(const [s,k] of [[l,'l'],[h,'h']])for(const v of new "
                   "Set(panels.map(p=>p.dataset[k])))s.add(new Option(v,v));\n");
    picture_add(
        f, "function show(){for(const p of panels)p.hidden=p.dataset.l!==l.value||p.dataset.h!==h.value}\n"
           "l.onchange=h.onchange=show;show();\n"
           "document.getElementById('all').onmouseover=e=>{const "
           "t=e.target.querySelector&&e.target.querySelector('title');"
           "document.getElementById('v').textContent=t?t.textContent:''};\n</script></body></html>\n");
    return PM_OK;
}
