// One training, as turns of a few milliseconds each, so that whoever runs them can do other things in between.
//
// Settings are data only:
//
//     network   {width, hidden, waves, level, classes}           see Engine.build
//     weights   to start from, as an ending has them; without, they are drawn
//     process   {signal, noise, target_x_0, target_eps, weight}  T + 1 numbers each; engine.c has the formulas
//     data      {roll: {mean, std}}, or {x_0, eps, labels, dropout}: points, flat, and what is known of them
//     training  {steps, batch_size, learning_rate, seed}         with 0 steps, the pictures of given weights
//     sampler   {t, x_scale, output_scale, noise_scale, …}       an entry for each step that it takes; see Engine.sample
//     pictures  {at, points, seed, labels, guidance, states, asked, field}
//                                                                after which steps, of how many points; with
//                                                                `states`, all states of the sampler and the
//                                                                outputs at each; with `asked`, a list of
//                                                                {label, guidance}, samples for each; with
//                                                                `field` = {points, t, label}, the outputs there,
//                                                                for a list of steps t a list of them

const RECENT = 50; // losses in the mean that a picture comes with
const WORST = 1e6; // a loss beyond the first one by this factor has diverged, though it may be finite

class Session {
  /** `tell` gets {picture} and, once, {end}. */
  constructor(engine, settings, tell) {
    Object.assign(this, { engine, settings, tell, losses: [], seconds: 0, sampling: 0, ended: false });
    this.turns = this.#turns();
  }

  /** Go on for some milliseconds; whether there is more to do. */
  run(milliseconds) {
    this.begun = performance.now();
    try {
      while (!this.ended && performance.now() - this.begun < milliseconds) {
        if (this.turns.next().done) this.end("done");
      }
    } catch (error) {
      this.end("failed", error.message);
    }
    this.seconds = this.#elapsed();
    this.begun = null;
    return !this.ended;
  }

  /** The end, for a reason: "done", "stopped", "diverged" or "failed". */
  end(reason, message = "") {
    if (this.ended) return;
    this.ended = true;
    const weights = this.built ? this.engine.read("parameters") : [];
    this.tell({ end: { reason, message, ...this.#progress(), losses: this.losses, weights } });
  }

  /** Seconds spent in `run` so far. */
  #elapsed() {
    return this.seconds + (this.begun ? (performance.now() - this.begun) / 1000 : 0);
  }

  #progress() {
    const recent = this.losses.slice(-RECENT), loss = recent.reduce((a, b) => a + b, 0) / recent.length;
    const { losses: { length: step }, sampling, settings: { training: { steps } } } = this;
    return { step, steps, loss, seconds: this.#elapsed(), sampling };
  }

  *#turns() {
    const { engine, settings } = this, { network, weights, process, data, training, pictures } = settings;
    const { steps, batch_size, learning_rate, seed = 1 } = training, at = new Set(pictures?.at);
    hold(whole(batch_size, 1, LIMITS.rows), `batch_size = ${batch_size}; take 1 to ${LIMITS.rows}`);
    engine.build(network);
    this.built = true;
    engine.wasm.seed(TRAINING, seed);
    weights ? engine.write(weights) : engine.wasm.draw_weights(TRAINING);
    engine.process(process);
    engine.source(data);
    engine.wasm.begin_training();
    if (at.has(0)) yield* this.#picture();
    for (let i = 0; i < steps; i++) {
      engine.draw(batch_size);
      const loss = yield* engine.gradient(batch_size);
      if (this.#diverged(loss)) return this.end("diverged", `the loss became ${loss.toPrecision(3)} at step ${i + 1}`);
      engine.wasm.adamw(learning_rate * engine.wasm.rate(i, steps));
      this.losses.push(loss);
      if (at.has(i + 1)) yield* this.#picture();
    }
  }

  #diverged(loss) {
    const first = this.losses[0] ?? loss;
    return !Number.isFinite(loss) || loss - first > WORST * Math.max(1, Math.abs(first));
  }

  *#picture() {
    const { sampler, pictures } = this.settings, { points, states: keep, asked, field } = pictures, before = this.#elapsed();
    const { states, outputs } = yield* this.engine.sample(points, sampler, { ...pictures, keep });
    const picture = { samples: states.at(-1), weights: this.engine.read("parameters") };
    if (keep) Object.assign(picture, { states, outputs });
    if (asked) picture.asked = yield* this.#asked(asked);
    if (field) picture.field = yield* this.#field(field);
    this.sampling += this.#elapsed() - before;
    this.tell({ picture: { ...this.#progress(), ...picture } });
  }

  *#asked(wishes) {
    const { sampler, pictures } = this.settings, { points } = pictures, answers = [];
    for (const { label, guidance } of wishes) {
      const labels = new Int32Array(points).fill(label);
      answers.push((yield* this.engine.sample(points, sampler, { ...pictures, labels, guidance })).states.at(-1));
    }
    return answers;
  }

  *#field({ points, t, label }) {
    if (!Array.isArray(t)) return yield* this.engine.answer(points, t, label);
    const fields = [];
    for (const step of t) fields.push(yield* this.engine.answer(points, step, label));
    return fields;
  }
}
