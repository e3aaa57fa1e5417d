// The thin side of the engine: it fills tables and buffers of engine.wasm, calls it, and reads what comes out.
// It knows no diffusion. Points are flat, x, y, x, y, …; tables have a row for each step t = 0…T.

const TRAINING = 0, PICTURES = 1; // the engine's streams of random numbers
const TURN = 256; // rows that go through the network in one turn: less than 4 milliseconds at the largest width
// As in engine.c.
const LIMITS = {
  width: 128,
  hidden: 4,
  features: 128,
  waves: 48,
  T: 1000,
  level: 16,
  classes: 32,
  rows: 16384,
  data: 65536,
};

function hold(condition, message) {
  if (!condition) throw new RangeError(message);
}

const whole = (n, low, high) => Number.isInteger(n) && n >= low && n <= high;

class Engine {
  constructor(instance) {
    this.wasm = instance.exports;
  }

  static async load(bytes) {
    const { instance } = await WebAssembly.instantiate(bytes, {});
    return new Engine(instance);
  }

  floats(name, n) {
    return new Float32Array(this.wasm.memory.buffer, this.wasm[name].value, n);
  }

  integers(name, n) {
    return new Int32Array(this.wasm.memory.buffer, this.wasm[name].value, n);
  }

  // --- the network

  /** A network of weights 0 with its tables: waves (2 rows), level (T + 1 rows), classes (a row for each label). */
  build({ width, hidden = 2, waves, level, classes = [[]] }) {
    const T = level.length - 1, sizes = [waves[0].length, level[0].length, classes[0].length];
    const wide = whole(width, 4, LIMITS.width) && width % 4 === 0;
    hold(wide, `width = ${width}; take a multiple of 4 up to ${LIMITS.width}`);
    hold(whole(hidden, 1, LIMITS.hidden), `hidden = ${hidden}; take 1 to ${LIMITS.hidden} hidden layers`);
    hold(whole(T, 1, LIMITS.T), `T = ${T}; take 1 to ${LIMITS.T}`);
    hold(sizes[0] <= LIMITS.waves && sizes[1] <= LIMITS.level, "too many waves or columns of level");
    hold(sizes[2] <= LIMITS.classes && classes.length <= LIMITS.classes + 1, "too many classes");
    this.inputs = 2 + 2 * sizes[0] + sizes[1] + sizes[2];
    hold(this.inputs <= LIMITS.features, `${this.inputs} features; take up to ${LIMITS.features}`);
    Object.assign(this, { T, width, hidden, labels: classes.length });
    this.n = this.wasm.build(width, hidden, ...sizes, T);
    for (const [name, rows] of Object.entries({ waves, level, classes })) this.fill(name, rows.flat());
  }

  /** Write numbers to one of the engine's arrays, all of them finite. */
  fill(name, numbers) {
    hold(Array.from(numbers).every(Number.isFinite), `${name} has numbers that are not finite`);
    this.floats(name, numbers.length).set(numbers);
  }

  /** The layers as [inputs, outputs, where the weights start, what a row of them takes]. */
  *layers() {
    for (let i = 0, at = 0; i <= this.hidden; i++) {
      const inputs = i ? this.width : this.inputs, outputs = i < this.hidden ? this.width : 2;
      const [row, rows] = [inputs, outputs].map((n) => Math.ceil(n / 4) * 4);
      yield [inputs, outputs, at, row, at + rows * row];
      at += rows * row + rows;
    }
  }

  /** Parameters or gradient in PyTorch's order and shapes, each flat: weights, biases, weights, … */
  read(name) {
    const all = this.floats(name, this.n), found = [];
    for (const [inputs, outputs, at, row, biases] of this.layers()) {
      const weights = new Float32Array(inputs * outputs);
      for (let i = 0; i < outputs; i++) weights.set(all.subarray(at + i * row, at + i * row + inputs), i * inputs);
      found.push(weights, all.slice(biases, biases + outputs));
    }
    return found;
  }

  /** The parameters, from arrays as `read` gives them. */
  write(given) {
    const all = this.floats("parameters", this.n), arrays = given.map((array) => Float32Array.from(array));
    hold(arrays.length === 2 * (this.hidden + 1), `weights has ${arrays.length} arrays for ${this.hidden + 1} layers`);
    for (const [inputs, outputs, at, row, biases] of this.layers()) {
      const [weights, bias] = arrays.splice(0, 2);
      hold(weights.length === inputs * outputs && bias.length === outputs, "weights has arrays of other sizes");
      for (let i = 0; i < outputs; i++) all.set(weights.subarray(i * inputs, (i + 1) * inputs), at + i * row);
      all.set(bias, biases);
    }
  }

