// The lab: a page on which a reader trains models of their own choice, in their own tab. lab_settings.js knows what
// can be set and what it means; the engine trains; the Stepper shows. Nothing starts by itself.
(() => {
  const { make, Recording, finding, sentence } = globalThis.bookLive;
  const { GROUPS, DATA, CONTROLS, SHAPES, ...lab } = globalThis.labSettings;
  const { slicedWasserstein } = globalThis.diffusionTrainer.tables;
  const STEPPER = "diffusion_lib.show.widgets.stepper.Stepper";
  const PAPER = 240, PEN = 14; // pixels of the drawing, and of its pen
  const INK = "#3f8fc5"; // legible on light and dark
  const FAR = 10; // noise floors at which samples have missed the data
  const MOST = 1000; // noise floors that the distance's axis has: what is beyond lies on its edge
  const OFFER = "Guess what you'll see, then press Train. Nothing leaves this page.";

  // --- the picture: a Stepper of training step and t, which grows

  /** What a widget asks of its model: its traits, and to hear of new content. */
  function modelOf(traits) {
    const listeners = new Set();
    return {
      get: (name) => traits[name],
      set(name, value) {
        traits[name] = value;
        if (name === "content") listeners.forEach((listener) => listener());
      },
      on: (_, listener) => listeners.add(listener),
      off: (_, listener) => listeners.delete(listener),
    };
  }

  const plain = { equal: true, aspect: 1, wide: false, ticks: [[], []], labels: ["", ""] };
  const floors = [[1, "1×"], [10, "10×"], [100, "100×"], [MOST, `≥ ${MOST}×`]];

  function panels(box, steps) {
    const square = { ...plain, x: [-box, box], y: [-box, box] };
    const marks = [...new Set([128, 16, 4, 1].map((part) => Math.max(1, Math.round(steps / part))))];
    const distance = {
      ...plain,
      equal: false,
      title: "Distance, in noise floors",
      x: [Math.log(marks[0]) - 0.1, Math.log(steps) + 0.1],
      y: [Math.log(0.5), Math.log(MOST)],
      ticks: [marks.map((n) => [Math.log(n), String(n)]), floors.map(([r, text]) => [Math.log(r), text])],
      labels: ["training step", ""],
    };
    return [
      { ...square, title: "Samples over data" },
      distance,
      { ...square, title: "The score at t" },
      { ...square, title: "Before" },
    ];
  }

  class Picture {
    /** Without frames it is empty, so that it can be looked at before a training; `before` are earlier samples. */
    constructor(el, data, settings, before) {
      Object.assign(this, { el, data, settings, before, history: [], schedule: lab.scheduleOf(settings) });
      this.t = lab.scoreSteps(settings);
      this.starts = lab.grid(data.box);
      const content = { label: "The lab", panels: panels(data.box, settings.steps), background: [], fps: 12 };
      const coordinates = new DataView(new ArrayBuffer(0));
      this.recording = new Recording(modelOf({ content: { ...content, axes: [], frames: [] }, coordinates }));
      this.recording.empty([{ name: "training step", values: [] }, { name: "t", values: this.t.map(String) }]);
      this.background(this.recording);
      this.recording.show();
      this.remove = globalThis.bookWidgets[STEPPER].render({ model: this.recording.model, el });
    }

    background(recording) {
      const { content, shown } = recording, [, { x }] = content.panels;
      shown.background = [
        recording.layer("points", "data", 0, this.data.real, { faint: true, name: "data" }),
        recording.layer("curve", "data", 1, [x[0], 0, x[1], 0], { dashed: true, name: "noise floor" }),
        ...[2, 3].map((panel) => recording.layer("points", "data", panel, this.data.real, { faint: true })),
      ];
      shown.start = [0, Math.floor(this.t.length / 2)];
    }

    /** A row of frames, one for each t: the same samples beside its score. */
    add(value, text, layers, fields = []) {
      const { recording, t } = this, { axes: [training, reverse], frames } = recording.shown;
      const row = t.map((_, k) => ({ text, layers: [...layers, ...(fields[k] ?? [])] }));
      const axes = [{ ...training, values: [...training.values, value] }, reverse];
      recording.shown = { ...recording.shown, axes, frames: [...frames, ...row] };
      recording.show();
    }

    preview() {
      this.add("0", "These are the points to learn from. What will be there after a hundred steps?", []);
    }

    /** What the engine has found: samples, and what the network says at the grid. */
    take(picture) {
      const { step } = picture, distance = this.distance(picture.samples);
      if (step) this.history.push(Math.log(step), Math.log(Math.min(distance / this.data.unit, MOST)));
      const text = sentence(picture, distance, this.data, this.recording.content.panels[0]);
      this.add(String(step), text, this.samples(picture), this.scores(picture));
      this.latest = picture.samples;
    }

    /** Samples of the trained model, by another sampler. */
    again(picture, name) {
      const { samples } = picture, [panel] = this.recording.content.panels;
      [this.before, this.latest] = [this.latest, samples];
      const text = `The same model, ${name}: ${finding(samples, this.distance(samples), this.data, panel)}.`;
      this.add("end, sampled anew", text, this.samples(picture), this.scores(picture));
    }

    distance(samples) {
      const distance = samples.every(Number.isFinite) ? slicedWasserstein(samples, this.data.real) : NaN;
      this.floors = distance / this.data.unit;
      return distance;
    }

    samples({ samples }) {
      const { recording, history, before } = this;
      this.el.classList.toggle("lab-compares", Boolean(before));
      return [
        ...(before ? [recording.layer("points", "model", 3, before)] : []),
        recording.layer("points", "model", 0, samples, { name: "samples" }),
        recording.layer("curve", "model", 1, history),
        recording.layer("points", "model", 1, history, { size: 3 }),
      ];
    }

    scores({ field }) {
      const { recording, schedule, starts, data: { box }, settings: { target } } = this;
      return this.t.map((t, k) => {
        const ends = lab.scoreArrows(starts, field[k], schedule, t, target, box);
        return [recording.arrows("accent", 2, starts, ends, { name: "score" })];
      });
    }
  }

  // --- the controls

  let inputs = 0;

  /** An input with its label above and, below, what to expect of it. */
  function labelled(text, input, hint) {
    const id = `lab-${++inputs}`;
    input.id = id;
    input.setAttribute("aria-describedby", `${id}-hint`);
    const label = make("label", { htmlFor: id, textContent: text });
    const said = make("span", { className: "lab-hint", id: `${id}-hint`, textContent: hint });
    return make("div", { className: "lab-control" }, label, input, said);
  }

  /** For each kind of control: its elements, how to show a value, and the value shown, as text. */
  const KINDS = {
    number({ label, hint, low, high, step }) {
      const input = make("input", { type: "number", min: low, max: high, step: step || "any" });
      return { node: labelled(label, input, hint), show: (x) => (input.value = x), text: () => input.value };
    },
    text({ label, hint, longest }) {
      const input = make("input", { type: "text", maxLength: longest, autocomplete: "off" });
      return { node: labelled(label, input, hint), show: (text) => (input.value = text), text: () => input.value };
    },
    choice({ label, hint, options }) {
      const all = Object.entries(options).map(([value, textContent]) => make("option", { value, textContent }));
      const input = make("select", {}, ...all);
      return { node: labelled(label, input, hint), show: (name) => (input.value = name), text: () => input.value };
    },
    switches({ options }) {
      const boxes = Object.entries(options).map(([value]) => make("input", { type: "checkbox", value }));
      const rows = Object.values(options).map(([label, hint], i) => labelled(label, boxes[i], hint));
      return {
        node: make("div", { className: "lab-switches" }, ...rows),
        show: (names) => boxes.forEach((box) => (box.checked = names.includes(box.value))),
        text: () => boxes.filter((box) => box.checked).map((box) => box.value).join(","),
      };
    },
  };

  function inWords({ kind, label, options }, value) {
    if (kind === "switches") return value.map((name) => options[name][0]).join("; ");
    return kind === "choice" ? options[value] : `${label} = ${value}`;
  }

  // --- drawing

  class Paper {
    constructor(changed) {
      this.canvas = make("canvas", { className: "lab-paper", width: PAPER, height: PAPER, role: "img" });
      this.canvas.ariaLabel = "Paper to draw on, with a finger or a mouse";
      this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
      Object.assign(this.pen, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: INK, fillStyle: INK });
      const up = () => this.at && ((this.at = null), changed());
      this.canvas.addEventListener("pointerdown", (event) => {
        this.canvas.setPointerCapture(event.pointerId);
        this.at = this.where(event);
        this.line(event);
      });
      this.canvas.addEventListener("pointermove", (event) => this.at && this.line(event));
      for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, up);
    }

    where({ offsetX, offsetY }) {
      const scale = PAPER / this.canvas.clientWidth;
      return [offsetX * scale, offsetY * scale];
    }

    line(event) {
      const to = this.where(event);
      this.pen.beginPath();
      this.pen.moveTo(...this.at);
      this.pen.lineTo(...to);
      this.pen.stroke();
      this.at = to;
    }

    /** Wipe it, and write letters as large as fit. */
    write(letters) {
      this.pen.clearRect(0, 0, PAPER, PAPER);
      this.pen.textAlign = "center";
      this.pen.textBaseline = "middle";
      this.pen.font = "bold 100px sans-serif";
      const size = Math.min(2.1, (0.9 * PAPER) / (this.pen.measureText(letters).width || 1));
      this.pen.font = `bold ${100 * size}px sans-serif`;
      this.pen.fillText(letters, PAPER / 2, PAPER / 2);
    }

    ink() {
      const { data } = this.pen.getImageData(0, 0, PAPER, PAPER), pixels = [];
      for (let i = 0; i < PAPER * PAPER; i++) {
        if (data[4 * i + 3] > 127) pixels.push([i % PAPER, Math.floor(i / PAPER)]);
      }
      return pixels;
    }
  }

  // --- the page

  class Lab {
    constructor(place) {
      this.controls = Object.fromEntries(Object.entries(CONTROLS).map(([name, one]) => [name, KINDS[one.kind](one)]));
      this.paper = new Paper(() => this.look());
      this.button = make("button", { type: "button", className: "lab-main", textContent: "Train" });
      this.anew = make("button", { type: "button", textContent: "Sample again", disabled: true });
      this.said = make("p", { className: "lab-said", role: "status" });
      this.stage = make("div", { className: "lab-stage" });
      const copy = make("button", { type: "button", textContent: "Copy link" });
      const reset = make("button", { type: "button", textContent: "Reset" });
      const row = make("div", { className: "lab-buttons" }, this.button, this.anew, copy, reset);
      const settings = make("div", { className: "lab-settings" }, this.data(), ...this.groups());
      const side = make("div", { className: "lab-side" }, row, this.said, this.stage);
      place.replaceChildren(make("div", { className: "lab-page" }, settings, side));
      this.button.addEventListener("click", () => (this.run ? this.run.stop() : this.train()));
      this.anew.addEventListener("click", () => this.sampleAgain());
      copy.addEventListener("click", () => this.copy());
      reset.addEventListener("click", () => this.set(lab.defaults(), OFFER));
      for (const [name, { node }] of Object.entries(this.controls)) {
        node.addEventListener(CONTROLS[name].kind === "text" ? "input" : "change", () => this.change(name));
      }
      addEventListener("hashchange", () => location.hash.includes("=") && this.open());
      this.open();
    }

    data() {
      const clear = make("button", { type: "button", textContent: "Clear" });
      clear.addEventListener("click", () => this.clear());
      const beside = make("div", {}, this.controls.letters.node, clear);
      this.drawing = make("div", { className: "lab-drawing" }, this.paper.canvas, beside);
      return make("div", { className: "lab-data" }, this.controls.data.node, this.drawing);
    }

    groups() {
      this.opened = [];
      return Object.entries(GROUPS).map(([title, members]) => {
        const changed = make("span", { className: "lab-changed" });
        const nodes = Object.keys(members).map((name) => this.controls[name].node);
        const summary = make("summary", {}, make("span", { textContent: title }), changed);
        const grid = make("div", { className: "lab-grid" }, ...nodes);
        const group = make("details", { className: "lab-group" }, summary, grid);
        this.opened.push({ group, members, changed });
        return group;
      });
    }

    /** Take the settings of the address. */
    open() {
      const { settings, ignored } = lab.fromFragment(location.hash);
      const words = `The address asks for ${ignored.join(", ")}. That can't be, so we left it out.`;
      this.set(settings, ignored.length ? words : OFFER);
      this.reveal();
    }

    /** Take all settings, and show what they say. */
    set(settings, words) {
      const before = this.settings ?? {}, written = settings.letters !== before.letters;
      this.settings = settings;
      for (const [name, control] of Object.entries(this.controls)) control.show(settings[name]);
      if (written) this.paper.write(settings.letters);
      this.said.textContent = words;
      this.show();
      if (settings.data !== before.data || (written && settings.data === "drawing")) this.look();
    }

    clear() {
      this.set({ ...this.settings, letters: "" }, "");
      this.paper.write("");
      this.look();
    }

    change(name) {
      const text = this.controls[name].text(), value = lab.read(name, text);
      if (value === undefined) return this.refuse(name, text);
      const words = this.advice(name, value);
      this.set({ ...this.settings, [name]: value }, words);
    }

    /** What a change asks for: a new training, or only new samples. */
    advice(name, value) {
      if (this.run) return "This holds from the next training on.";
      if (!this.trained || name === "data" || name === "letters") return OFFER;
      const root = (slips) => slips.includes("root"); // the one slip of training
      const slip = name === "slips" && root(value) === root(this.settings.slips);
      if (slip || name === "sampler" || name === "jumps") return "Press Sample again: the trained network can stay.";
      return "This needs a new training. The picture is still that of the old one.";
    }

    refuse(name, text) {
      const { label, low, high, step } = CONTROLS[name], kind = { 0: "a number", 1: "a whole number" }[step];
      const take = `take ${kind ?? `a multiple of ${step}`} from ${low} to ${high}`;
      this.said.textContent = `${label} = ${text || "nothing"} can't be: ${take}.`;
      this.controls[name].show(this.settings[name]);
    }

    show() {
      const fragment = lab.toFragment(this.settings);
      if (fragment !== (location.hash || "#")) history.replaceState(null, "", fragment);
      this.drawing.hidden = this.settings.data !== "drawing";
      for (const { members, changed } of this.opened) {
        const other = ([name, { start }]) => String(this.settings[name]) !== String(start);
        const words = Object.entries(members).filter(other).map(([name, one]) => inWords(one, this.settings[name]));
        changed.textContent = words.join(", ");
      }
    }

    /** Open what has been changed. */
    reveal() {
      for (const { group, changed } of this.opened) group.open = Boolean(changed.textContent);
    }

    async copy() {
      const own = this.settings.data === "drawing" ? " What you drew by hand isn't part of it." : "";
      try {
        await navigator.clipboard.writeText(location.href);
        this.said.textContent = `Copied: who opens this link finds your settings.${own}`;
      } catch {
        this.said.textContent = `Your browser doesn't let a page copy. The link is in the address bar.${own}`;
      }
    }

    /** The points to learn from, or nothing, with a sentence. */
    points() {
      const { data } = this.settings, ink = data === "drawing" ? this.paper.ink() : [[0, 0]];
      if (!ink.length) this.said.textContent = "The sheet is empty. Draw something, or type a letter.";
      return ink.length ? lab.dataset(SHAPES[data] ?? lab.ofInk(ink)) : null;
    }

    /** Show the points alone. */
    look() {
      if (this.run) return;
      const points = this.points();
      if (points) this.picture(points).preview();
      else this.forget();
    }

    /** Without the picture, and without the model that it shows. */
    forget() {
      this.shown?.remove();
      this.shown = this.trained = null;
      this.anew.disabled = true;
      this.stage.classList.remove("lab-compares");
    }

    /** A new picture, beside what is there of the one before. */
    picture(points, before) {
      this.forget();
      const picture = new Picture(this.stage, points, this.settings, before);
      this.shown = picture;
      return picture;
    }

    train() {
      const points = this.points();
      if (!points) return;
      const { settings } = this, engine = lab.engineSettings(settings, points);
      const picture = this.picture(points, this.shown?.latest);
      this.start(engine, (found) => picture.take(found), (end) => {
        if (end.weights?.length) this.trained = { engine, settings, weights: end.weights, picture, seed: 0 };
        this.said.textContent = this.ending(end, picture.floors);
      });
      this.said.textContent = "Training in your browser.";
    }

    sampleAgain() {
      const { engine, settings, weights, picture } = this.trained, { sampler, jumps, slips } = this.settings;
      const chosen = { ...settings, sampler, jumps, slips }, last = this.trained.chosen ?? settings;
      const unchanged = lab.toFragment(chosen) === lab.toFragment(last);
      if (unchanged) this.trained.seed++;
      this.trained.chosen = chosen;
      const name = [inWords(CONTROLS.sampler, sampler), `${Math.min(jumps, settings.T)} steps`];
      if (slips.length) name.push(`with ${inWords(CONTROLS.slips, slips)}`);
      if (unchanged) name.push("from other noise");
      const again = lab.samplingAgain(engine, weights, chosen, this.trained.seed);
      this.start(again, (found) => picture.again(found, name.join(", ")), (end) => {
        this.said.textContent = end.reason === "done" ? "Sampled again, with the model as it was." : this.ending(end);
      });
    }

    start(engine, onPicture, onEnd) {
      this.button.textContent = "Stop";
      this.anew.disabled = true;
      this.run = globalThis.diffusionTrainer.start(engine, {
        onPicture,
        onEnd: (end) => {
          this.run = null;
          this.button.textContent = "Train";
          onEnd(end);
          this.anew.disabled = !this.trained;
          this.button.disabled = end.reason === "unavailable";
        },
      });
    }

    ending({ reason, message, step, seconds }, floors) {
      const far = "But the samples are far from the data: look at what you've set.";
      const next = floors < FAR ? "Drag the sliders." : far;
      return {
        done: () => `Trained in your browser: ${step} steps in ${seconds.toFixed(1)} s. ${next}`,
        stopped: () => "Stopped. The pictures so far stay.",
        diverged: () => `The training diverged: ${message}. Try a smaller learning rate.`,
        failed: () => `The training failed: ${message}.`,
        unavailable: () => `Your browser doesn't let a page train (${message}). Chapter 5 shows a recording.`,
      }[reason]();
    }
  }

  /** A button in the text that sets up an experiment. */
  function offer(experiment, page) {
    experiment.addEventListener("click", () => {
      const { settings } = lab.fromFragment(experiment.dataset.settings);
      page.set(settings, "It's set up. Make your guess, then press Train.");
      page.reveal();
      page.button.focus({ preventScroll: true });
      place.scrollIntoView();
    });
  }

  const place = document.getElementById("lab"), page = new Lab(place);
  for (const experiment of document.querySelectorAll("button[data-settings]")) offer(experiment, page);
})();
