// A dark page is light while it is printed.
(() => {
  const { dataset } = document.documentElement;
  let chosen;
  window.addEventListener("beforeprint", () => {
    chosen = dataset.theme;
    dataset.theme = "light";
  });
  window.addEventListener("afterprint", () => (dataset.theme = chosen));
})();
