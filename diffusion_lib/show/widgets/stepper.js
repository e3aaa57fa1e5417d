// The Stepper's view. It draws recorded frames and steps through them, knowing nothing of what they show.

const MISSING = -32768, LARGEST = 32767, BOXES = 3; // as in stepper.py
const KINDS = ["points", "arrows", "ellipses", "curve", "labels", "images"];
const ROLES = ["data", "model", "noise", "accent", "text", "quiet", "ground", "edge"];
const SPEEDS = [0.25, 0.5, 1, 2, 4];
const REST = 1.5; // seconds that a looping widget rests on its last frame
const FAINT = 0.3, FAINT_TEXT = 0.7; // opacity of layers in the background
const TICK_GAP = 5; // CSS pixels between a tick's label and the ground
// The legend's marks: the width of each in a box of height 12, and its path. They are SVG because a background is not
// seen in forced colours, and often not printed.
const MARKS = {
  points: [10, "M5 6h0"],
  curve: [22, "M1 6h20"],
  ellipses: [22, "M2 6a9 5 0 1 0 18 0a9 5 0 1 0-18 0z"],
  arrows: [22, "M1 6h14M14 2.5l6.5 3.5l-6.5 3.5z"],
};
const ICONS = { play: "M4 2.5v11l9.5-5.5z", pause: "M4 2.5h3v11H4zM9.5 2.5h3v11h-3z" };
const OWN_KEYS = [" ", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown"];

function make(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// --- the theme of the page around us: the book's, JupyterLab's, Colab's, VS Code's, else the system's

const darkSystem = matchMedia("(prefers-color-scheme: dark)");
const forcedColours = matchMedia("(forced-colors: active)"); // the system's alone, whatever the page says
const lessMotion = matchMedia("(prefers-reduced-motion: reduce)");

function pageIsDark() {
  if (forcedColours.matches) return darkSystem.matches;
  const { documentElement: html, body } = document;
  const named = html.dataset.theme || html.getAttribute("theme");
  if (named === "dark" || named === "light") return named === "dark";
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false";
  if (body.matches(".vscode-dark, .vscode-high-contrast:not(.vscode-high-contrast-light)")) return true;
  return !body.matches(".vscode-light, .vscode-high-contrast-light") && darkSystem.matches;
}

function onThemeChange(callback, signal) {
  const observer = new MutationObserver(callback);
  for (const node of [document.documentElement, document.body]) observer.observe(node, { attributes: true });
  for (const query of [darkSystem, forcedColours]) query.addEventListener("change", callback, { signal });
  signal.addEventListener("abort", () => observer.disconnect());
}

// --- drawing

function legendMark(kind, role, dashed) {
  const [width, path] = MARKS[kind], classes = `stepper-mark stepper-${kind}${dashed ? " stepper-dashed" : ""}`;
  return `<svg class="${classes}" style="color: var(--stepper-${role})" viewBox="0 0 ${width} 12" aria-hidden="true">` +
    `<path d="${path}"></path></svg>`;
}

/** One panel: a titled canvas. */
class Plot {
  constructor(panel, label) {
    this.panel = panel;
    this.dots = new Map(); // one picture of a dot for each colour and size
    this.label = label;
    this.canvas = make("canvas", { className: "stepper-canvas", role: "img" });
    this.title = make("div", { className: "stepper-title" });
    this.node = make("div", { className: panel.wide ? "stepper-panel stepper-wide" : "stepper-panel" });
    if (panel.title) this.node.append(this.title);
    this.node.append(this.canvas);
    this.node.style.setProperty("--aspect", panel.aspect);
    this.#name();
  }

  #name() {
    const { title } = this.panel;
    this.title.textContent = title;
    this.canvas.ariaLabel = title ? `${this.label}: ${title}` : this.label;
  }

  /** Show another panel of that shape. */
  become(panel) {
    if (JSON.stringify(panel) === JSON.stringify(this.panel)) return;
    this.panel = panel;
    this.#name();
    this.resize();
  }

  /** Fit the canvas's pixels to its place on the page; false while it has none. */
  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this, { width, height, ratio });
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.family = getComputedStyle(this.canvas).fontFamily;
    this.box = this.#box();
    this.dots.clear();
    return width > 0;
  }

  /**
   * Where the panel's box lies on the canvas, in CSS pixels. Ticks and axis labels need room beside it, and a
   * panel that has them shows a little ground around its box, so that a dot at the end of a curve is whole.
   */
  #box() {
    const { x, y, ticks, labels, equal } = this.panel;
    const around = ticks.flat().length ? 7 : 0;
    const [across, beside] = ticks.map((side) => this.#longest(side));
    const overhang = across / 2; // of the first and the last tick's label along x
    const left = Math.max(around + (beside && beside + TICK_GAP) + (labels[1] ? 18 : 0), overhang);
    const bottom = (ticks[0].length ? 20 : 0) + (labels[0] ? 18 : 0) + around;
    const top = around, right = Math.max(2 * around, overhang);
    const room = [this.width - left - right, this.height - top - bottom];
    const size = [x[1] - x[0], y[1] - y[0]];
    const unit = Math.min(room[0] / size[0], room[1] / size[1]);
    const [w, h] = equal ? [unit * size[0], unit * size[1]] : room;
    return { left: left + (room[0] - w) / 2, top: top + (room[1] - h) / 2, w, h, around, beside };
  }

  /** The length of the longest label of these ticks, in CSS pixels. */
  #longest(ticks) {
    const context = this.canvas.getContext("2d");
    context.font = this.#tickFont();
    return Math.max(0, ...ticks.map(([, text]) => context.measureText(text).width));
  }

  #tickFont() {
    return `12px ${this.family}`;
  }

  /** Draw layers, each `part` of the way to its partner in `next` where the two match. */
  draw(data, background, layers, next, part, colours) {
    const context = this.canvas.getContext("2d");
    const { left, top, w, h, around } = this.box;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.save();
    context.beginPath();
    // Older browsers have square corners.
    (context.roundRect ?? context.rect).call(context, left - around, top - around, w + 2 * around, h + 2 * around, 6);
    context.fillStyle = colours.ground;
    context.fill();
    context.strokeStyle = colours.edge;
    context.stroke();
    context.clip();
    this.#grid(context, colours);
    for (const layer of background) this.#layer(context, data, layer, null, 0, colours);
    layers.forEach((layer, i) => this.#layer(context, data, layer, next?.[i], part, colours));
    context.restore();
    this.#ticks(context, colours);
  }

  #layer(context, data, layer, next, part, colours) {
    const partner = next && next.kind === layer.kind && next.n === layer.n ? next : layer;
    const blocks = layer.at.map((at, i) => this.#pixels(data, at, partner.at[i], layer.n, part));
    context.globalAlpha = layer.faint ? FAINT : 1;
    context.strokeStyle = context.fillStyle = colours[layer.role];
    this[layer.kind](context, layer, ...blocks);
  }

  /** Coordinates of n marks in CSS pixels, part of the way from one block to another; NaN where missing. */
  #pixels(data, from, to, n, part) {
    const { left, top, w, h } = this.box;
    const step = BOXES / (2 * LARGEST);
    const xy = new Float32Array(2 * n);
    for (let i = 0; i < 2 * n; i++) {
      const a = data[2 * from + i], b = data[2 * to + i];
      const q = a === MISSING || b === MISSING ? NaN : step * (a + (b - a) * part);
      xy[i] = i % 2 ? top + h * (0.5 - q) : left + w * (0.5 + q);
    }
    return xy;
  }

  points(context, { size = 2 }, xy) {
    const dot = this.#dot(context.fillStyle, size);
    const side = dot.width / this.ratio, half = side / 2;
    context.globalAlpha *= 0.8; // crowds show as darker places
    for (let i = 0; i < xy.length; i += 2) {
      if (xy[i] === xy[i]) context.drawImage(dot, xy[i] - half, xy[i + 1] - half, side, side);
    }
  }

  /** A picture of one dot: stamping it is several times faster than filling a thousand circles. */
  #dot(colour, size) {
    const key = colour + size;
    if (!this.dots.has(key)) {
      const side = Math.ceil((2 * size + 2) * this.ratio);
      const dot = make("canvas", { width: side, height: side });
      const context = dot.getContext("2d");
      context.fillStyle = colour;
      context.arc(side / 2, side / 2, size * this.ratio, 0, 2 * Math.PI);
      context.fill();
      this.dots.set(key, dot);
    }
    return this.dots.get(key);
  }

  arrows(context, _, start, end) {
    const shafts = new Path2D(), heads = new Path2D();
    for (let i = 0; i < start.length; i += 2) {
      const [x, y] = [end[i], end[i + 1]], [dx, dy] = [x - start[i], y - start[i + 1]];
      const length = Math.hypot(dx, dy), head = Math.min(7, length / 2);
      if (!(length > 0.5)) continue; // nothing to see; also skips NaN
      const [ux, uy] = [(dx / length) * head, (dy / length) * head];
      shafts.moveTo(start[i], start[i + 1]);
      shafts.lineTo(x - ux * 0.7, y - uy * 0.7);
      heads.moveTo(x, y);
      heads.lineTo(x - ux - uy * 0.45, y - uy + ux * 0.45);
      heads.lineTo(x - ux + uy * 0.45, y - uy - ux * 0.45);
    }
    context.lineWidth = 1.4;
    context.stroke(shafts);
    context.fill(heads);
  }

  ellipses(context, _, centre, corner) {
    const alpha = context.globalAlpha;
    context.lineWidth = 1.5;
    for (let i = 0; i < centre.length; i += 2) {
      if (centre[i] !== centre[i]) continue;
      for (const [deviations, ink] of [[2, 0.45], [1, 1]]) {
        const radii = [0, 1].map((j) => Math.max(deviations * Math.abs(corner[i + j] - centre[i + j]), 0.75));
        context.beginPath();
        context.ellipse(centre[i], centre[i + 1], ...radii, 0, 0, 2 * Math.PI);
        context.globalAlpha = alpha * 0.12;
        context.fill();
        context.globalAlpha = alpha * ink;
        context.stroke();
      }
    }
  }

  curve(context, { dashed }, xy) {
    context.beginPath();
    for (let i = 0; i < xy.length; i += 2) {
      if (xy[i] === xy[i]) context[xy[i - 2] === xy[i - 2] ? "lineTo" : "moveTo"](xy[i], xy[i + 1]);
    }
    context.lineWidth = 2;
    context.lineJoin = context.lineCap = "round";
    context.setLineDash(dashed ? [5, 5] : []);
    context.stroke();
    context.setLineDash([]);
  }

  labels(context, { texts = [], bold, faint, anchor = "center" }, xy) {
    const size = Math.min(Math.max(this.width / 46, 12), 15); // legible on a phone, in step with the page elsewhere
    context.font = `${bold ? "bold " : ""}${size}px ${this.family}`;
    context.textAlign = anchor;
    context.textBaseline = "middle";
    if (faint) context.globalAlpha = FAINT_TEXT;
    texts.forEach((text, i) => context.fillText(text, xy[2 * i], xy[2 * i + 1])); // draws nothing at NaN
  }

  /** A sheet of pictures, with sharp pixels. */
  images(context, { sheet }, upper, lower) {
    const picture = this.sheets[sheet];
    if (!picture.complete || !picture.naturalWidth) return; // drawn when it has come
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, upper[0], upper[1], lower[0] - upper[0], lower[1] - upper[1]);
  }

  /** Where a position on the x axis (k = 0) or the y axis lies on the canvas. */
  #along(k, at) {
    const { left, top, w, h } = this.box, [low, high] = [this.panel.x, this.panel.y][k];
    const part = (at - low) / (high - low);
    return k ? top + h * (1 - part) : left + w * part;
  }

  /** A pale line at each tick. */
  #grid(context, colours) {
    const { left, top, w, h } = this.box, [xs, ys] = this.panel.ticks;
    context.beginPath();
    const line = (x, y, toX, toY) => (context.moveTo(x, y), context.lineTo(toX, toY));
    for (const [at] of xs) line(this.#along(0, at), top, this.#along(0, at), top + h);
    for (const [at] of ys) line(left, this.#along(1, at), left + w, this.#along(1, at));
    context.strokeStyle = colours.quiet;
    context.globalAlpha = 0.2;
    context.lineWidth = 1;
    context.stroke();
  }

  #ticks(context, colours) {
    const { left, top, w, h, around, beside } = this.box;
    const { ticks, labels } = this.panel;
    const below = top + h + around + 5, end = left - around - TICK_GAP;
    context.fillStyle = colours.quiet;
    context.font = this.#tickFont();
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const [at, text] of ticks[0]) context.fillText(text, this.#along(0, at), below);
    context.fillText(labels[0], left + w / 2, below + (ticks[0].length ? 17 : 0));
    context.save();
    context.translate(end - (beside && beside + 3), top + h / 2);
    context.rotate(-Math.PI / 2);
    context.textBaseline = "bottom";
    context.fillText(labels[1], 0, 0);
    context.restore();
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const [at, text] of ticks[1]) context.fillText(text, end, this.#along(1, at));
  }
}

