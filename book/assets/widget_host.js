// Draws a built page's recorded widgets, with no kernel and no network. A recording is data: the code that draws it
// is the book's own, `window.bookWidgets`, which the extension widget_host has written.
(() => {
  const STATE = "application/vnd.jupyter.widget-state+json";
  const VIEW = "application/vnd.jupyter.widget-view+json";

  const readJson = (script) => JSON.parse(script.textContent);
  const scripts = (type) => [...document.querySelectorAll(`script[type="${type}"]`)];

  function decode(base64) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    return new DataView(bytes.buffer);
  }

  /** A saved model's traits, with its binary ones put back where `path` says. */
  function restore({ state, buffers = [] }) {
    const traits = structuredClone(state);
    for (const { path, data } of buffers) {
      const parent = path.slice(0, -1).reduce((value, key) => value[key], traits);
      parent[path.at(-1)] = decode(data);
    }
    return traits;
  }

  /** What a widget may ask of its model when there is no kernel: its traits, and listeners to changes of its own. */
  function modelOf(traits) {
    const changes = new EventTarget();
    const wrapped = new Map();
    return {
      get: (name) => traits[name],
      set(name, value) {
        traits[name] = value;
        changes.dispatchEvent(new Event(`change:${name}`));
      },
      on(event, callback) {
        wrapped.set(callback, () => callback());
        changes.addEventListener(event, wrapped.get(callback));
      },
      off: (event, callback) => changes.removeEventListener(event, wrapped.get(callback)),
      save_changes() {}, // there is no kernel to tell
    };
  }

  async function draw(script, el) {
    const saved = (await models)[readJson(script).model_id];
    if (!saved) throw new Error("its recording is not in this page");
    const name = saved.state._anywidget_id;
    if (!Object.hasOwn(window.bookWidgets ?? {}, name)) throw new Error("it is none of this book's widgets");
    const model = modelOf(restore(saved));
    await window.bookWidgets[name].render({ model, el });
    window.bookLive?.attach(model, el); // on pages whose models the reader can train
  }

  function report(el, error) {
    const text = `This widget cannot be shown here (${error.message}). The notebook of this page draws it again.`;
    const said = document.createElement("p");
    said.className = "widget-failed";
    said.textContent = text;
    el.replaceChildren(said);
  }

  async function readModels() {
    return Object.assign({}, ...scripts(STATE).map((script) => readJson(script).state));
  }

  const models = readModels(); // a promise, so that each view reports it when the state cannot be read
  for (const script of scripts(VIEW)) {
    const el = script.parentElement.querySelector(".widget-room"); // written by the extension widget_host
    draw(script, el)
      .catch((error) => report(el, error))
      .finally(() => (el.style.minHeight = "0")); // the height kept free until now
  }
})();
