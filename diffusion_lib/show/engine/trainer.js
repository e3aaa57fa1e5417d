// Runs trainings on a page: in a worker, where the browser allows one, else in short slices between its frames.
//
//     const run = diffusionTrainer.start(settings, { onPicture, onEnd });   // settings: see session.js
//     run.mode      a promise of "worker", "slices", "unavailable", or "stopped" before it began
//     run.stop()    ends the run, which keeps what was learnt
//     onPicture({ step, steps, loss, seconds, sampling, samples, … })       // samples: flat, x, y, x, y, …
//     onEnd({ reason, message, step, steps, loss, seconds, sampling, losses, weights })
//
// `onEnd` is called once for each run, last, with the reason "done", "stopped", "diverged" (the loss is not
// finite, or a million times the first), "failed" (settings that cannot be) or "unavailable" (the browser refuses
// WebAssembly: show the recording); where nothing has run, reason and message are all there is. `seconds` are
// those spent on training and sampling, `sampling` on the latter. Runs do not know of each other. A slice waits for
// the next frame of the page, so a page out of sight pauses; a worker goes on.

const SLICE = { page: 6, worker: 50 }; // milliseconds; a turn may take a few more
const PATIENCE = 3000, LAST_WORD = 1000; // milliseconds that a worker has to start, and to end

const loadEngine = () => Engine.load(Uint8Array.from(atob(ENGINE), (letter) => letter.charCodeAt(0)));

/** Run a session slice by slice; `pause` calls its argument when the next may come. */
function inSlices(session, milliseconds, pause) {
  pause(() => {
    if (session.run(milliseconds)) inSlices(session, milliseconds, pause);
  });
}

function nextFrame(go) {
  if (globalThis.requestAnimationFrame) requestAnimationFrame(() => setTimeout(go)); // after the frame is painted
  else setTimeout(go);
}

/** As soon as messages that wait have had their turn: timers would wait for 4 milliseconds. */
function nextTurn(go) {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    go();
  };
  port2.postMessage(null);
}

async function onThePage(settings, tell) {
  const session = new Session(await loadEngine(), settings, (message) => setTimeout(() => tell(message)));
  inSlices(session, SLICE.page, nextFrame);
  return () => session.end("stopped");
}

/** The other end of `inWorker`: this script, in the worker. */
async function serve() {
  try {
    const engine = await loadEngine();
    let session;
    onmessage = ({ data: { settings } }) => {
      if (!settings) return session.end("stopped");
      session = new Session(engine, settings, (message) => postMessage(message));
      inSlices(session, SLICE.worker, nextTurn);
    };
    postMessage({ ready: true });
  } catch (error) {
    postMessage({ refused: error.message });
  }
}

/** A worker made of this script's own text. Browsers refuse it with an exception, with an event, or in silence. */
function inWorker(settings, tell) {
  return new Promise((resolve, reject) => {
    const text = `(${trainerScript})("worker");`;
    const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    const worker = new Worker(url);
    let started = false;
    const close = () => {
      clearTimeout(late);
      worker.terminate();
      URL.revokeObjectURL(url);
    };
    const fail = (message) => {
      close();
      if (started) tell({ end: { reason: "failed", message } });
      else reject(new Error(message));
    };
    const late = setTimeout(() => fail("the worker does not start"), PATIENCE);
    const stop = () => {
      worker.postMessage({});
      setTimeout(() => (close(), tell({ end: { reason: "stopped", message: "" } })), LAST_WORD);
    };
    worker.onerror = (event) => (event.preventDefault(), fail(event.message || "the browser refuses a worker"));
    worker.onmessage = ({ data: message }) => {
      if (message.refused) return fail(message.refused);
      if (!message.ready) {
        if (message.end) close();
        return tell(message);
      }
      clearTimeout(late);
      started = true;
      worker.postMessage({ settings });
      resolve(stop);
    };
  });
}

/** Start a training. `ways` are tried in turn. */
function start(settings, { onPicture, onEnd } = {}, ways = ["worker", "slices"]) {
  let ended = false, stop = null;
  const tell = ({ picture, end }) => {
    if (ended) return;
    if (end) ended = true;
    end ? onEnd?.(end) : onPicture?.(picture);
  };
  const launch = async () => {
    let trouble = "";
    for (const way of ways) {
      if (ended) return "stopped";
      try {
        const stopIt = await { worker: inWorker, slices: onThePage }[way](settings, tell);
        ended ? stopIt() : (stop = stopIt);
        return way;
      } catch (error) {
        trouble = error.message;
      }
    }
    tell({ end: { reason: "unavailable", message: trouble } });
    return "unavailable";
  };
  const halt = () => (stop ? stop() : tell({ end: { reason: "stopped", message: "" } }));
  return { mode: launch(), stop: halt };
}

if (role === "worker") serve();
else globalThis.diffusionTrainer = { start, tables };
