// The page of `pumice dump --format html`: tabs, zoom and pan, folding, search, details. The pictures were drawn by graph/dump_*.c;
// this script moves what is there. Their classes and data-* are the interface: .layer and .block are frames with data-y and data-h,
// .box has data-id (its tensor), .line has data-from, data-to (indices of boxes) and data-p (its points, unfolded).
'use strict';
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const data = name => { const e = $('#' + name + '-data'); return e ? JSON.parse(e.textContent) : null; };
  const graph = data('graph'), plan = data('plan'), program = data('program'), times = data('times').nodes;
  const tensors = new Map(graph.tensors.map(t => [t.id, t]));
  const readers = new Map();
  for (const t of graph.tensors)
    for (const i of t.inputs || []) if (i !== null) readers.set(i, (readers.get(i) || new Set()).add(t.id));

  // ---- views: a tab each; a view box each ----
  const views = all('section').map(section => {
    const svg = $('svg', section), box = svg.viewBox.baseVal;
    return { section, svg, name: section.id, full: { w: box.width, h: box.height }, at: { x: 0, y: 0, k: 1 } };
  });
  const view = name => views.find(v => v.name === name);
  let current = views[0];
  const size = v => ({ w: v.svg.clientWidth || 1200, h: v.svg.clientHeight || 800 });
  function show(v) {
    const s = size(v);
    v.svg.setAttribute('viewBox', `${v.at.x} ${v.at.y} ${s.w / v.at.k} ${s.h / v.at.k}`);
  }
  function fit(v, whole) {
    const s = size(v);
    v.at.k = Math.min(whole ? s.h / v.full.h : 1.25, s.w / v.full.w, 1.25);
    v.at.x = -(s.w / v.at.k - v.full.w) / 2;
    v.at.y = 0;
    show(v);
  }
  function zoom(v, factor, cx, cy) {
    const k = Math.min(8, Math.max(0.02, v.at.k * factor));
    v.at.x += cx / v.at.k - cx / k;
    v.at.y += cy / v.at.k - cy / k;
    v.at.k = k;
    show(v);
  }
  function open(name) {
    current = view(name) || views[0];
    for (const v of views) v.section.hidden = v !== current;
    all('#tabs button').forEach(b => b.classList.toggle('on', b.dataset.name === current.name));
    if (!current.seen) { current.seen = true; fit(current); }
    show(current);
  }
  for (const v of views) {
    const b = document.createElement('button');
    b.textContent = v.section.dataset.title;
    b.dataset.name = v.name;
    b.onclick = () => open(v.name);
    $('#tabs').append(b);
    v.svg.addEventListener('wheel', e => { // pinching comes as a wheel with ctrl
      e.preventDefault();
      if (e.ctrlKey || e.metaKey) return zoom(v, Math.exp(-e.deltaY / 200), e.offsetX, e.offsetY);
      v.at.x += (e.shiftKey ? e.deltaY : e.deltaX) / v.at.k;
      v.at.y += (e.shiftKey ? 0 : e.deltaY) / v.at.k;
      show(v);
    }, { passive: false });
    let from = null;
    v.svg.addEventListener('pointerdown', e => { from = { x: e.clientX, y: e.clientY, at: { ...v.at }, far: false }; });
    window.addEventListener('pointermove', e => {
      if (!from || !(e.buttons & 1)) return void (from = null);
      from.far = from.far || Math.hypot(e.clientX - from.x, e.clientY - from.y) > 4;
      v.svg.classList.toggle('moving', from.far);
      if (!from.far) return;
      v.at.x = from.at.x - (e.clientX - from.x) / v.at.k;
      v.at.y = from.at.y - (e.clientY - from.y) / v.at.k;
      show(v);
    });
    v.svg.addEventListener('click', e => {
      const dragged = from && from.far;
      from = null;
      v.svg.classList.remove('moving');
      if (!dragged) clicked(e.target);
    });
  }

  // ---- folding: a map of heights; what lies within a folded frame falls on its title ----
  const FOLDED = 26;
  const frames = all('.layer, .block').map(g => ({
    g, y: +g.dataset.y, h: +g.dataset.h, kind: g.classList.contains('layer') ? 'layer' : 'block', folded: false,
    rect: $('rect', g), text: $('text', g),
  }));
  const layers = frames.filter(f => f.kind === 'layer'), blocks = frames.filter(f => f.kind === 'block');
  const within = (y, f) => y > f.y && y < f.y + f.h;
  for (const b of blocks) b.layer = layers.find(l => within(b.y + 1, l));
  const boxes = new Map(all('.box').map(g => [+g.dataset.i, {
    g, id: +g.dataset.id, out: g.classList.contains('out'), y: +g.dataset.y, x: +g.getAttribute('transform').match(/[-\d.]+/)[0],
    block: blocks.find(b => +b.g.dataset.i === +g.dataset.block),
  }]));
  const boxOf = id => [...boxes.values()].find(b => b.id === id && !b.out);
  const lines = all('.line').map(g => ({
    g, from: boxes.get(+g.dataset.from), to: boxes.get(+g.dataset.to), lane: g.classList.contains('lane'),
    points: g.dataset.p.split(' ').map(p => p.split(',').map(Number)),
  }));
  for (const f of frames) {
    f.mark = document.createElementNS('http://www.w3.org/2000/svg', 'text');
    f.mark.classList.add('fold-mark');
    f.mark.setAttribute('x', +f.rect.getAttribute('x') + 9);
    f.g.append(f.mark);
    f.g.dataset.label = $('tspan', f.g).textContent;
  }
  const holder = b => (b.block.layer && b.block.layer.folded ? b.block.layer : b.block.folded ? b.block : null);
  let folds = [];
  function height(y, own) { // own: the folded frame of the line's end here; its lower edge for from, its upper edge for to
    let less = 0;
    for (const f of folds) {
      if (y >= f.y + f.h) { less += f.h - FOLDED; continue; }
      if (y > f.y) return f.y - less + (own === 'from' ? FOLDED : own === 'to' ? 0 : Math.min(y - f.y, FOLDED));
      break;
    }
    return y - less;
  }
  function draw(line) {
    const from = holder(line.from), to = holder(line.to), n = line.points.length;
    line.g.classList.toggle('gone', from !== null && from === to);
    const at = line.points.map(([x, y], i) => [x, height(y, from && within(y, from) ? 'from' : to && within(y, to) ? 'to' : '')]);
    if (line.lane && from && to && at[n - 1][1] - at[0][1] < 40) return line.g.setAttribute('d', `M${at[0]}L${at[n - 1]}`); // neighbours
    if (line.lane && from) at[1][1] = at[2][1] = at[0][1] + 5; // between the frames
    if (line.lane && to) at[3][1] = at[4][1] = at[5][1] - 6;
    let d = `M${at[0][0]} ${at[0][1]}`;
    for (let i = 1; i < n; i++) {
      const [x, y] = at[i], [px, py] = at[i - 1], m = (y + py) / 2;
      d += !line.lane && i % 2 === 0 ? `C${px} ${m} ${x} ${m} ${x} ${y}` : `L${x} ${y}`;
    }
    line.g.setAttribute('d', d);
  }
  function fold() {
    folds = frames.filter(f => f.folded && !(f.layer && f.layer.folded)).sort((a, b) => a.y - b.y);
    for (const f of frames) {
      const hidden = f.layer && f.layer.folded, y = height(f.y);
      f.g.classList.toggle('gone', !!hidden);
      f.rect.setAttribute('y', y);
      f.rect.setAttribute('height', f.folded ? FOLDED : height(f.y + f.h) - y);
      f.text.setAttribute('y', y + 17);
      f.mark.setAttribute('y', y + 17);
      f.mark.textContent = f.folded ? '\u25b6' : '\u25bc';
    }
    for (const b of boxes.values()) {
      b.g.classList.toggle('gone', holder(b) !== null);
      b.g.setAttribute('transform', `translate(${b.x} ${height(b.y)})`);
    }
    lines.forEach(draw);
    const g = view('graph');
    g.whole = g.whole || g.full.h;
    g.full.h = height(g.whole);
  }
  function foldAll(folded) {
    for (const f of frames) f.folded = folded;
    fold();
    fit(view('graph'));
  }

  // ---- details ----
  const escape = text => String(text).replace(/[&<>"]/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }[c]));
  const shape = t => `${t.dtype}[${t.dims.join(',')}]`;
  const title = t => t.name || t.op;
  const link = id => `<a data-id="${id}">%${id} ${escape(title(tensors.get(id)))} ${shape(tensors.get(id))}</a>`;
  const time = ns => (ns < 1e6 ? (ns / 1e3).toFixed(1) + ' \u00b5s' : (ns / 1e6).toFixed(2) + ' ms');
  const total = times.reduce((a, b) => a + b, 0);
  function rowsOf(t) {
    const rows = [['tensor', `%${t.id}, ${escape(t.kind)}`], ['result', shape(t)]];
    const add = (key, value) => { if (value) rows.push([key, value]); };
    add('label', t.label && escape(t.label));
    add('attributes', t.attrs && escape(t.attrs));
    add('fused', t.fused && 'made by fusion');
    add('strides', t.strides.length && escape(t.strides.join(', ')));
    add('time', times[t.id] && `${time(times[t.id])}, ${(100 * times[t.id] / total).toFixed(1)} %`);
    add('reads', (t.inputs || []).map(i => (i === null ? '(absent)' : link(i))).join(''));
    add('read by', [...(readers.get(t.id) || [])].map(link).join(''));
    add('output', graph.outputs.filter(o => o.id === t.id).map(o => escape(o.name)).join(', '));
    const place = plan && plan.intervals.find(v => v.tensors.some(x => x.startsWith(`%${t.id} `)));
    add('memory', place && `block ${place.block}, ${place.bytes} bytes at ${place.offset}, steps ${place.first} to ${place.last}`);
    for (const [i, d] of program ? program.dispatches.entries() : [])
      if (d.node === t.id) add(`dispatch ${i}`, `${escape(d.variant)}, ${d.groups.join('\u00d7')} groups${d.barrier ? ', barrier' : ''}, cost ${d.cost}`);
    return rows;
  }
  let chosen = null;
  function choose(id) {
    const panel = $('#details'), t = tensors.get(id);
    all('.chosen, .into, .outof').forEach(e => e.classList.remove('chosen', 'into', 'outof'));
    chosen = t ? id : null;
    panel.hidden = !t;
    if (!t) return;
    panel.innerHTML = `<button class="close" title="Escape">\u00d7</button><h2>${escape(title(t))}</h2><dl>` +
      rowsOf(t).map(([k, v]) => `<dt>${k}</dt><dd>${v}</dd>`).join('') + '</dl>';
    $('.close', panel).onclick = () => choose(null);
    all('a', panel).forEach(a => { a.onclick = () => { choose(+a.dataset.id); reveal(+a.dataset.id); }; });
    all(`[data-id="${id}"]:not(a)`).forEach(e => e.classList.add('chosen'));
    for (const l of lines) {
      l.g.classList.toggle('into', l.to.id === id && !l.to.out);
      l.g.classList.toggle('outof', l.from.id === id);
    }
  }
  function reveal(id) { // in the graph: unfolds and centres
    const b = boxOf(id);
    if (!b) return;
    b.block.folded = false;
    if (b.block.layer) b.block.layer.folded = false;
    fold();
    open('graph');
    const v = current, s = size(v);
    v.at.k = Math.max(v.at.k, 0.8);
    v.at.x = b.x - (s.w - ($('#details').hidden ? 0 : 350)) / v.at.k / 2;
    v.at.y = height(b.y) - s.h / v.at.k / 3;
    show(v);
  }
  function clicked(target) {
    const frame = target.closest('.layer, .block'), thing = target.closest('.box, .interval, .dispatch');
    if (thing) return choose(+thing.dataset.id);
    if (!frame) return choose(null);
    const f = frames.find(x => x.g === frame);
    f.folded = !f.folded;
    fold();
  }

  // ---- search ----
  let hits = [], at = -1;
  function search(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = t => {
      const place = `%${t.id} ${t.op} ${t.name || ''} ${t.label || ''} ${t.attrs || ''} ${shape(t)} ${t.fused ? 'fused' : ''} ${t.kind}`.toLowerCase();
      return words.every(w => place.includes(w));
    };
    hits = words.length ? graph.tensors.filter(t => found(t) && boxOf(t.id)).map(t => t.id) : [];
    at = -1;
    const set = new Set(hits);
    for (const b of boxes.values()) b.g.classList.toggle('hit', set.has(b.id) && !b.out);
    $('#found').textContent = words.length ? `${hits.length} found` : '';
  }
  function next(step) {
    if (!hits.length) return;
    at = (at + step + hits.length) % hits.length;
    $('#found').textContent = `${at + 1} of ${hits.length}`;
    choose(hits[at]);
    reveal(hits[at]);
  }
  $('#search').oninput = e => search(e.target.value);
  $('#search').onkeydown = e => { if (e.key === 'Enter') next(e.shiftKey ? -1 : 1); };
  $('#fold').onclick = () => foldAll(true);
  $('#unfold').onclick = () => foldAll(false);
  $('#fit').onclick = () => fit(current, true);
  window.onkeydown = e => {
    if (e.target === $('#search')) return;
    const s = size(current), keys = { '+': 1.25, '=': 1.25, '-': 0.8 };
    if (keys[e.key]) zoom(current, keys[e.key], s.w / 2, s.h / 2);
    if (e.key === 'Escape') choose(null);
    if (e.key === '/') { e.preventDefault(); $('#search').focus(); }
  };
  window.onresize = () => show(current);

  // ---- begin: large graphs folded; #12 chooses a tensor ----
  if (boxes.size > 250) for (const f of layers.length ? layers : blocks) f.folded = true;
  fold();
  open({ planned: 'plan', program: 'program' }[document.body.dataset.stage] || 'graph');
  const wanted = /^#(\d+)$/.exec(location.hash);
  if (wanted) { choose(+wanted[1]); reveal(+wanted[1]); }
  document.body.dataset.ready = boxes.size;
})();
