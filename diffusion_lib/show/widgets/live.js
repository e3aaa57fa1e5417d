// Training to watch, in the page itself: what live.py shows of PyTorch's training, shown of the engine's.
//
// A recorded Stepper whose content has a `trainer` gets a Train button. Its pictures are appended to the recording
// just as live.py appends them, so the Stepper knows nothing of training:
//
//     trainer   {settings, unit, has_floor, panel}
//                                             the engine's settings (session.js), the distance's unit, and where the
//                                             recording shows something else, the distance's panel
//     follows   {t, points, text}             a Stepper of training step and t that shows the same model
//               {points, arrows, texts}       one of t, from T to 0, that shows its guesses of x_0, too
//               {points, asked}               one of what it draws for each {label, guidance}
//
// Nothing starts by itself, and nothing leaves the page.

globalThis.bookLive = (() => {
  const { Recording } = globalThis.bookRecording;
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

  /** The guesses of x_0 at points of step t, flat, from what the network says: its target, solved for x_0. */
  function guesses(x_t, outputs, t, process) {
    const [signal, noise, a, b] = ["signal", "noise", "target_x_0", "target_eps"].map((name) => process[name][t]);
    return x_t.map((x, i) => (noise * outputs[i] - b * x) / (noise * a - signal * b));
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
      if (this.trainer.panel) this.recording.shown.panels = [this.recording.content.panels[0], this.trainer.panel];
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
      const { pictures, trainer: { settings } } = this;
      if (pictures.length) document.dispatchEvent(new CustomEvent(TRAINED, { detail: { pictures, settings } }));
    }

    /** In a notebook the kernel hears of the end, and keeps the pictures and their weights. */
    report(end) {
      const { recording: { model }, pictures } = this, all = pictures.flatMap(({ weights }) => weights);
      const snapshots = Float32Array.from(all.flatMap((array) => Array.from(array)));
      model.set("snapshots", new DataView(snapshots.buffer));
      model.set("trained", { ...end, steps: pictures.map(({ step }) => step) });
      model.save_changes();
    }

    restore() {
      this.recording.restore();
      this.back.hidden = true;
      this.said.textContent = OFFER;
      document.dispatchEvent(new CustomEvent(TRAINED, { detail: { pictures: null } }));
    }
  }

  const average = (numbers) => numbers.reduce((a, b) => a + b, 0) / numbers.length;

  /** A Stepper that shows the model that was trained on its page. */
  class Follower {
    constructor(model, el) {
      this.recording = new Recording(model);
      this.said = line(el);
      document.addEventListener(TRAINED, ({ detail: { pictures, settings } }) => {
        this.asking?.stop();
        if (pictures) this.show(pictures, settings);
        else this.restore();
      });
    }

    restore() {
      this.recording.restore();
      this.said.textContent = "";
    }

    show(pictures, settings) {
      const { follows: { asked, texts } } = this.recording.content, last = pictures[pictures.length - 1];
      if (asked) return this.ask(last.weights, settings);
      if (!last.states) return this.restore(); // a sampler of another kind
      if (texts) this.guesses(last, settings.process);
      else this.reverse(pictures);
      this.present();
    }

    present() {
      this.recording.show();
      this.said.textContent = "This is the model that was just trained above, in your browser.";
    }

    /** What the trained model draws for each wish: the engine samples once more. */
    ask(weights, settings) {
      const { recording, recording: { content } } = this, { points, asked } = content.follows;
      const training = { ...settings.training, steps: 0 }, base = settings.pictures;
      const pictures = { ...base, at: [0], points, asked, states: false };
      const onPicture = ({ asked: answers }) => {
        recording.empty(content.axes);
        recording.shown.start = content.start;
        recording.shown.frames = content.frames.map(({ text }, k) =>
          ({ text, layers: [recording.layer("points", "model", 0, answers[k])] }));
        this.present();
      };
      this.restore();
      this.said.textContent = "Asking the model that was just trained above.";
      this.asking = diffusionTrainer.start({ ...settings, weights, training, pictures }, { onPicture });
    }

    /** Training step and t. */
    reverse(pictures) {
      const { recording } = this, { t: steps, points, text } = recording.content.follows;
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
    }

    /** The trained model's points at each t, with arrows to its guesses. */
    guesses({ states, outputs }, process) {
      const { recording } = this, { points, arrows, texts } = recording.content.follows;
      recording.empty(recording.content.axes);
      recording.shown.frames = texts.map((text, k) => {
        const x_t = states[k].subarray(0, 2 * points), layers = [recording.layer("points", "model", 0, x_t)];
        if (!outputs[k]) return { text, layers };
        const guess = guesses(x_t, outputs[k], states.length - 1 - k, process);
        layers.push(recording.arrows("accent", 0, x_t.subarray(0, 2 * arrows), guess.subarray(0, 2 * arrows)));
        const away = average(Array.from({ length: x_t.length / 2 }, (_, i) =>
          Math.hypot(guess[2 * i] - x_t[2 * i], guess[2 * i + 1] - x_t[2 * i + 1])));
        return { text: text.replace("{away}", Number(away.toPrecision(2))), layers };
      });
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
