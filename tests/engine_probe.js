// What tests ask of the engine's parts, in Node and in a browser: each probe takes and gives JSON.

const plain = (value) => JSON.stringify(value, (_, v) => (ArrayBuffer.isView(v) ? Array.from(v) : v));
const newEngine = () => Engine.load(Uint8Array.from(atob(ENGINE), (letter) => letter.charCodeAt(0)));
const finish = (turns) => {
  for (;;) {
    const { done, value } = turns.next();
    if (done) return value;
  }
};

async function built(settings) {
  const engine = await newEngine();
  engine.build(settings.network);
  if (settings.weights) engine.write(settings.weights);
  if (settings.process) engine.process(settings.process);
  if (settings.data) engine.source(settings.data);
  engine.wasm.begin_training();
  return engine;
}

/** FNV-1a of the bits of float32 numbers. */
function hash(arrays) {
  let h = 2166136261;
  for (const array of arrays) {
    for (const byte of new Uint8Array(Float32Array.from(array).buffer)) h = Math.imul(h ^ byte, 16777619);
  }
  return (h >>> 0).toString(16);
}

function put(engine, { x_0, t, eps, labels }) {
  engine.fill("x_0", x_0);
  engine.fill("eps", eps);
  engine.integers("steps", t.length).set(t);
  engine.integers("labels", t.length).set(labels ?? new Int32Array(t.length));
}

const probes = {
  /** The losses of steps on given batches, the first gradient, and the last weights. */
  async training(settings, batches, { learning_rate, of }) {
    const engine = await built(settings), losses = [];
    let gradient;
    for (const [i, batch] of batches.entries()) {
      put(engine, batch);
      losses.push(finish(engine.gradient(batch.t.length)));
      gradient ??= engine.read("gradient");
      engine.wasm.adamw(learning_rate * engine.wasm.rate(i, of));
    }
    return { losses, gradient, weights: engine.read("parameters"), padded: engine.floats("parameters", engine.n) };
  },

  /** The states of a sampler that gets its start and its noise. */
  async chain(settings, x_T, noises, options = {}) {
    const engine = await built(settings), { sampler } = settings, n = x_T.length / 2, states = [];
    engine.fill("x", x_T);
    engine.integers("labels", n).set(options.labels ?? new Int32Array(n));
    for (const [k, t] of sampler.t.entries()) {
      engine.fill("eps", noises[k]);
      const scales = ["input_scale", "x_scale", "output_scale", "previous_scale", "noise_scale"];
      const rest = { input_scale: 1, previous_scale: 0 };
      finish(engine.step(n, t, options.guidance ?? 1, scales.map((name) => sampler[name]?.[k] ?? rest[name])));
      states.push(engine.floats("x", 2 * n).slice());
    }
    return { states, outputs: engine.floats("outputs", 2 * n) };
  },

  /** The gradient of a small batch, before and after points at infinity went through the network. */
  async after_infinity(settings, batch) {
    const engine = await built(settings), n = 128;
    const gradient = () => {
      put(engine, batch);
      finish(engine.gradient(batch.t.length));
      return engine.read("gradient");
    };
    const before = gradient();
    engine.floats("x", 2 * n).fill(Infinity);
    finish(engine.step(n, 1, 1, [1, 1, 0, 0, 0]));
    return [before, gradient()];
  },

  /** The turns of a training step, and of a sampler's step, on so many rows. */
  async turns(settings, rows) {
    const engine = await built(settings);
    return [[...engine.gradient(rows)].length, [...engine.step(rows, 1, 1, [1, 1, 0, 0, 0])].length];
  },

  async answer(settings, points, t, label) {
    return finish((await built(settings)).answer(points, t, label));
  },

  /** A batch as the engine draws it. */
  async batch(settings, rows, seed) {
    const engine = await built(settings);
    engine.wasm.seed(TRAINING, seed);
    engine.draw(rows);
    const found = { x_0: engine.floats("x_0", 2 * rows), eps: engine.floats("eps", 2 * rows) };
    return { ...found, t: engine.integers("steps", rows), labels: engine.integers("labels", rows) };
  },

  async initial_weights(network, seed) {
    const engine = await built({ network });
    engine.wasm.seed(TRAINING, seed);
    engine.wasm.draw_weights(TRAINING);
    return { weights: engine.read("parameters"), padded: engine.floats("parameters", engine.n) };
  },

  async rates(steps) {
    const { wasm } = await newEngine();
    return range(0, steps - 1).map((i) => wasm.rate(i, steps));
  },

  /** A whole session, in slices of some milliseconds: its messages. */
  async session(settings, milliseconds = 1000, stopAfter = Infinity) {
    const messages = [];
    const session = new Session(await newEngine(), settings, (message) => {
      messages.push(message);
      if (messages.length >= stopAfter) session.end("stopped");
    });
    while (session.run(milliseconds));
    return messages;
  },

  /** The hash of the weights that a session ends with, and of the samples of its pictures. */
  async hashes(settings, milliseconds) {
    const messages = await probes.session(settings, milliseconds), { end } = messages.pop();
    return { weights: hash(end.weights), samples: messages.map(({ picture }) => hash([picture.samples])) };
  },

  async tables(call, ...given) {
    return call.split(".").reduce((found, name) => found[name], tables)(...given);
  },

  /** A table of a schedule by its name and options. */
  async of_schedule(table, name, options, ...given) {
    return tables[table](schedules[name](options), ...given);
  },

  /** CPU-bound figures for the benchmark: milliseconds of each of `repeats` runs of what takes time. */
  async times(settings, rows, repeats) {
    const engine = await built(settings), found = { steps: [], sampling: [] };
    engine.wasm.seed(TRAINING, 1);
    engine.wasm.draw_weights(TRAINING);
    for (let i = 0; i < repeats; i++) {
      const begun = performance.now();
      engine.draw(rows);
      finish(engine.gradient(rows));
      engine.wasm.adamw(0.02 * engine.wasm.rate(i, repeats));
      found.steps.push(performance.now() - begun);
    }
    for (let i = 0; i < 5; i++) {
      const begun = performance.now();
      finish(engine.sample(600, settings.sampler));
      found.sampling.push(performance.now() - begun);
    }
    return found;
  },
};

const probe = async (name, given) => plain(await probes[name](...given));
