/*
 * Trains the noise-predicting network of the book, TimeMLP, and samples from it: in a browser, as WebAssembly.
 *
 *     input     x_t = signal_t x_0 + noise_t eps           with signal_t = sqrt(alpha_bar_t), say
 *     features  x_t; sin and cos of waves · x_t; a row of `level` for its step t; a row of `classes` for its label
 *     network   features -> width SiLU -> ... -> width SiLU -> 2
 *     loss      the mean over the batch of  weight_t |output - (target_x_0_t x_0 + target_eps_t eps)|²
 *     optimiser AdamW, as torch.optim has it
 *     sampling  x <- x_scale x + output_scale output + previous_scale (output before) + noise_scale eps
 *
 * What is trained and how it is sampled stands in tables of such coefficients, which the caller fills. With them
 * the network predicts eps, x_0, v, a velocity or a score; where pairs (x_0, eps) are given, none is drawn.
 *
 * Memory. Points are rows, as in PyTorch: (n, 2). Inside the network all is feature-major: a matrix has a row for
 * each feature and a column for each of CHUNK points, so that four neighbours in memory are one feature of four
 * points, and every operation is one on four numbers. A batch goes through the network chunk by chunk, and what
 * the way back needs of one chunk stays in the cache. Weights are (out, in), as in PyTorch, with `in` and `out`
 * filled up with zeros to multiples of 4. These stay zero: their gradient is.
 *
 * Same numbers everywhere. WebAssembly fixes the result of each operation used here to the last bit. Random
 * numbers, exp, log, sin and cos are computed here as well, and sums have one order: so one seed gives the same
 * weights in each browser.
 */

typedef float f4 __attribute__((vector_size(16)));
typedef int i4 __attribute__((vector_size(16)));
typedef unsigned u4 __attribute__((vector_size(16)));

#define EXPORT __attribute__((visibility("default")))
#define INLINE __attribute__((always_inline)) static inline
#define ALIGNED __attribute__((aligned(16)))

enum {
  CHUNK = 128,
  MAX_WIDTH = 128,
  MAX_HIDDEN = 4,
  MAX_FEATURES = 128,
  MAX_WAVES = 48,
  MAX_T = 1000,
  MAX_LEVEL = 16,
  MAX_CLASSES = 32,
  MAX_ROWS = 16384,
  MAX_DATA = 65536,
  MAX_PARAMETERS = MAX_WIDTH * (MAX_FEATURES + 1) + (MAX_HIDDEN - 1) * MAX_WIDTH * (MAX_WIDTH + 1) + 4 * (MAX_WIDTH + 1)
};

// What the caller writes. Tables have a row for each step t = 0…T, or for each label, 0 being "no label".
EXPORT float waves[2 * MAX_WAVES]; // all first coordinates, then all second ones
EXPORT float level[(MAX_T + 1) * MAX_LEVEL], classes[(MAX_CLASSES + 1) * MAX_CLASSES];
EXPORT float signal[MAX_T + 1], noise[MAX_T + 1];
EXPORT float target_x_0[MAX_T + 1], target_eps[MAX_T + 1], weight[MAX_T + 1];
EXPORT float data_x_0[2 * MAX_DATA], data_eps[2 * MAX_DATA]; // given points, and the other half of given pairs
EXPORT int data_labels[MAX_DATA];

// The batch, drawn here or written by the caller; in sampling, the states, what the network says, and the noise.
EXPORT float x_0[2 * MAX_ROWS] ALIGNED, eps[2 * MAX_ROWS] ALIGNED;
EXPORT int steps[MAX_ROWS], labels[MAX_ROWS];
EXPORT float x[2 * MAX_ROWS] ALIGNED, outputs[2 * MAX_ROWS] ALIGNED;

// The network. Each layer's weights are followed by its biases; its gradient and moments lie at the same places.
EXPORT float parameters[MAX_PARAMETERS] ALIGNED, gradient[MAX_PARAMETERS] ALIGNED;
static float first_moment[MAX_PARAMETERS] ALIGNED, second_moment[MAX_PARAMETERS] ALIGNED;

typedef struct {
  int n_in, n_out;     // filled up to multiples of 4
  int inputs, outputs; // without the filling
  int weights, biases; // where they start
} Layer;

static Layer layers[MAX_HIDDEN + 1];
static int hidden, n_parameters, n_waves, n_level, n_classes, T;