// --- stepping

class View {
  constructor(model, el) {
    this.model = model;
    this.read();
    this.check();
    const { start, label, panels } = this.content;
    this.at = [...start]; // the index shown on each axis …
    this.part = 0; // … and how far it is to the next one, while moving along `this.axis`
    this.axis = start.length - 1;
    this.speed = 1;
    this.plots = panels.map((panel) => new Plot(panel, label));
    this.build(el);
    this.listen();
    this.refresh();
    if (this.content.autoplay && !lessMotion.matches) this.play(this.axis);
  }

  read() {
    this.content = this.model.get("content");
    const bytes = this.model.get("coordinates");
    // A copy: a DataView may start at an odd byte, where no Int16Array can.
    const from = bytes.byteOffset ?? 0;
    this.data = new Int16Array((bytes.buffer ?? bytes).slice(from, from + bytes.byteLength));
    const known = this.sheets ?? [];
    this.sheets = (this.content.sheets ?? []).map((text, i) => (known[i]?.text === text ? known[i] : this.#sheet(text)));
  }

  /** A sheet, which the browser decodes later. */
  #sheet(text) {
    const picture = Object.assign(new Image(), { text, onload: () => this.draw() });
    picture.src = `data:image/png;base64,${text}`;
    return picture;
  }

  /** Refuse a recording that was cut short or altered, before anything of it is shown. */
  check() {
    const { axes, panels, background, frames, start } = this.content, pairs = this.data.length / 2;
    const whole = ({ kind, panel, n, at, sheet = 0 }) =>
      KINDS.includes(kind) && panels[panel] && n >= 0 && at.length && at.every((i) => i >= 0 && i + n <= pairs) &&
      (kind !== "images" || this.sheets[sheet]);
    const layers = [background, ...frames.map((frame) => frame.layers)].flat();
    const product = axes.reduce((n, axis) => n * axis.values.length, 1);
    if (frames.length !== product || start.length !== axes.length || !layers.every(whole)) {
      throw new Error("its recording is incomplete");
    }
  }

  build(el) {
    const { label, axes } = this.content;
    this.rows = axes.map((axis, k) => this.#row(axis, k));
    this.sentence = make("span");
    this.longest = make("span", { className: "stepper-longest", ariaHidden: "true" });
    this.legend = make("span", { className: "stepper-legend" });
    this.stage = make("div", { className: "stepper-stage" }, ...this.plots.map((plot) => plot.node));
    const title = make("span", { className: "stepper-label", textContent: label });
    const rows = make("div", {}, ...this.rows.map((row) => row.node));
    this.root = make(
      "div",
      { className: "stepper mathjax_ignore", tabIndex: -1, role: "group", ariaLabel: label },
      make("div", { className: "stepper-head" }, title, this.legend),
      this.stage,
      make("div", { className: "stepper-controls" }, rows, this.#speeds()),
      make("div", { className: "stepper-text" }, this.longest, this.sentence),
    );
    // Keys pressed here are ours, not Jupyter's, which asks the element in focus before those around it.
    for (const node of [this.root, ...this.root.querySelectorAll("input, button, select")]) {
      node.dataset.lmSuppressShortcuts = "true";
    }
    el.append(this.root);
  }

  /** The controls of one axis: play button, name and value, slider. */
  #row(axis, k) {
    const button = make("button", { type: "button", className: "stepper-play" });
    const value = make("span", { ariaHidden: "true" }); // the slider's aria-valuetext says it
    const slider = make("input", { type: "range", min: 0, step: 1 });
    const name = make("span", { className: "stepper-axis", textContent: axis.name });
    const label = make("label", {}, name, value, slider);
    button.addEventListener("click", () => (this.playing && this.axis === k ? this.pause() : this.play(k)));
    slider.addEventListener("input", () => this.moveTo(k, Number(slider.value)));
    return { node: make("div", { className: "stepper-row" }, button, label), button, value, slider };
  }

  #speeds() {
    const options = SPEEDS.map((speed) => make("option", { value: speed, textContent: `${speed}×` }));
    const select = make("select", { className: "stepper-speed", ariaLabel: "Speed" }, ...options);
    select.value = this.speed;
    select.addEventListener("change", () => (this.speed = Number(select.value)));
    return select;
  }

  listen() {
    const ending = new AbortController(), { signal } = ending;
    const resized = new ResizeObserver(() => this.resize());
    const seen = new IntersectionObserver((entries) => {
      this.onScreen = entries.at(-1).isIntersecting;
      this.wake();
    });
    const changed = () => this.grow();
    resized.observe(this.stage);
    seen.observe(this.root);
    document.addEventListener("visibilitychange", () => this.wake(), { signal });
    onThemeChange(() => this.recolour(), signal);
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.model.on("change:content", changed);
    this.remove = () => {
      ending.abort();
      resized.disconnect();
      seen.disconnect();
      this.model.off("change:content", changed);
      cancelAnimationFrame(this.request);
      this.root.remove();
    };
  }

  // Where we are

  last(k) {
    return Math.max(this.content.axes[k].values.length - 1, 0);
  }

  /** The number of the frame at these indices: the last axis moves fastest. */
  index(at) {
    return at.reduce((sum, i, k) => sum * (this.last(k) + 1) + i, 0);
  }

  moveTo(k, i) {
    this.pause();
    this.axis = k;
    this.at[k] = Math.min(Math.max(i, 0), this.last(k));
    this.part = 0;
    this.refresh();
  }

  key(event) {
    if (!OWN_KEYS.includes(event.key) || event.target.matches("select")) return;
    event.stopPropagation();
    const k = this.rows.findIndex((row) => row.node.contains(event.target));
    const axis = k < 0 ? this.axis : k;
    if (event.key === " " && !event.target.matches("button")) {
      event.preventDefault();
      this.playing ? this.pause() : this.play(axis);
    }
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && !event.target.matches("input")) this.moveTo(axis, this.at[axis] + step);
  }

