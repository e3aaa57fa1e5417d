// Opens the note of an equation's number beside the equation, and on hover. Without this script a click opens
// it in the middle of the page: the note is a popover, which the browser opens and closes by itself.

(() => {
  const GAP = 6; // CSS pixels between equation and note, and between note and window
  const PATIENCE = 250; // milliseconds for the pointer's way from one to the other

  /** Below the whole equation, so that it can be read beside the note, or above where there is no room. */
  function place(note, number) {
    const at = number.closest(".math").getBoundingClientRect();
    note.style.inset = "auto";
    note.style.margin = "0";
    const left = Math.min(at.right - note.offsetWidth, window.innerWidth - note.offsetWidth - GAP);
    const below = at.bottom + GAP + note.offsetHeight < window.innerHeight;
    note.style.left = `${Math.max(GAP, left)}px`;
    note.style.top = `${below ? at.bottom + GAP : Math.max(GAP, at.top - GAP - note.offsetHeight)}px`;
  }

  function prepare(number) {
    const note = document.getElementById(number.getAttribute("popovertarget"));
    let leaving;
    let hovered = false; // opened by hover: a click then keeps it open

    const isOpen = () => note.matches(":popover-open");
    const stay = () => clearTimeout(leaving);
    const leave = () => {
      stay();
      leaving = setTimeout(() => hovered && isOpen() && note.hidePopover(), PATIENCE);
    };

    note.addEventListener("toggle", (event) => {
      const opened = event.newState === "open";
      number.setAttribute("aria-expanded", opened);
      if (opened) place(note, number);
      else hovered = false;
    });
    number.addEventListener("pointerenter", (event) => {
      stay();
      if (event.pointerType !== "mouse" || isOpen()) return;
      hovered = true;
      note.showPopover();
    });
    number.addEventListener("click", (event) => {
      if (hovered && isOpen()) event.preventDefault();
      hovered = false;
    });
    number.addEventListener("pointerleave", leave);
    note.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape") return;
      note.hidePopover(); // Chromium itself does not, while the link inside has the focus
      number.focus();
    });
    note.addEventListener("pointerenter", stay);
    note.addEventListener("pointerleave", leave);
    window.addEventListener("scroll", () => isOpen() && place(note, number), { passive: true });
  }

  if ("popover" in HTMLElement.prototype) document.querySelectorAll(".eq-number").forEach(prepare);
})();