// One chunk on its way through the network: features, values and slopes of the hidden layers, outputs.
static float features[MAX_FEATURES * CHUNK] ALIGNED, answer[4 * CHUNK] ALIGNED;
static float values[MAX_HIDDEN][MAX_WIDTH * CHUNK] ALIGNED, slopes[MAX_HIDDEN][MAX_WIDTH * CHUNK] ALIGNED;

INLINE f4 splat(float a) { return (f4){a, a, a, a}; }
INLINE f4 load(const float *from) { return *(const f4 *)from; }
INLINE void store(float *to, f4 a) { *(f4 *)to = a; }
INLINE f4 choose(i4 mask, f4 yes, f4 no) { return (f4)((mask & (i4)yes) | (~mask & (i4)no)); }
INLINE float sum(f4 a) { return (a[0] + a[1]) + (a[2] + a[3]); }
INLINE int filled_up(int n) { return (n + 3) / 4 * 4; }

// --- elementary functions, four at a time: polynomials of the Cephes library (S. Moshier), within 2 units in the
// last place

/* e^a = 2^k e^r with |r| <= log(2)/2, for |a| up to 60; beyond, it stays what it is there. A logistic function is 0
   or 1 there to all digits that matter, and the small numbers farther out would slow processors down. */
INLINE f4 exp4(f4 a) {
  a = choose(a < splat(-60.0f), splat(-60.0f), a);
  a = choose(a > splat(60.0f), splat(60.0f), a);
  f4 k = __builtin_elementwise_rint(a * splat(1.44269504f));
  f4 r = a - k * splat(0.693359375f) - k * splat(-2.12194440e-4f); // log(2) in two parts: the first is exact
  f4 p = splat(1.9875691500e-4f);
  p = p * r + splat(1.3981999507e-3f);
  p = p * r + splat(8.3334519073e-3f);
  p = p * r + splat(4.1665795894e-2f);
  p = p * r + splat(1.6666665459e-1f);
  p = p * r + splat(5.0000001201e-1f);
  p = p * r * r + r + splat(1.0f);
  return p * (f4)((__builtin_convertvector(k, i4) + 127) << 23);
}

/* log a = k log 2 + log(1 + r) with sqrt(1/2) <= 1 + r < sqrt(2), for a > 0 that is no denormal number. */
INLINE f4 log4(f4 a) {
  i4 bits = (i4)a, k = ((bits >> 23) & 255) - 126;
  f4 m = (f4)((bits & 0x007fffff) | 0x3f000000); // in [1/2, 1)
  i4 low = m < splat(0.707106781f);
  f4 r = choose(low, m + m, m) - splat(1.0f), z = r * r, e = __builtin_convertvector(k + low, f4);
  f4 p = splat(7.0376836292e-2f);
  p = p * r + splat(-1.1514610310e-1f);
  p = p * r + splat(1.1676998740e-1f);
  p = p * r + splat(-1.2420140846e-1f);
  p = p * r + splat(1.4249322787e-1f);
  p = p * r + splat(-1.6668057665e-1f);
  p = p * r + splat(2.0000714765e-1f);
  p = p * r + splat(-2.4999993993e-1f);
  p = p * r + splat(3.3333331174e-1f);
  f4 small = p * r * z + e * splat(-2.12194440e-4f) - splat(0.5f) * z;
  return r + small + e * splat(0.693359375f);
}

/* Both, of a = k pi/2 + r with |r| <= pi/4, for |a| up to some thousands. */
INLINE void sincos4(f4 a, f4 *sine, f4 *cosine) {
  f4 k = __builtin_elementwise_rint(a * splat(0.636619772f));
  f4 r = a - k * splat(1.5703125f) - k * splat(4.837512969970703125e-4f) - k * splat(7.549789948768648e-8f);
  f4 z = r * r;
  f4 s = splat(-1.9515295891e-4f);
  s = s * z + splat(8.3321608736e-3f);
  s = s * z + splat(-1.6666654611e-1f);
  s = s * z * r + r;
  f4 c = splat(2.443315711809948e-5f);
  c = c * z + splat(-1.388731625493765e-3f);
  c = c * z + splat(4.166664568298827e-2f);
  c = c * z * z - splat(0.5f) * z + splat(1.0f);
  i4 quarter = __builtin_convertvector(k, i4), odd = -(quarter & 1);
  *sine = (f4)((i4)choose(odd, c, s) ^ ((quarter & 2) << 30));
  *cosine = (f4)((i4)choose(odd, s, c) ^ (((quarter + 1) & 2) << 30));
}

