// The tables of the book's models, for pages on which readers choose a schedule. Formulas and names are those of
// diffusion_lib (tables.py and the modules that it names); a test compares the numbers.

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const range = (from, to) => Array.from({ length: Math.max(to - from + 1, 0) }, (_, i) => from + i);
const even = (from, to, n) => range(0, n - 1).map((i) => from + ((to - from) * i) / Math.max(n - 1, 1));
const logistic = (x) => 1 / (1 + Math.exp(-x));

/** alpha_t and alpha_bar_t for t = 0…T, from beta_1…beta_T, with the arrays that follow from them. */
function fromBeta(betas) {
  const alpha = [1, ...betas.map((beta) => 1 - beta)], alpha_bar = [];
  for (const alpha_t of alpha) alpha_bar.push((alpha_bar.at(-1) ?? 1) * alpha_t);
  const signal = alpha_bar.map(Math.sqrt), noise = alpha_bar.map((kept) => Math.sqrt(1 - kept));
  return { T: betas.length, alpha, beta: alpha.map((alpha_t) => 1 - alpha_t), alpha_bar, signal, noise };
}

const schedules = {
  linear: ({ T = 1000, beta_1 = 0.1 / T, beta_T = 20 / T } = {}) => fromBeta(even(beta_1, beta_T, T)),

  cosine({ T = 1000, s = 0.008, beta_max = 0.999 } = {}) {
    const f = range(0, T).map((t) => Math.cos(((Math.PI / 2) * (t / T + s)) / (1 + s)) ** 2);
    return fromBeta(range(1, T).map((t) => Math.min(1 - f[t] / f[t - 1], beta_max)));
  },

  sigmoid: ({ T = 40 } = {}) => fromBeta(even(-18, 10, T).map((u) => 1e-5 + (0.3 - 1e-5) * logistic(u))),

  even_log_snr({ T = 100, sigma_min = 0.005, sigma_max = 20 } = {}) {
    const log_sigma = even(Math.log(sigma_min), Math.log(sigma_max), T);
    const alpha_bar = [1, ...log_sigma.map((l) => logistic(-2 * l))];
    return fromBeta(range(1, T).map((t) => 1 - alpha_bar[t] / alpha_bar[t - 1]));
  },

  straight({ T = 100, end = 0.9999 } = {}) {
    const t = range(0, T).map((i) => Math.min(i / T, end));
    const alpha_bar = t.map((t) => (1 - t) ** 2 / ((1 - t) ** 2 + t ** 2));
    return fromBeta(range(1, T).map((i) => 1 - alpha_bar[i] / alpha_bar[i - 1]));
  },
};

/** The variance of q(x_{t−1} | x_t, x_0) and the weights of x_t and x_0 in its mean. */
function posterior({ alpha, beta, alpha_bar }, t) {
  if (t === 0) return { variance: 0, x_t: 0, x_0: 1 };
  const left = 1 - alpha_bar[t], before = 1 - alpha_bar[t - 1];
  const [x_t, x_0] = [(Math.sqrt(alpha[t]) * before) / left, (Math.sqrt(alpha_bar[t - 1]) * beta[t]) / left];
  return { variance: (beta[t] * before) / left, x_t, x_0 };
}

/** The weights of x_t and of the network's output in its estimate of x_0. */
function estimate({ signal, noise }, t, predict) {
  if (predict === "x_0") return [0, 1];
  const both = signal[t] + noise[t];
  return {
    eps: [1 / signal[t], -noise[t] / signal[t]],
    v: [signal[t], -noise[t]],
    u: [1 / both, -noise[t] / both],
  }[predict];
}

/** The variances of the reverse steps, as Diffusion(reverse_var=…) has them. */
const reverseVar = (schedule, kind) =>
  range(0, schedule.T).map((t) => (kind === "beta" && t > 1 ? schedule.beta[t] : posterior(schedule, t).variance));

/** What the network learns: the settings' `process`, for Diffusion(predict=…, weighting=…, reverse_var=…). */
function processTable(schedule, { predict = "eps", weighting = "simple", reverse_var = "posterior" } = {}) {
  const { T, signal, noise, beta } = schedule, all = range(0, T);
  const variance = reverseVar(schedule, reverse_var);
  const bound = (t) => {
    const of_estimate = posterior(schedule, t).x_0 ** 2 / (2 * (t === 1 ? beta[1] : variance[t]));
    return T * of_estimate * estimate(schedule, t, predict)[1] ** 2;
  };
  return {
    signal,
    noise,
    target_x_0: all.map((t) => ({ x_0: 1, eps: 0, v: -noise[t], u: -1 })[predict]),
    target_eps: all.map((t) => ({ x_0: 0, eps: 1, v: signal[t], u: 1 })[predict]),
    weight: all.map((t) => (t === 0 ? 0 : weighting === "simple" ? 1 : bound(t))),
  };
}

