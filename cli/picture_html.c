/* The attention map as one HTML page that needs nothing else: a person chooses layer, head and, of pictures, the query, and sees the value
 * under the pointer. Weights are 16-bit numbers in base64, drawn by the browser. */
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/picture.h"

static const char style[] =
    "body{font:14px system-ui,sans-serif;color:#223;margin:16px}h1{font-size:16px;font-weight:600;overflow-wrap:anywhere}"
    "#bar{position:sticky;top:0;left:0;background:#fff;padding:6px 0;z-index:2;width:calc(100vw - 40px)}"
    "label{margin-right:16px}select{font:inherit;max-width:14em}#v{min-height:1.5em;margin-top:4px;overflow-wrap:anywhere;"
    "font-variant-numeric:tabular-nums}#box{position:relative;width:max-content}"
    "#x,#y{position:absolute;pointer-events:none;border:1px solid #e3170a;box-sizing:border-box;display:none}";

static const char body[] =
    "<div id=\"bar\"><label>Layer <select id=\"l\"></select></label><label>Head <select id=\"h\"></select></label>"
    "<label id=\"ql\" hidden>From <select id=\"q\"></select></label>"
    "<label><input type=\"checkbox\" id=\"s\" checked> <span id=\"m\"></span></label>"
    "<div id=\"v\"></div></div>\n"
    "<div id=\"box\"><canvas id=\"c\"></canvas><div id=\"x\"></div><div id=\"y\"></div></div>\n";