// --- random numbers: four generators side by side, each Chris Doty-Humphrey's sfc32

typedef struct {
  u4 a, b, c, counter;
} Random;

enum { TRAINING, PICTURES, STREAMS }; // two streams, which do not disturb each other
static Random streams[STREAMS];

INLINE u4 bits4(Random *random) {
  u4 drawn = random->a + random->b + random->counter;
  random->counter += 1;
  random->a = random->b ^ (random->b >> 9);
  random->b = random->c + (random->c << 3);
  random->c = ((random->c << 21) | (random->c >> 11)) + drawn;
  return drawn;
}

/* In (0, 1]: the middles of 2^24 equal parts, as float32 has them. */
INLINE f4 uniform4(Random *random) {
  f4 whole = __builtin_convertvector((i4)(bits4(random) >> 8), f4);
  return (whole + splat(0.5f)) * splat(0x1p-24f);
}

/* Whole numbers in 0…n - 1. */
INLINE u4 below4(Random *random, unsigned n) {
  u4 drawn = bits4(random);
  for (int i = 0; i < 4; i++) drawn[i] = ((unsigned long long)drawn[i] * n) >> 32;
  return drawn;
}

EXPORT void seed(int stream, unsigned number) {
  Random *random = &streams[stream];
  unsigned first = 4 * stream; // each of the four its own sequence
  random->a = (u4){number, number, number, number};
  random->b = (u4){first, first + 1, first + 2, first + 3};
  random->c = (u4){0, 0, 0, 0};
  random->counter = (u4){1, 1, 1, 1};
  for (int i = 0; i < 16; i++) bits4(random);
}

/* n or a few more standard normal numbers, by Box and Muller. */
static void normals(Random *random, float *to, int n) {
  for (int i = 0; i < n; i += 8) {
    f4 radius = __builtin_elementwise_sqrt(splat(-2.0f) * log4(uniform4(random))), sine, cosine;
    sincos4(uniform4(random) * splat(6.28318531f), &sine, &cosine);
    store(to + i, radius * cosine);
    store(to + i + 4, radius * sine);
  }
}

EXPORT void draw_noise(int stream, int rows) { normals(&streams[stream], eps, 2 * rows); }

/* x <- the noise from which sampling starts */
EXPORT void draw_start(int stream, int rows) { normals(&streams[stream], x, 2 * rows); }

// --- the network

static int add_layer(int number, int inputs, int outputs, int at) {
  Layer *layer = &layers[number];
  *layer = (Layer){filled_up(inputs), filled_up(outputs), inputs, outputs, at, 0};
  layer->biases = at + layer->n_in * layer->n_out;
  return layer->biases + layer->n_out;
}

/* A network with weights 0, its optimiser at its start; returns the number of its parameters. */
EXPORT int build(int width, int hidden_layers, int of_waves, int of_level, int of_classes, int last_step) {
  hidden = hidden_layers, n_waves = of_waves, n_level = of_level, n_classes = of_classes, T = last_step;
  int inputs = 2 + 2 * n_waves + n_level + n_classes;
  n_parameters = 0;
  for (int i = 0; i <= hidden; i++)
    n_parameters = add_layer(i, i ? width : inputs, i < hidden ? width : 2, n_parameters);
  for (int i = 0; i < MAX_FEATURES * CHUNK; i++) features[i] = 0;
  for (int i = 0; i < MAX_PARAMETERS; i++) parameters[i] = gradient[i] = 0;
  return n_parameters;
}

/* Weights and biases uniform in ±1/sqrt(inputs), PyTorch's default for nn.Linear. */
EXPORT void draw_weights(int stream) {
  for (const Layer *layer = layers; layer <= layers + hidden; layer++) {
    f4 bound = splat(1 / __builtin_sqrtf(layer->inputs));
    for (int i = 0; i < layer->outputs; i++) // the biases come as one more column
      for (int j = 0; j <= layer->inputs; j += 4) {
        f4 drawn = (uniform4(&streams[stream]) * splat(2.0f) - splat(1.0f)) * bound;
        for (int k = 0; k < 4 && j + k <= layer->inputs; k++)
          parameters[j + k < layer->inputs ? layer->weights + i * layer->n_in + j + k : layer->biases + i] = drawn[k];
      }
  }
}