/** A sampler from its steps: each gives the weights of x_t and of the estimated x_0, and the noise's deviation. */
function sampler(schedule, predict, t, step) {
  const found = { t, x_scale: [], output_scale: [], noise_scale: [] };
  for (const [k, now] of t.entries()) {
    const { x_t, x_0, std } = step(now, t[k + 1] ?? 0), [of_x, of_output] = estimate(schedule, now, predict);
    found.x_scale.push(x_t + x_0 * of_x);
    found.output_scale.push(x_0 * of_output);
    found.noise_scale.push(std);
  }
  return found;
}

/** Ancestral sampling. */
function ancestralTable(schedule, { predict = "eps", reverse_var = "posterior" } = {}) {
  const variance = reverseVar(schedule, reverse_var);
  const step = (t) => ({ ...posterior(schedule, t), std: Math.sqrt(variance[t]) });
  return sampler(schedule, predict, range(1, schedule.T).reverse(), step);
}

/** DDIM on falling steps, by default all of them. */
function ddimTable(schedule, { predict = "eps", steps = range(1, schedule.T).reverse(), eta = 0 } = {}) {
  const { alpha_bar: kept, signal, noise } = schedule;
  return sampler(schedule, predict, steps, (t, s) => {
    const variance = ((eta ** 2 * (1 - kept[s])) / (1 - kept[t])) * (1 - kept[t] / kept[s]);
    const x_t = Math.sqrt(1 - kept[s] - variance) / noise[t];
    return { x_t, x_0: signal[s] - x_t * signal[t], std: Math.sqrt(variance) };
  });
}

/** The settings' `network`, for TimeMLP(schedule, width, hidden, n_directions, frequencies). */
function networkTable({ alpha_bar }, { width = 64, hidden = 2, n_directions = 12, frequencies = [1.5, 3.5] } = {}) {
  const angles = range(0, n_directions - 1).map((i) => (i * Math.PI) / n_directions);
  const waves = [Math.cos, Math.sin].map((f) => frequencies.flatMap((size) => angles.map((angle) => size * f(angle))));
  const level = alpha_bar.map((kept, t) => {
    const log_sigma = t ? -0.5 * Math.log(kept / (1 - kept)) : 0;
    return [Math.sin, Math.cos].flatMap((f) => [0.25, 0.5, 1, 2].map((size) => (t ? f(size * log_sigma) : 0)));
  });
  return { width, hidden, waves, level };
}

/** Steps at which to take pictures: from 1/128 of the steps to the last, evenly on a logarithmic scale. */
function moments(steps, n) {
  const part = (k) => 2 ** ((-7 * k) / Math.max(1, n - 1));
  return range(0, n - 1).map((k) => Math.max(1, Math.round(steps * part(k))));
}

/** Numbers in [0, 1) from a seed: Tommy Ettinger's mulberry32. */
function uniforms(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Fresh points of the Swiss roll, flat, in its own units: to show, and for noise floors. The engine draws its own. */
function swissRoll(n, seed) {
  const uniform = uniforms(seed), points = new Float32Array(2 * n);
  for (let i = 0; i < n; i++) {
    const angle = 1.5 * Math.PI * (1 + 2 * uniform());
    points.set([(angle * Math.cos(angle)) / 10, (angle * Math.sin(angle)) / 10], 2 * i);
  }
  return points;
}

/** Sliced Wasserstein-1 distance of equally many points, flat, along directions spread over the half circle. */
function slicedWasserstein(x, y, n_directions = 100) {
  hold(x.length === y.length, `x has ${x.length / 2} points and y has ${y.length / 2}; pass equally many`);
  const along = (points, angle) => {
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return Float64Array.from({ length: points.length / 2 }, (_, i) => c * points[2 * i] + s * points[2 * i + 1]).sort();
  };
  const distances = range(0, n_directions - 1).map((k) => {
    const [a, b] = [x, y].map((points) => along(points, ((k + 0.5) * Math.PI) / n_directions));
    return sum(Array.from(a, (value, i) => Math.abs(value - b[i]))) / a.length;
  });
  return sum(distances) / n_directions;
}

const tables = {
  schedules,
  fromBeta,
  process: processTable,
  ancestral: ancestralTable,
  ddim: ddimTable,
  network: networkTable,
  moments,
  uniforms,
  swissRoll,
  slicedWasserstein,
};
