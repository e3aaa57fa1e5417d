// A recorded Stepper's pictures, as a page that computes its own adds to them.
globalThis.bookRecording = (() => {
  const MISSING = -32768, LARGEST = 32767, BOXES = 3; // as in stepper.py

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

    /** A layer of arrows between points, flat. */
    arrows(role, panel, from, to, options = {}) {
      const [tails, heads] = [from, to].map((ends) => this.layer("arrows", role, panel, ends, options));
      return { ...tails, at: [...tails.at, ...heads.at] };
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

  return { Recording };
})();
