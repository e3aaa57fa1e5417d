// What the lab lets a reader set, how it travels in an address, and what it means to the engine.
// It knows nothing of the page, which lab.js fills; formulas and names are chapter 5's.
globalThis.labSettings = (() => {
  const { tables } = globalThis.diffusionTrainer;
  const N_DATA = 4000, N_SHOWN = 600; // points to learn from, and points in a picture
  const DATA_SEED = 7, PICTURE_SEED = 1; // every picture starts from the same noise
  const PICTURES = 16, FLOORS = 8;
  const GRID = 25, FIELDS = 10; // arrows across a score field, and the steps t that have one
  const SHORT = 0.6; // alpha_bar where the short chain starts, as in chapter 5

  // --- the controls

  const number = (start, [low, high], step, label, hint) => ({ kind: "number", start, low, high, step, label, hint });
  const choice = (start, options, label, hint) => ({ kind: "choice", start, options, label, hint });

  const GROUPS = {
    "Noise and target": {
      T: number(100, [2, 400], 1, "T", "Steps from data to noise. With few, each step back has to be bold."),
      sigma_min: number(0.005, [0.001, 0.5], 0, "σ at t = 1", "How noisy the first step is: noise over signal. Large: fine detail is lost."),
      sigma_max: number(20, [1, 100], 0, "σ at t = T",
        "How noisy the last step is. Too small: some data is left, but sampling starts from pure noise."),
      target: choice("eps", { eps: "the noise ε", x_0: "the point x₀", v: "the mixture v" }, "The network guesses",
        "Three ways to say the same thing. Networks don't find them equally easy."),
    },
    "Network and training": {
      width: number(64, [4, 128], 4, "width",
        "Neurons in each of two hidden layers, in fours. 16 does nearly as well; at 4, shapes blur."),
      rate: number(0.02, [0.00001, 100], 0, "learning rate",
        "Small: slow. At 0.3 the samples end far off; at 10 the loss ran away."),
      batch: number(1024, [1, 4096], 1, "batch size", "Points in each step. Small: quick steps, but noisy ones."),
      steps: number(1000, [10, 10000], 1, "training steps",
        "More take longer. The learning rate falls to 0 at the last."),
      seed: number(1, [1, 9999], 1, "seed", "Other first weights and other batches. Look how much changes."),
    },
    "Sampling": {
      sampler: choice("beta", { beta: "ancestral, variance β", posterior: "ancestral, variance β̃", ddim: "DDIM, no noise" },
        "sampler", "How to step back, given a guess of x₀. Ancestral adds fresh noise in each step, DDIM none."),
      jumps: number(100, [1, 400], 1, "sampling steps", "At most T of them, evenly spread. Few: the jumps are long."),
    },
    "Slips from the bug museum": {
      slips: { kind: "switches", start: [], label: "slips", options: {
        variance: ["the variance where the deviation belongs", "Ancestral only. Below 1, a variance is smaller than its root. Which way do the samples go?"],
        index: ["the index of ᾱ in the mean", "Ancestral only. Each step shrinks too little: the samples fly away."],
        root: ["ᾱ and 1 − ᾱ in the jump, without their roots", "In training. The loss falls; the samples are thicker."],
        uniform: ["uniform noise in each step, not normal", "Ancestral only. It lies between 0 and 1, so its mean isn't 0. Where do the samples go?"],
        last: ["noise at the last step, too", "With variance β. A little fuzzy; raise σ at t = 1 to see it."],
        off: ["the network is told t − 1", "Hardly anything to see, which is the trouble with it."],
        short: ["a start where ᾱ is still 0.6", "Right look; some mass is misplaced, too little to see at 600 points."],
      } },
    },
  };
  const DATA = {
    data: choice("roll", { roll: "the Swiss roll", moons: "two moons", circles: "two circles",
      gaussians: "eight Gaussians", heart: "a heart", ring: "a ring", drawing: "draw your own" },
      "Learn from", "Computed in your browser: 4,000 points, in standard units."),
    letters: { kind: "text", start: "", longest: 3, label: "Letters", hint: "Up to three. New letters wipe the sheet; then draw over them, if you like." },
  };
  const CONTROLS = Object.assign({}, DATA, ...Object.values(GROUPS));
  const defaults = () => Object.fromEntries(Object.entries(CONTROLS).map(([name, { start }]) => [name, start]));

  // --- to and from an address: #T=50&target=v

  const same = (a, b) => String(a) === String(b);
  const isWhole = (x) => Math.abs(x - Math.round(x)) < 1e-9;
  const READ = {
    number({ low, high, step }, text) {
      const x = Number(text), fits = text.trim() && x >= low && x <= high && (!step || isWhole(x / step));
      return fits ? x : undefined;
    },
    choice: ({ options }, text) => (Object.hasOwn(options, text) ? text : undefined),
    switches({ options }, text) {
      const names = text.split(",").filter(Boolean);
      return names.every((name) => Object.hasOwn(options, name)) ? names : undefined;
    },
    text: ({ longest }, text) => (text.length <= longest ? text : undefined),
  };
  /** The value that a text stands for, or undefined where it can't be. */
  function read(name, text) {
    return Object.hasOwn(CONTROLS, name) ? READ[CONTROLS[name].kind](CONTROLS[name], text) : undefined;
  }

  /** The settings that a fragment stands for, and those of its parts that mean nothing here. */
  function fromFragment(fragment) {
    const settings = defaults(), ignored = [];
    for (const [name, text] of fragment.includes("=") ? new URLSearchParams(fragment.replace(/^#/, "")) : []) {
      const value = read(name, text);
      if (value === undefined) ignored.push(`${name}=${text}`.slice(0, 40));
      else settings[name] = value;
    }
    return { settings, ignored };
  }

  /** A fragment of what differs from the start. */
  function toFragment(settings) {
    const changed = Object.entries(settings).filter(([name, value]) => !same(value, CONTROLS[name].start));
    return changed.length ? `#${new URLSearchParams(changed)}`.replaceAll("%2C", ",") : "#";
  }

  // --- points

  const normal = (uniform) => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const polar = (radius, angle) => [radius * Math.cos(angle), radius * Math.sin(angle)];
  /** How to draw one point of each set, from numbers in [0, 1). */
  const SHAPES = {
    roll(uniform) {
      const angle = 1.5 * Math.PI * (1 + 2 * uniform());
      return polar(angle, angle);
    },
    moons(uniform) {
      const [x, y] = polar(1, Math.PI * uniform());
      return uniform() < 0.5 ? [x, y] : [1 - x, 0.5 - y];
    },
    circles: (uniform) => polar(uniform() < 0.5 ? 0.5 : 1, 2 * Math.PI * uniform()),
    gaussians: (uniform) => polar(1, Math.floor(8 * uniform()) * (Math.PI / 4)).map((x) => x + 0.1 * normal(uniform)),
    heart(uniform) {
      const a = 2 * Math.PI * uniform(), { sin, cos } = Math;
      return [16 * sin(a) ** 3, 13 * cos(a) - 5 * cos(2 * a) - 2 * cos(3 * a) - cos(4 * a)];
    },
    ring: (uniform) => polar(Math.sqrt(0.5 + 0.5 * uniform()), 2 * Math.PI * uniform()),
  };
  /** Points of a drawing, from its inked pixels [x, y]: anywhere in one of them. */
  const ofInk = (pixels) => (uniform) => {
    const [x, y] = pixels[Math.floor(pixels.length * uniform())];
    return [x + uniform(), -y - uniform()];
  };

  const mean = (numbers) => numbers.reduce((a, b) => a + b, 0) / numbers.length;

  /** Standard units: mean 0 along both axes, and an overall standard deviation of 1. */
  function standardiser(points) {
    const centre = [0, 1].map((k) => mean(points.filter((_, i) => i % 2 === k)));
    const centred = (x, i) => x - centre[i % 2];
    const std = Math.sqrt(mean(points.map((x, i) => centred(x, i) ** 2))) || 1;
    return (others) => others.map((x, i) => centred(x, i) / std);
  }

  /** What one training needs to know of a set of points: to learn, to show, and the noise floor of what is shown. */
  function dataset(draw) {
    const uniform = tables.uniforms(DATA_SEED);
    const take = (n) => Float32Array.from(Array.from({ length: n }, () => draw(uniform)).flat());
    const raw = take(N_DATA), scale = standardiser(raw), x_0 = scale(raw);
    const real = scale(take(N_SHOWN));
    const floors = Array.from({ length: FLOORS }, () => tables.slicedWasserstein(scale(take(N_SHOWN)), real));
    const box = 1.15 * x_0.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    return { x_0, real, unit: mean(floors), has_floor: true, box };
  }

  // --- tables, with the slips

  /** Steps from T to 1, n of them if there are as many. */
  function falling(T, n) {
    const part = (k) => k / Math.max(Math.min(n, T) - 1, 1);
    return [...new Set(Array.from({ length: Math.min(n, T) }, (_, k) => Math.round(T - (T - 1) * part(k))))];
  }

  /** What the network learns; with the slip `root`, on another jump than the sampler's. */
  function trainingTable(schedule, { target, slips }) {
    const table = tables.process(schedule, { predict: target });
    if (!slips.includes("root")) return table;
    return { ...table, signal: schedule.alpha_bar, noise: schedule.alpha_bar.map((kept) => 1 - kept) };
  }

  /** Ancestral sampling is DDIM with the posterior's noise, whether it takes all steps or skips some. */
  function samplingTable(schedule, { target, sampler, jumps, slips }) {
    const { alpha_bar: kept, T } = schedule, has = (slip) => slips.includes(slip), ancestral = sampler !== "ddim";
    const start = has("short") ? nearest(kept, SHORT) : T;
    const steps = falling(T, jumps).filter((t) => t <= start);
    if (steps[0] !== start) steps.unshift(start);
    const table = tables.ddim(schedule, { predict: target, steps, eta: ancestral ? 1 : 0 });
    for (const [k, t] of steps.entries()) {
      const s = steps[k + 1] ?? 0, step = kept[t] / kept[s];
      if (sampler === "beta" && (s || has("last"))) table.noise_scale[k] = Math.sqrt(1 - step);
      if (ancestral && has("variance")) table.noise_scale[k] **= 2;
      if (ancestral && has("index")) table.x_scale[k] += (Math.sqrt(step) * (kept[s] - kept[t])) / (1 - kept[t]);
    }
    return { ...table, t: steps.map((t) => (has("off") ? Math.max(t - 1, 1) : t)), uniform: has("uniform") };
  }

  const nearest = (kept, share) => {
    const away = kept.map((one, t) => (t ? Math.abs(one - share) : Infinity));
    return away.indexOf(Math.min(...away));
  };

  // --- the score, -ε̂ / √(1 - ᾱ_t)

  const scoreSteps = ({ T }) => falling(T, FIELDS);

  function grid(box) {
    const at = Array.from({ length: GRID }, (_, i) => box * ((2 * i + 1) / GRID - 1));
    return Float32Array.from(at.flatMap((y) => at.flatMap((x) => [x, y])));
  }

  /** Where arrows along the score end that start on the grid: their length, squeezed to a cell, grows with ε̂. */
  function scoreArrows(starts, outputs, schedule, t, target, box) {
    const { signal: { [t]: a }, noise: { [t]: b } } = schedule, cell = (2 * box) / GRID;
    const eps = { eps: (x, out) => out, x_0: (x, out) => (x - a * out) / b, v: (x, out) => b * x + a * out }[target];
    const guess = starts.map((x, i) => eps(x, outputs[i]));
    return starts.map((x, i) => x - (cell * guess[i]) / (0.3 + Math.hypot(guess[i & ~1], guess[i | 1])));
  }

  /** The engine's settings for a training. */
  function engineSettings(settings, data) {
    const { width, rate, batch, steps, seed, target } = settings, schedule = scheduleOf(settings);
    return {
      network: tables.network(schedule, { width }),
      process: trainingTable(schedule, settings),
      data: { x_0: data.x_0 },
      training: { steps, batch_size: batch, learning_rate: rate, seed },
      sampler: samplingTable(schedule, settings),
      pictures: {
        at: [0, ...tables.moments(steps, PICTURES)],
        points: N_SHOWN,
        seed: PICTURE_SEED,
        field: { points: grid(data.box), t: scoreSteps(settings) },
      },
    };
  }

  /** The settings that sample once more from a model of `weights`, with another sampler or, by `more`, other noise. */
  function samplingAgain(engine, weights, settings, more) {
    const { training, pictures } = engine, sampler = samplingTable(scheduleOf(settings), settings);
    const once = { ...pictures, at: [0], seed: pictures.seed + more };
    return { ...engine, weights, sampler, training: { ...training, steps: 0 }, pictures: once };
  }

  const scheduleOf = ({ T, sigma_min, sigma_max }) => tables.schedules.even_log_snr({ T, sigma_min, sigma_max });

  return { GROUPS, DATA, CONTROLS, SHAPES, ofInk, dataset, defaults, read, fromFragment, toFragment, engineSettings,
    samplingAgain, scheduleOf, scoreSteps, scoreArrows, grid };
})();