/* C (m, CHUNK) = A (m, k) B (k, CHUNK) + bias, where A's element (i, j) is A[i * down + j * right]. */
INLINE void multiply(const float *A, int down, int right, const float *B, const float *bias, float *C, int m, int k) {
  for (int i = 0; i < m; i += 4)
    for (int n = 0; n < CHUNK; n += 8) {
      f4 c[4][2];
      for (int r = 0; r < 4; r++) c[r][0] = c[r][1] = splat(bias ? bias[i + r] : 0);
      for (int j = 0; j < k; j++) {
        f4 left = load(B + j * CHUNK + n), next = load(B + j * CHUNK + n + 4);
        for (int r = 0; r < 4; r++) {
          f4 a = splat(A[(i + r) * down + j * right]);
          c[r][0] += a * left;
          c[r][1] += a * next;
        }
      }
      for (int r = 0; r < 4; r++) {
        store(C + (i + r) * CHUNK + n, c[r][0]);
        store(C + (i + r) * CHUNK + n + 4, c[r][1]);
      }
    }
}

/* C (m, k) += A (m, CHUNK) B (k, CHUNK) transposed: a sum over the chunk's points. */
INLINE void add_products(const float *A, const float *B, float *C, int m, int k) {
  for (int i = 0; i < m; i += 4)
    for (int j = 0; j < k; j += 2) {
      f4 c[4][2] = {0};
      for (int n = 0; n < CHUNK; n += 4) {
        f4 upper = load(B + j * CHUNK + n), lower = load(B + (j + 1) * CHUNK + n);
        for (int r = 0; r < 4; r++) {
          f4 a = load(A + (i + r) * CHUNK + n);
          c[r][0] += a * upper;
          c[r][1] += a * lower;
        }
      }
      for (int r = 0; r < 4; r++) {
        C[(i + r) * k + j] += sum(c[r][0]);
        C[(i + r) * k + j + 1] += sum(c[r][1]);
      }
    }
}

/* C (m) += the sums of the rows of A (m, CHUNK). */
static void add_sums(const float *A, float *C, int m) {
  for (int i = 0; i < m; i++) {
    f4 c = splat(0);
    for (int n = 0; n < CHUNK; n += 4) c += load(A + i * CHUNK + n);
    C[i] += sum(c);
  }
}

/* value <- SiLU(value) = value s(value), with s the logistic function; slope <- its derivative. */
static void silu(float *value, float *slope, int n) {
  for (int i = 0; i < n; i += 4) {
    f4 z = load(value + i), s = splat(1.0f) / (splat(1.0f) + exp4(-z)), h = z * s;
    store(value + i, h);
    store(slope + i, s + h * (splat(1.0f) - s));
  }
}

/* The features below the points, which stand in rows 0 and 1 already. Where a chunk is not full, the rest are points
   at 0: what an earlier chunk had there may be infinite, and 0 times that is no 0 in the gradient's sums. */
static void add_features(const int *t, const int *label, int rows) {
  for (int n = rows; n < CHUNK; n++) features[n] = features[CHUNK + n] = 0;
  float *sines = features + 2 * CHUNK, *cosines = sines + n_waves * CHUNK, *levels = cosines + n_waves * CHUNK;
  float *of_class = levels + n_level * CHUNK;
  for (int i = 0; i < n_waves; i++)
    for (int n = 0; n < CHUNK; n += 4) {
      f4 first = load(features + n), second = load(features + CHUNK + n), s, c;
      sincos4(first * splat(waves[i]) + second * splat(waves[n_waves + i]), &s, &c);
      store(sines + i * CHUNK + n, s);
      store(cosines + i * CHUNK + n, c);
    }
  for (int n = 0; n < rows; n++) {
    for (int j = 0; j < n_level; j++) levels[j * CHUNK + n] = level[t[n] * n_level + j];
    for (int j = 0; j < n_classes; j++) of_class[j * CHUNK + n] = classes[label[n] * n_classes + j];
  }
}

/* answer <- the network at the features */
static void forward(void) {
  const float *input = features;
  for (int i = 0; i <= hidden; i++) {
    const Layer *layer = &layers[i];
    float *to = i < hidden ? values[i] : answer;
    const float *weights = parameters + layer->weights, *biases = parameters + layer->biases;
    multiply(weights, layer->n_in, 1, input, biases, to, layer->n_out, layer->n_in);
    if (i < hidden) silu(to, slopes[i], layer->n_out * CHUNK);
    input = to;
  }
}