  // Moving

  play(k) {
    this.axis = k;
    this.following = false;
    if (this.at[k] >= this.last(k)) this.at[k] = 0;
    this.part = this.rest = 0;
    this.playing = true;
    this.refresh();
    this.wake();
  }

  pause() {
    this.playing = this.following = false;
    this.part = 0;
    this.refresh();
  }

  /** Go on moving, if there is reason to and someone to see it. */
  wake() {
    cancelAnimationFrame(this.request);
    if (!(this.playing || this.following) || !this.onScreen || document.hidden) return;
    this.before = performance.now();
    this.request = requestAnimationFrame((now) => this.tick(now));
  }

  tick(now) {
    if (!(this.playing || this.following)) return; // stopped since this was asked for
    const seconds = Math.min(Math.max(now - this.before, 0) / 1000, 0.1);
    this.before = now;
    if (this.rest > 0) this.#rest(seconds);
    else this.#advance(seconds);
    this.refresh();
    if (this.playing || this.following) this.request = requestAnimationFrame((then) => this.tick(then));
  }

  #advance(seconds) {
    const k = this.axis, last = this.last(k), { fps, autoplay } = this.content;
    const now = this.at[k] + this.part;
    // A live view glides to its newest frame, the faster the further it has fallen behind.
    const rate = this.following ? Math.max(fps, 6 * (last - now)) : fps * this.speed;
    const then = Math.min(now + rate * seconds, last);
    this.at[k] = Math.floor(then);
    this.part = then - this.at[k];
    if (then < last) return;
    this.following = false;
    if (autoplay && this.playing) this.rest = REST;
    else this.playing = false;
  }

  #rest(seconds) {
    this.rest -= seconds;
    if (this.rest <= 0) this.at[this.axis] = this.part = 0;
  }

  /** New frames have come in, or others: go to the newest, unless the reader is at an older one. */
  grow() {
    const atEnd = this.following || this.at[0] >= this.last(0);
    this.read();
    this.plots.forEach((plot, p) => plot.become(this.content.panels[p]));
    this.at = this.at.map((i, k) => Math.min(i, this.last(k)));
    if (atEnd && !this.playing) {
      this.axis = 0;
      this.following = this.onScreen && !document.hidden && !lessMotion.matches && this.last(0) > 0;
      if (!this.following) this.at[0] = this.last(0);
    }
    this.refresh();
    if (this.following) this.wake();
  }

  // Showing

  resize() {
    const sized = this.plots.map((plot) => plot.resize());
    this.sized = sized.every(Boolean);
    this.recolour();
  }

  recolour() {
    this.root.dataset.theme = pageIsDark() ? "dark" : "light";
    const style = getComputedStyle(this.root);
    const colour = (role) => style.getPropertyValue(`--stepper-${role}`);
    this.colours = Object.fromEntries(ROLES.map((role) => [role, colour(role)]));
    this.draw();
  }

  refresh() {
    const { axes, frames } = this.content, index = this.index(this.at);
    const still = !(this.playing || this.following);
    if (this.frames !== frames) this.#describe(frames);
    this.sentence.ariaLive = still ? "polite" : "off";
    const text = frames[index]?.text ?? "Waiting for the first frame.";
    if (this.sentence.textContent !== text) this.sentence.textContent = text;
    axes.forEach(({ name, values }, k) => this.#showRow(this.rows[k], name, values, k));
    Object.assign(this.root.dataset, { frame: index, frames: frames.length, playing: !still });
    this.draw();
  }

  #showRow({ button, value, slider }, name, values, k) {
    const on = Boolean(this.playing && this.axis === k), now = values[this.at[k]] ?? "–";
    slider.max = this.last(k);
    slider.value = this.at[k];
    slider.disabled = button.disabled = values.length < 2;
    if (value.textContent !== ` = ${now}`) {
      value.textContent = ` = ${now}`;
      slider.setAttribute("aria-valuetext", now);
    }
    if (button.dataset.on === String(on)) return;
    button.dataset.on = on;
    button.ariaLabel = `${on ? "Pause" : "Play"} along ${name}`;
    const icon = on ? ICONS.pause : ICONS.play;
    button.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${icon}"/></svg>`;
  }

  /** What depends on all frames: the legend, and the longest sentence, which keeps its place free. */
  #describe(frames) {
    this.frames = frames;
    const longer = (text, frame) => (frame.text.length > text.length ? frame.text : text);
    this.longest.textContent = frames.reduce(longer, "");
    const named = new Map();
    const layers = [this.content.background, ...frames.map((frame) => frame.layers)].flat();
    for (const { kind, role, name, dashed } of layers) {
      if (!name || named.has(kind + role + name)) continue;
      const entry = make("span", { innerHTML: legendMark(kind, role, dashed) });
      entry.append(name);
      named.set(kind + role + name, entry);
    }
    this.legend.replaceChildren(...named.values());
  }

  draw() {
    if (!this.sized) return;
    const { frames, background } = this.content;
    const ahead = this.at.map((i, k) => (k === this.axis ? Math.min(i + 1, this.last(k)) : i));
    const now = frames[this.index(this.at)]?.layers ?? [], next = frames[this.index(ahead)]?.layers;
    const part = lessMotion.matches ? 0 : this.part;
    this.plots.forEach((plot, p) => {
      const mine = (layer) => layer.panel === p;
      plot.sheets = this.sheets;
      plot.draw(this.data, background.filter(mine), now.filter(mine), next?.filter(mine), part, this.colours);
    });
    this.root.dataset.drawn = "true";
  }
}

export default {
  render({ model, el }) {
    const view = new View(model, el);
    view.resize(); // the first picture at once, so that who asked for it hears of a failure
    return () => view.remove();
  },
};
