// Saves the source of a page that was opened as a file. A browser then ignores the `download` of a link and shows
// what it leads to; but it saves a blob. The text comes from the script that lies beside the source.
(() => {
  if (location.protocol !== "file:") return;

  function read(address) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.onload = () => resolve(script.source);
      script.onerror = reject;
      script.src = `${address}.js`;
      document.head.append(script);
    });
  }

  function save(text, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text]));
    link.download = name;
    link.click();
  }

  for (const link of document.querySelectorAll("a[download]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const show = () => window.open(link.href); // as without this script
      read(link.href).then((text) => save(text, link.download), show);
    });
  }
})();