/* gradient += what this chunk adds, from the loss's derivatives by the outputs in `answer`; uses up `values`. */
static void backward(void) {
  const float *delta = answer;
  for (int i = hidden; i >= 0; i--) {
    const Layer *layer = &layers[i];
    add_products(delta, i ? values[i - 1] : features, gradient + layer->weights, layer->n_out, layer->n_in);
    add_sums(delta, gradient + layer->biases, layer->n_out);
    if (i == 0) return;
    float *below = values[i - 1];
    multiply(parameters + layer->weights, 1, layer->n_in, delta, 0, below, layer->n_in, layer->n_out);
    for (int n = 0; n < layer->n_in * CHUNK; n += 4) store(below + n, load(below + n) * load(slopes[i - 1] + n));
    delta = below;
  }
}

INLINE int least(int a, int b) { return a < b ? a : b; }

// --- training

static double loss_sum, beta_1_power, beta_2_power;
static int batch_size;

/* Points of the Swiss roll: angle uniform in 3/2 pi … 9/2 pi, the radius a tenth of it; then in standard units. */
static void draw_roll(Random *random, int rows, float mean_0, float mean_1, float std) {
  for (int n = 0; n < rows; n += 4) {
    f4 angle = (uniform4(random) * splat(2.0f) + splat(1.0f)) * splat(4.71238898f), sine, cosine;
    sincos4(angle, &sine, &cosine);
    f4 first = (angle * cosine / splat(10.0f) - splat(mean_0)) / splat(std);
    f4 second = (angle * sine / splat(10.0f) - splat(mean_1)) / splat(std);
    for (int k = 0; k < 4; k++) x_0[2 * (n + k)] = first[k], x_0[2 * (n + k) + 1] = second[k];
  }
}

/* Rows of the given data, with replacement; a label is left out with probability `dropout`. */
static void resample(Random *random, int rows, int n_data, float dropout) {
  for (int n = 0; n < rows; n += 4) {
    u4 from = below4(random, n_data);
    i4 dropped = dropout > 0 ? uniform4(random) <= splat(dropout) : (i4){0, 0, 0, 0};
    for (int k = 0; k < 4; k++) {
      for (int d = 0; d < 2; d++) {
        x_0[2 * (n + k) + d] = data_x_0[2 * from[k] + d];
        eps[2 * (n + k) + d] = data_eps[2 * from[k] + d];
      }
      labels[n + k] = dropped[k] ? 0 : data_labels[from[k]];
    }
  }
}

INLINE void draw_steps(Random *random, int rows) {
  for (int n = 0; n < rows; n += 4) {
    u4 drawn = below4(random, T);
    for (int k = 0; k < 4; k++) steps[n + k] = 1 + drawn[k];
  }
}

/* A batch from the Swiss roll, with the noise and the steps. */
EXPORT void draw_roll_batch(int rows, float mean_0, float mean_1, float std) {
  Random *random = &streams[TRAINING];
  draw_roll(random, rows, mean_0, mean_1, std);
  for (int n = 0; n < rows; n++) labels[n] = 0;
  draw_steps(random, rows);
  normals(random, eps, 2 * rows);
}

/* A batch from the given data; with pairs, the noise is given, too. */
EXPORT void draw_batch(int rows, int n_data, int pairs, float dropout) {
  Random *random = &streams[TRAINING];
  resample(random, rows, n_data, dropout);
  draw_steps(random, rows);
  if (!pairs) normals(random, eps, 2 * rows);
}

EXPORT void begin_training(void) {
  for (int i = 0; i < n_parameters; i++) first_moment[i] = second_moment[i] = 0;
  beta_1_power = beta_2_power = 1;
}

EXPORT void begin_batch(int rows) {
  for (int i = 0; i < n_parameters; i++) gradient[i] = 0;
  batch_size = rows;
  loss_sum = 0;
}

