"use strict";
(async () => {
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const unpack = ({ length, columns }) =>
    Array.from({ length }, (_, i) =>
      Object.fromEntries(columns.map(([name, values, texts]) => [name, texts ? texts[values[i]] : values[i]])));

  // `ast` draws with Vega's expression interpreter, so the page's policy need not allow code made from text.
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, tooltip: { disableDefaultStyle: true } };

  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));

  for (const box of document.querySelectorAll(".chart")) {
    const spec = specs[Number(box.dataset.spec)];
    for (const name of Object.keys(spec.datasets)) spec.datasets[name] = unpack(spec.datasets[name]);
    try {
      await vegaEmbed(box, spec, options);
      box.setAttribute("role", "img");
      box.setAttribute("aria-label", spec.description);
    } catch (error) {
      box.textContent = "This chart could not be drawn: " + error.message;
      console.error(error);
    }
  }
  document.documentElement.dataset.drawn = "yes";
})();
