// Where a browser keeps nothing for a page, as in the sandboxed frames of learning platforms, asking for its storage
// is an error, which stops the theme's button and the search. Such a page gets a storage that forgets.
(() => {
  try {
    window.localStorage.getItem("mode");
  } catch {
    const kept = new Map();
    const memory = {
      getItem: (key) => kept.get(String(key)) ?? null,
      setItem: (key, value) => void kept.set(String(key), String(value)),
      removeItem: (key) => void kept.delete(String(key)),
      clear: () => kept.clear(),
      key: (i) => [...kept.keys()][i] ?? null,
      get length() {
        return kept.size;
      },
    };
    for (const name of ["localStorage", "sessionStorage"])
      Object.defineProperty(window, name, { value: memory, configurable: true });
  }
})();
