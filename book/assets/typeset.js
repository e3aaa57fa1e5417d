// Sets a page's formulas in small steps, those in the window first, so that reading, widgets and scrolling wait
// for a few of them and not for all. Runs before MathJax, whose own start this replaces.
(() => {
  const STEP = 24; // formulas between two looks at the page

  const inWindow = (el) => {
    const { top, bottom } = el.getBoundingClientRect();
    return bottom > 0 && top < window.innerHeight;
  };

  function inOrderOfNeed(formulas) {
    const needed = new Set(formulas.filter(inWindow));
    return [...needed, ...formulas.filter((el) => !needed.has(el))];
  }

  /** Formulas above the place change its height: who arrives inside the page must find it where it stays. */
  function arrivesInside() {
    const [arrival] = performance.getEntriesByType("navigation");
    return window.location.hash !== "" || arrival?.type !== "navigate"; // not a link: reloading, or coming back
  }

  /** A moment in which the browser shows what there is; a page in a hidden tab need not show anything. */
  const pause = () =>
    document.hidden || new Promise((go) => window.requestIdleCallback?.(go, { timeout: 200 }) ?? setTimeout(go));

  async function pageReady() {
    let waiting = arrivesInside() ? [] : [...document.querySelectorAll(".math")];
    while (waiting.length) {
      waiting = inOrderOfNeed(waiting);
      await window.MathJax.typesetPromise(waiting.splice(0, STEP));
      await pause();
    }
    await window.MathJax.startup.defaultPageReady(); // all that is left, wherever it is
    // Who goes through the page by keyboard stops at equations, which may need scrolling, not at each symbol.
    for (const symbol of document.querySelectorAll("mjx-container:not([display])")) symbol.tabIndex = -1;
  }

  /** The menu is off, but would still obey what a page of this host once stored, formulas drawn by a script that is
   *  not here, for example: it finds nothing under another name. */
  function ready() {
    window.MathJax._.ui.menu.Menu.Menu.MENU_STORAGE = "no settings are stored";
    window.MathJax.startup.defaultReady();
  }

  if (window.MathJax) window.MathJax.startup = { pageReady, ready };
})();