/* clang-format off */
static const char script[] =
    "const $ = i => document.getElementById(i), d = JSON.parse($('d').textContent), p = d.patches;\n"
    "const nq = d.queries.length, nk = d.keys.length, n = nq * nk;\n"
    "const packed = new DataView(Uint8Array.from(atob(d.weights), c => c.charCodeAt(0)).buffer);\n"
    "const c = $('c'), g = c.getContext('2d'), photo = new Image();\n"
    "let m = new Float32Array(n), most = 1, cw, ch, left, above; // the map, what is darkest, sizes of a cell, where cells begin\n"
    "\n"
    "function fill(s, names, mean) {\n"
    "  names.forEach((t, i) => s.add(new Option(t, i)));\n"
    "  if (names.length > 1) s.add(new Option(mean, -1));\n"
    "}\n"
    "const from = () => +$('q').value, range = (v, n) => v < 0 ? [...Array(n).keys()] : [v];\n"
    "function choose() {\n"
    "  const L = range(+$('l').value, d.layers.length), H = range(+$('h').value, d.heads.length);\n"
    "  m.fill(0);\n"
    "  for (const l of L) for (const h of H)\n"
    "    for (let i = 0, o = (l * d.heads.length + h) * n; i < n; i++) m[i] += packed.getUint16(2 * (o + i), true);\n"
    "  for (let i = 0; i < n; i++) m[i] /= 65535 * L.length * H.length;\n"
    "  most = 1;\n"
    "  if ($('s').checked) {\n"
    "    most = 1e-6;\n"
    "    for (const x of p ? m.subarray(from() * nk + p.lead, (from() + 1) * nk) : m) if (x > most) most = x;\n"
    "  }\n"
    "  $('m').textContent = 'darkest is ' + ($('s').checked ? 'the largest shown, ' + most.toFixed(4) : '1');\n"
    "}\n"
    "\n"
    "function size(W, H) {\n"
    "  const k = Math.min(devicePixelRatio || 1, 16000 / W, 16000 / H, Math.sqrt(1e8 / W / H));\n"
    "  c.width = W * k; c.height = H * k;\n"
    "  c.style.width = W + 'px'; c.style.height = H + 'px';\n"
    "  g.setTransform(k, 0, 0, k, 0, 0);\n"
    "  g.fillStyle = '#fff'; g.fillRect(0, 0, W, H);\n"
    "  g.imageSmoothingEnabled = false;\n"
    "}\n"
    "const stops = [[250, 250, 252], [190, 211, 236], [98, 150, 207], [32, 84, 158], [8, 24, 66]];\n"
    "// colours of 0 .. 1 by the square root, as in the other pictures\n"
    "const palette = Array.from({length: 1025}, (_, j) => {\n"
    "  const x = j / 256, i = Math.min(3, x | 0);\n"
    "  return stops[i].map((a, k) => a + (stops[i + 1][k] - a) * (x - i));\n"
    "});\n"
    "const colour = x => palette[Math.round(1024 * Math.sqrt(Math.min(Math.max(x / most, 0), 1)))];\n"
    "\n"
    "const cell = n => Math.max(1, Math.min(24, Math.floor(1100 / n)));\n"
    "const letters = s => Math.max(9, Math.min(15, s * .7)), step = s => Math.ceil(letters(s) * 1.2 / s);\n"
    "const font = s => { g.font = letters(s) + 'px system-ui,sans-serif'; };\n"
    "const width = t => g.measureText(t).width;\n"
    "function cut(t) {\n"
    "  const a = [...t];\n"
    "  if (width(t) <= 220) return t;\n"
    "  while (a.length && width(a.join('') + '\\u2026') > 220) a.pop();\n"
    "  return a.join('') + '\\u2026';\n"
    "}\n"
    "function margin(labels, s) {\n"
    "  let w = 0;\n"
    "  font(s);\n"
    "  for (let i = 0; i < labels.length; i += step(s)) w = Math.max(w, width(labels[i]));\n"
    "  return Math.min(w, 220) + 10;\n"
    "}\n"
    "function label(labels, s, up) {\n"
    "  font(s); g.fillStyle = '#223'; g.textBaseline = 'middle'; g.textAlign = up ? 'left' : 'right';\n"
    "  for (let i = 0; i < labels.length; i += step(s)) {\n"
    "    g.save();\n"
    "    if (up) { g.translate(left + (i + .5) * s, above - 4); g.rotate(-Math.PI / 2); }\n"
    "    else g.translate(left - 4, above + (i + .5) * s);\n"
    "    g.fillText(cut(labels[i]), 0, 0);\n"
    "    g.restore();\n"
    "  }\n"
    "}\n"
    "function matrix() {\n"
    "  cw = cell(nk); ch = cell(nq); left = margin(d.queries, ch); above = margin(d.keys, cw);\n"
    "  size(left + nk * cw + 8, above + nq * ch + 8);\n"
    "  const o = document.createElement('canvas');\n"
    "  o.width = nk; o.height = nq;\n"
    "  const to = o.getContext('2d'), a = to.createImageData(nk, nq);\n"
    "  for (let i = 0; i < n; i++) {\n"
    "    const rgb = colour(m[i]);\n"
    "    for (let k = 0; k < 3; k++) a.data[4 * i + k] = rgb[k];\n"
    "    a.data[4 * i + 3] = 255;\n"
    "  }\n"
    "  to.putImageData(a, 0, 0);\n"
    "  g.drawImage(o, left, above, nk * cw, nq * ch);\n"
    "  label(d.keys, cw, true); label(d.queries, ch, false);\n"
    "  g.strokeStyle = '#667'; g.strokeRect(left, above, nk * cw, nq * ch);\n"
    "}\n"
    "function overlay() {\n"
    "  const longer = Math.max(p.width, p.height), k = longer > 1000 ? 1000 / longer : Math.max(1, Math.floor(560 / longer));\n"
    "  cw = ch = p.side * k; left = above = 8;\n"
    "  size(p.width * k + 16, p.height * k + 16);\n"
    "  g.filter = 'grayscale(1)'; g.globalAlpha = .7;\n"
    "  g.drawImage(photo, left, above, p.width * k, p.height * k);\n"
    "  g.filter = 'none'; g.globalAlpha = 1;\n"
    "  const box = i => [left + i % p.columns * cw, above + Math.floor(i / p.columns) * ch, cw, ch];\n"
    "  for (let i = 0; i < p.rows * p.columns; i++) {\n"
    "    g.fillStyle = 'rgba(227,23,10,' + .85 * Math.min(1, m[from() * nk + p.lead + i] / most) + ')';\n"
    "    g.fillRect(...box(i));\n"
    "  }\n"
    "  g.strokeStyle = '#06f'; g.lineWidth = 2;\n"
    "  if (from() >= p.lead) g.strokeRect(...box(from() - p.lead));\n"
    "}\n"
    "\n"
    "function rest() {\n"
    "  $('x').style.display = $('y').style.display = 'none';\n"
    "  $('v').textContent = !p ? 'Point at a cell: it shows how much of the row\\u2019s attention goes to the column.' :\n"
    "    'Without a place: ' + d.keys.slice(0, p.lead).map((t, i) => t + ' ' + m[from() * nk + i].toFixed(4)).join(', ') +\n"
    "    '. Point at a patch for its value, click to look from it.';\n"
    "}\n"
    "function draw() { choose(); p ? overlay() : matrix(); rest(); }\n"
    "function at(e) {\n"
    "  const r = c.getBoundingClientRect();\n"
    "  const x = Math.floor((e.clientX - r.left - left) / cw), y = Math.floor((e.clientY - r.top - above) / ch);\n"
    "  return x >= 0 && y >= 0 && x < (p ? p.columns : nk) && y < (p ? p.rows : nq) ? [x, y] : null;\n"
    "}\n"
    "function mark(i, X, Y, W, H) {\n"
    "  Object.assign($(i).style, {display: 'block', left: X + 'px', top: Y + 'px', width: W + 'px', height: H + 'px'});\n"
    "}\n"
    "c.onmousemove = e => {\n"
    "  const a = at(e);\n"
    "  if (!a) return rest();\n"
    "  const [x, y] = a, q = p ? from() : y, k = p ? p.lead + y * p.columns + x : x;\n"
    "  $('v').textContent = '\\u201c' + d.queries[q] + '\\u201d \\u2192 \\u201c' + d.keys[k] + '\\u201d: ' + m[q * nk + k].toFixed(4);\n"
    "  if (p) return mark('x', left + x * cw, above + y * ch, cw, ch);\n"
    "  mark('x', 0, above + y * ch, left + nk * cw, Math.max(ch, 3));\n"
    "  mark('y', left + x * cw, 0, Math.max(cw, 3), above + nq * ch);\n"
    "};\n"
    "c.onmouseleave = rest;\n"
    "c.onclick = e => {\n"
    "  const a = at(e);\n"
    "  if (p && a) { $('q').value = p.lead + a[1] * p.columns + a[0]; draw(); }\n"
    "};\n"
    "\n"
    "fill($('l'), d.layers, 'mean of layers');\n"
    "fill($('h'), d.heads, 'mean of heads');\n"
    "for (const i of ['l', 'h', 'q', 's']) $(i).onchange = draw;\n"
    "if (p) {\n"
    "  $('ql').hidden = false;\n"
    "  d.queries.forEach((t, i) => $('q').add(new Option(t, i)));\n"
    "  $('q').value = p.query;\n"
    "  photo.onload = draw;\n"
    "  photo.src = p.image;\n"
    "} else draw();\n";
