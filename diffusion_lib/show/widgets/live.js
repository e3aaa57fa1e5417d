// Training to watch, in the page itself: what live.py shows of PyTorch's training, shown of the engine's.
//
// A recorded Stepper whose content has a `trainer` gets a Train button. Its pictures are appended to the recording
// just as live.py appends them, so the Stepper knows nothing of training:
//
//     trainer   {settings, unit, has_floor}   the engine's settings (session.js), and the distance's unit
//     follows   {t, points, text}             a Stepper of training step and t that shows the same model
//
// Nothing starts by itself, and nothing leaves the page.

globalThis.bookLive = (() => {
  const MISSING = -32768, LARGEST = 32767, BOXES = 3; // as in stepper.py
  const TRAINED = "book-trained"; // the event that tells other widgets of a model that has been trained
  const OFFER = "This is a recording. Press the button, and the same model learns in your browser, from other " +
    "random numbers. Nothing leaves this page.";
  const OUTSIDE = [[0.5, "most"], [0.05, "some"]]; // shares of the samples out of the picture, in words

  function make(tag, properties, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  }

  const round = (x, digits) => Number(x).toFixed(digits);
  const thousands = (n) => n.toLocaleString("en");

  /** Points, flat, as a Stepper keeps them: whole numbers, counted from the middle of the panel's box. */
  function quantise(points, { x, y }) {
    const scale = (at, [low, high]) => Math.round(((at - low) / (high - low) - 0.5) * ((2 * LARGEST) / BOXES));
    return Int16Array.from(points, (at, i) => {
      const step = scale(at, i % 2 ? y : x);
      return Number.isFinite(at) ? Math.min(Math.max(step, -LARGEST), LARGEST) : MISSING;
    });
  }

  /** The inverse of `quantise`, up to rounding. */
  function dequantise(steps, { x, y }) {
    return Float32Array.from(steps, (step, i) => {
      const [low, high] = i % 2 ? y : x;
      return low + (high - low) * (0.5 + (step * BOXES) / (2 * LARGEST));
    });
  }

  /** A Stepper's recording that grows frame by frame. */
  class Recording {
    constructor(model) {
      this.model = model;
      this.kept = ["coordinates", "content"].map((trait) => [trait, model.get(trait)]); // the last one is listened to
      const bytes = model.get("coordinates"), from = bytes.byteOffset ?? 0;
      this.recorded = new Int16Array((bytes.buffer ?? bytes).slice(from, from + bytes.byteLength));
      this.content = model.get("content");
    }

    /** Without frames; the background stays. */
    empty(axes) {
      this.parts = [this.recorded];
      this.pairs = this.recorded.length / 2;
      this.shown = { ...this.content, axes, frames: [], start: axes.map(() => 0), autoplay: false };
    }

    /** A layer of marks at points, flat. */
    layer(kind, role, panel, points, options = {}) {
      const steps = quantise(points, this.content.panels[panel]), at = [this.pairs], n = points.length / 2;
      this.parts.push(steps);
      this.pairs += n;
      return { kind, role, panel, n, at, ...options };
    }

    /** The points of a background's layer, flat, in the panel's units. */
    background(i) {
      const { panel, at, n } = this.content.background[i];
      return dequantise(this.recorded.subarray(2 * at[0], 2 * (at[0] + n)), this.content.panels[panel]);
    }

    /** Let the view see what has been added. */
    show() {
      const all = new Int16Array(2 * this.pairs);
      let from = 0;
      for (const part of this.parts) {
        all.set(part, from);
        from += part.length;
      }
      this.parts = [all];
      this.model.set("coordinates", new DataView(all.buffer));
      this.model.set("content", this.shown);
    }

    restore() {
      for (const [trait, value] of this.kept) this.model.set(trait, value);
    }
  }

  /** A line over a view's pictures, so that a phone shows both: buttons, and what is going on. */
  function line(el, ...buttons) {
    const said = make("span", { className: "stepper-said", role: "status" });
    const node = make("div", { className: "stepper-train" }, ...buttons, said);
    for (const button of buttons) button.dataset.lmSuppressShortcuts = "true";
    el.querySelector(".stepper-head").after(node);
    return said;
  }

  const newButton = (text, onclick) => {
    const button = make("button", { type: "button", className: "stepper-button", textContent: text });
    button.addEventListener("click", onclick);
    return button;
  };

  /** The share of samples, flat, outside a panel's box. */
  function outside(samples, { x, y }) {
    const far = (at, [low, high]) => !(at >= low && at <= high);
    let n = 0;
    for (let i = 0; i < samples.length; i += 2) n += far(samples[i], x) || far(samples[i + 1], y);
    return (2 * n) / samples.length;
  }

  /** What is said of samples and of their distance to data; `panel` is the one that shows them. */
  function finding(samples, distance, { unit, has_floor }, panel) {
    let found = `distance to data ${round(distance / unit, 1)} × the noise floor`;
    if (!has_floor) found = `distance to data ${distance.toPrecision(2)}; no noise floor: fresh data never differs`;
    if (Number.isNaN(distance)) found = "its samples are not finite numbers";
    const share = outside(samples, panel), word = OUTSIDE.find(([least]) => share > least)?.[1];
    return word ? `${found} (${word} samples lie outside the picture)` : found;
  }

  /** What is said of a picture, as live.py says it. */
  function sentence({ step, steps, loss, seconds, sampling, samples }, distance, scale, panel) {
    const found = finding(samples, distance, scale, panel);
    if (step === 0) return `Before training: ${found}.`;
    const progress = `loss ${round(loss, 3)}, ${found}`, rate = step / (seconds - sampling);
    if (step === steps) return `Trained ${step} steps in ${round(seconds, 1)} s: ${progress}.`;
    const left = round((steps - step) / rate, 1);
    return `Step ${step} of ${steps}: ${progress}, ${round(rate, 0)} steps/s, ${left} s left.`;
  }

  class Training {
    constructor(model, el) {
      this.recording = new Recording(model);
      this.trainer = this.recording.content.trainer;
      this.real = this.recording.background(0);
      this.runs = 0;
      this.button = newButton("Train it here", () => (this.run ? this.run.stop() : this.begin()));
      this.back = newButton("Show the recording", () => this.restore());
      this.back.hidden = true;
      this.said = line(el, this.button, this.back);
      this.said.textContent = OFFER;
    }

    begin() {
      const { settings } = this.trainer, training = { ...settings.training, seed: ++this.runs };
      this.history = [];
      this.pictures = [];
      this.recording.empty([{ name: this.recording.content.axes[0].name, values: [] }]);
      this.recording.show();
      this.button.textContent = "Stop";
      this.back.hidden = true;
      this.said.textContent = "Training in your browser.";
      this.run = diffusionTrainer.start(
        { ...settings, training },
        { onPicture: (picture) => this.picture(picture), onEnd: (end) => this.end(end) },
      );
    }

    picture(picture) {
      const { step, samples } = picture, { recording, trainer, history } = this;
      const finite = samples.every(Number.isFinite);
      const distance = finite ? diffusionTrainer.tables.slicedWasserstein(samples, this.real) : NaN;
      if (step) history.push(Math.log(step), Math.log(distance / trainer.unit));
      const layers = [
        recording.layer("points", "model", 0, samples),
        recording.layer("curve", "model", 1, history),
        recording.layer("points", "model", 1, history, { size: 3 }),
      ];
      const text = this.sentence(picture, distance);
      const { axes: [axis], frames } = recording.shown;
      const axes = [{ ...axis, values: [...axis.values, String(step)] }];
      recording.shown = { ...recording.shown, axes, frames: [...frames, { text, layers }], start: [frames.length] };
      recording.show();
      this.pictures.push(picture);
    }

    sentence(picture, distance) {
      return sentence(picture, distance, this.trainer, this.recording.content.panels[0]);
    }

    end({ reason, message, step, seconds, losses = [], weights = [] }) {
      this.run = null;
      this.report({ reason, message, seconds, losses, weights: weights.map((array) => Array.from(array)) });
      this.button.textContent = "Train again";
      this.back.hidden = !this.recording.content.frames.length; // in a notebook there is none
      if (!this.pictures.length) this.restore();
      this.said.textContent = {
        done: () => `Trained in your browser: ${thousands(step)} steps in ${round(seconds, 1)} s.`,
        stopped: () => "Stopped. The pictures so far stay.",
        diverged: () => `The training went astray: ${message}. The pictures show how far it got.`,
        failed: () => `The training failed: ${message}.`,
        unavailable: () => `Your browser doesn't let a page train (${message}). Here is the recording.`,
      }[reason]();
      if (reason === "unavailable") this.button.disabled = true;
      if (this.pictures.length) {
        document.dispatchEvent(new CustomEvent(TRAINED, { detail: { pictures: this.pictures } }));
      }
    }

    /** In a notebook the kernel hears of the end, and keeps the pictures. */
    report(trained) {
      this.recording.model.set("trained", trained);
      this.recording.model.save_changes();
    }

    restore() {
      this.recording.restore();
      this.back.hidden = true;
      this.said.textContent = OFFER;
      document.dispatchEvent(new CustomEvent(TRAINED, { detail: { pictures: null } }));
    }
  }

  /** A Stepper of training step and t: it shows the model that was trained on its page. */
  class Follower {
    constructor(model, el) {
      this.recording = new Recording(model);
      this.said = line(el);
      document.addEventListener(TRAINED, ({ detail: { pictures } }) => this.show(pictures));
    }

    show(pictures) {
      const { recording } = this, { t: steps, points, text } = recording.content.follows;
      if (!pictures) {
        recording.restore();
        this.said.textContent = "";
        return;
      }
      const [training, reverse] = recording.content.axes;
      recording.empty([{ ...training, values: pictures.map(({ step }) => String(step)) }, reverse]);
      for (const { step, states } of pictures) {
        for (const t of steps) {
          const cloud = states[states.length - 1 - t].subarray(0, 2 * points);
          const said = text.replace("{step}", step).replace("{t}", t);
          recording.shown.frames.push({ text: said, layers: [recording.layer("points", "model", 0, cloud)] });
        }
      }
      recording.shown.start = [pictures.length - 1, steps.length - 1];
      recording.show();
      this.said.textContent = "This is the model that was just trained above, in your browser.";
    }
  }

  /** Give a drawn view what its content asks for; with `atOnce`, a training begins that isn't there yet. */
  function attach(model, el, { atOnce = false } = {}) {
    const { trainer, follows, frames } = model.get("content");
    const training = trainer && new Training(model, el);
    if (atOnce && !frames.length) training.begin();
    if (follows) new Follower(model, el);
  }

  return { attach, Recording, make, finding, sentence };
})();