/* answer <- the loss's derivatives by the outputs, for the chunk of the rows from `row` on */
static void compare(int row, int rows) {
  for (int n = 0; n < 4 * CHUNK; n++)
    if (n >= 2 * CHUNK || n % CHUNK >= rows) answer[n] = 0;
  for (int n = 0; n < rows; n++) {
    int t = steps[row + n];
    for (int d = 0; d < 2; d++) {
      int at = 2 * (row + n) + d;
      float error = answer[d * CHUNK + n] - (target_x_0[t] * x_0[at] + target_eps[t] * eps[at]);
      loss_sum += (double)weight[t] * error * error;
      answer[d * CHUNK + n] = 2 * weight[t] * error / batch_size;
    }
  }
}

/* Add the rows from…to - 1 of the batch to loss and gradient; `from` is a multiple of CHUNK. */
EXPORT void add_rows(int from, int to) {
  for (int row = from; row < to; row += CHUNK) {
    int rows = least(CHUNK, to - row);
    for (int n = 0; n < rows; n++) {
      int t = steps[row + n];
      for (int d = 0; d < 2; d++) {
        int at = 2 * (row + n) + d;
        features[d * CHUNK + n] = signal[t] * x_0[at] + noise[t] * eps[at];
      }
    }
    add_features(steps + row, labels + row, rows);
    forward();
    compare(row, rows);
    backward();
  }
}

EXPORT double loss(void) { return loss_sum / batch_size; }

/* One step of AdamW with betas 0.9 and 0.99, eps 1e-8 and weight decay 0.01. */
EXPORT void adamw(double learning_rate) {
  beta_1_power *= 0.9, beta_2_power *= 0.99;
  f4 keep = splat(1 - learning_rate * 0.01), step = splat(learning_rate / (1 - beta_1_power));
  f4 root = splat(__builtin_sqrt(1 - beta_2_power));
  for (int i = 0; i < n_parameters; i += 4) {
    f4 g = load(gradient + i), m = load(first_moment + i), v = load(second_moment + i);
    m += (g - m) * splat(0.1f);
    v = v * splat(0.99f) + g * g * splat(0.01f);
    store(first_moment + i, m);
    store(second_moment + i, v);
    f4 size = __builtin_elementwise_sqrt(v) / root + splat(1e-8f);
    store(parameters + i, load(parameters + i) * keep - step * m / size);
  }
}

/* The factor on the learning rate after `done` steps: up over the first 5 %, times cos²(pi/2 done/of), down to 0. */
EXPORT double rate(int done, int of) {
  double warm_up = of / 20 > 1 ? of / 20 : 1, rise = (done + 1) / warm_up;
  double angle = 1.5707963267948966 * done / of, sine = 0, term = angle;
  for (int k = 1; k < 24; k += 2) {
    sine += term;
    term *= -angle * angle / ((k + 1) * (k + 2));
  }
  return (rise < 1 ? rise : 1) * (1 - sine * sine);
}

// --- sampling

/* outputs <- guidance · (with the label) + (1 - guidance) · (without), for the chunk of the rows from `row` on */
static void ask(int row, int rows, int t, float guidance) {
  static int same[CHUNK], none[CHUNK];
  for (int n = 0; n < rows; n++) same[n] = t;
  for (int pass = 0; pass < (guidance == 1 ? 1 : 2); pass++) {
    add_features(same, pass ? none : labels + row, rows);
    forward();
    for (int n = 0; n < rows; n++)
      for (int d = 0; d < 2; d++) {
        float *output = &outputs[2 * (row + n) + d], now = answer[d * CHUNK + n];
        *output = pass ? guidance * *output + (1 - guidance) * now : now;
      }
  }
}

/* One step of a sampler for the rows from…to - 1 of x; the network sees input_scale x, and step t. */
EXPORT void sample_step(int from, int to, int t, float guidance, float input_scale, float x_scale, float output_scale,
                        float previous_scale, float noise_scale) {
  for (int row = from; row < to; row += CHUNK) {
    int rows = least(CHUNK, to - row);
    float next[2 * CHUNK];
    for (int n = 0; n < rows; n++)
      for (int d = 0; d < 2; d++) {
        int at = 2 * (row + n) + d;
        features[d * CHUNK + n] = input_scale * x[at];
        next[2 * n + d] = x_scale * x[at];
        if (previous_scale != 0) next[2 * n + d] += previous_scale * outputs[at];
        if (noise_scale != 0) next[2 * n + d] += noise_scale * eps[at];
      }
    ask(row, rows, t, guidance);
    for (int i = 0; i < 2 * rows; i++) x[2 * row + i] = next[i] + output_scale * outputs[2 * row + i];
  }
}