/* clang-format on */

/* Every weight as a 16-bit share of 1, the low byte first. */
static void add_weights(const pm_attention *a, picture_file *f) {
    size_t n = (size_t)(a->n_layers * a->n_heads * a->n_queries * a->n_keys);
    unsigned char *two = malloc(2 * n);
    for (size_t i = 0; two && i < n; i++) {
        float w = a->weights[i];
        unsigned x = w >= 1 ? 65535u : w > 0 ? (unsigned)(w * 65535 + 0.5f) : 0u;
        two[2 * i] = (unsigned char)(x & 255);
        two[2 * i + 1] = (unsigned char)(x >> 8);
    }
    if (two)
        picture_add_base64(f, two, 2 * n);
    else
        f->failed = true;
    free(two);
}

static void add_patches(const picture_choice *c, picture_file *f) {
    const pm_attention *a = c->map;
    const pm_image *image = &a->image;
    size_t n = (size_t)(image->width * image->height);
    unsigned char *rgb = malloc(3 * n);
    picture_file png = {0};
    for (size_t i = 0; rgb && i < 3 * n; i++) rgb[i] = image->pixels[image->channels == 3 ? i : i / 3];
    if (rgb) picture_add_pixels(&png, rgb, image->width, image->height);
    picture_add(
        f,
        "\"patches\":{\"lead\":%lld,\"rows\":%lld,\"columns\":%lld,\"side\":%lld,\"width\":%lld,\"height\":%lld,\"query\":%lld,"
        "\"image\":\"data:image/png;base64,",
        (long long)a->key.n_lead, (long long)a->key.rows, (long long)a->key.columns, (long long)a->key.side,
        (long long)image->width, (long long)image->height, (long long)c->query);
    if (!rgb || png.failed)
        f->failed = true;
    else
        picture_add_base64(f, png.data, png.bytes);
    picture_add(f, "\"},\n");
    free(png.data);
    free(rgb);
}

int picture_html(const picture_choice *c, picture_file *f) {
    static const double most = 1e8;
    const pm_attention *a = c->map;
    double n = (double)a->n_layers * (double)a->n_heads * (double)a->n_queries * (double)a->n_keys;
    if (n > most)
        return cli_error(
            PM_ERR_USAGE,
            "attend: the page would hold %.0f weights, expected at most %.0f; choose --layer or --head", n,
            most);
    picture_add(f, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    picture_add_escaped(f, c->title);
    picture_add(f, "</title><style>");
    picture_add_bytes(f, style, sizeof style - 1);
    picture_add(f, "</style></head><body>\n<h1>");
    picture_add_escaped(f, c->title);
    picture_add(f, "</h1>\n");
    picture_add_bytes(f, body, sizeof body - 1);
    picture_add(f, "<script type=\"application/json\" id=\"d\">");
    picture_add_head(c, f);
    if (picture_is_overlay(a)) add_patches(c, f);
    picture_add(f, "\"weights\":\"");
    add_weights(a, f);
    picture_add(f, "\"}</script>\n<script>\n");
    picture_add_bytes(f, script, sizeof script - 1);
    picture_add(f, "</script></body></html>\n");
    return PM_OK;
}