  // --- training

  /** The tables signal, noise, target_x_0, target_eps and weight, T + 1 numbers each. */
  process(tables) {
    for (const name of ["signal", "noise", "target_x_0", "target_eps", "weight"]) {
      hold(tables[name].length === this.T + 1, `${name} has ${tables[name].length} numbers for T = ${this.T}`);
      this.fill(name, tables[name]);
    }
  }

  /** Where batches come from: fresh Swiss rolls, or given points, where given with their noise or their labels. */
  source({ roll, x_0, eps, labels, dropout = 0 }) {
    if (roll) {
      this.draw = (rows) => this.wasm.draw_roll_batch(rows, ...roll.mean, roll.std);
      return;
    }
    const n = x_0.length / 2;
    hold(whole(n, 1, LIMITS.data), `data has ${n} points; pass 1 to ${LIMITS.data}`);
    hold((eps ?? x_0).length === 2 * n && (labels ?? { length: n }).length === n, "data has parts of unequal length");
    this.fill("data_x_0", x_0);
    this.fill("data_eps", eps ?? new Float32Array(2 * n));
    this.integers("data_labels", n).set(this.#known(labels ?? new Int32Array(n)));
    this.draw = (rows) => this.wasm.draw_batch(rows, n, Boolean(eps), dropout);
  }

  #known(labels) {
    hold(labels.every((label) => whole(label, 0, this.labels - 1)), `labels are whole numbers below ${this.labels}`);
    return labels;
  }

  /** One training step on the batch in x_0, eps, steps and labels, in turns; returns its loss, before the step. */
  *gradient(rows) {
    this.wasm.begin_batch(rows);
    for (let from = 0; from < rows; from += TURN) {
      this.wasm.add_rows(from, Math.min(from + TURN, rows));
      yield;
    }
    return this.wasm.loss();
  }

  // --- sampling

  /**
   * Points from noise, in turns; the lists of `sampler` have an entry for each of its steps. Returns the states and
   * what the network said at each, with `keep` all of them. With `uniform`, a sampler's noise is uniform in [0, 1).
   */
  *sample(n, sampler, { seed = 1, labels, guidance = 1, keep = false } = {}) {
    const { t, input_scale, x_scale, output_scale, previous_scale, noise_scale, uniform } = sampler;
    hold(whole(n, 1, LIMITS.rows), `${n} points; take 1 to ${LIMITS.rows}`);
    hold(t.every((step) => whole(step, 1, this.T)), `the sampler's steps t are whole numbers in 1…${this.T}`);
    this.wasm.seed(PICTURES, seed);
    this.wasm.draw_start(PICTURES, n);
    this.integers("labels", n).set(this.#known(labels ?? new Int32Array(n)));
    const now = (name) => this.floats(name, 2 * n).slice(), random = uniform && uniforms(seed);
    const states = [now("x")], outputs = [];
    for (let k = 0; k < t.length; k++) {
      if (random) this.fill("eps", Array.from({ length: 2 * n }, random));
      else if (noise_scale[k]) this.wasm.draw_noise(PICTURES, n);
      const scales = [input_scale?.[k] ?? 1, x_scale[k], output_scale[k], previous_scale?.[k] ?? 0, noise_scale[k]];
      yield* this.step(n, t[k], guidance, scales);
      if (keep || k + 1 === t.length) states.push(now("x"));
      if (keep) outputs.push(now("outputs"));
    }
    return { states, outputs };
  }

  /** One step of a sampler on the points in x, in turns. */
  *step(n, t, guidance, scales) {
    for (let from = 0; from < n; from += TURN) {
      this.wasm.sample_step(from, Math.min(from + TURN, n), t, guidance, ...scales);
      yield;
    }
  }

  /** What the network says at given points, flat, of step t, all with one label. */
  *answer(points, t, label = 0) {
    const n = points.length / 2;
    hold(whole(n, 1, LIMITS.rows) && whole(t, 1, this.T), `${n} points at t = ${t}`);
    this.fill("x", points);
    this.integers("labels", n).fill(...this.#known([label]));
    yield* this.step(n, t, 1, [1, 1, 0, 0, 0]);
    return this.floats("outputs", 2 * n).slice();
  }
}
