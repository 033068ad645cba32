"use strict";
(async () => {
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const pressed = (button) => button.getAttribute("aria-pressed") === "true";
  const press = (button) => button.setAttribute("aria-pressed", String(!pressed(button)));
  const make = (tag, text = "") => Object.assign(document.createElement(tag), { textContent: text });

  // Data: a table travels by column, texts as numbers of a list.
  const unpack = ({ length, columns }) =>
    Array.from({ length }, (_, i) =>
      Object.fromEntries(columns.map(([name, values, texts]) => [name, texts ? texts[values[i]] : values[i]])));

  const written = (value, isDate) => {
    if (value === null || value === undefined) return "";
    if (isDate) return new Date(value).toISOString().replace("T00:00:00.000Z", "").replace("T", " ").replace(".000Z", "");
    return String(value).replace(/^-(?=[\d.])/, "−");
  };

  function dataTable(spec, caption) {
    const { data, columns, dates } = spec.usermeta.table;
    const table = make("table");
    table.append(Object.assign(make("caption", caption), { className: "unseen" }));
    const head = table.createTHead().insertRow();
    for (const [, title] of columns) head.append(Object.assign(make("th", title), { scope: "col", className: "num" }));
    const body = table.createTBody();
    for (const record of spec.datasets[data] ?? []) {
      const row = body.insertRow();
      for (const [field] of columns) row.append(Object.assign(make("td", written(record[field], dates.includes(field))), { className: "num" }));
    }
    const box = make("div");
    box.className = "scroll";
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", caption);
    box.append(table);
    return box;
  }

  // What is selected is data to Vega-Lite: the models that are on, and the part of the axes that is shown.
  function bindLegend(figure, spec, view) {
    const buttons = all(".legend button", figure);
    const show = () => {
      const on = buttons.flatMap((button, i) => (pressed(button) ? [spec.usermeta.models[i]] : []));
      const fields = view.signal("models_tuple_fields");
      // An empty selection would select everything: it always holds one name that no model has.
      view.data("models_store", ["", ...on].map((name) => ({ unit: "", fields, values: [name] }))).runAsync();
    };
    for (const button of buttons) button.addEventListener("click", () => { press(button); show(); });
  }

  function bindControls(figure, spec, view) {
    for (const button of all(".switch", figure)) {
      button.addEventListener("click", () => { press(button); view.signal(button.dataset.signal, pressed(button)).runAsync(); });
    }
    for (const button of all(".zoom button", figure)) {
      button.addEventListener("click", () => {
        const [factor, shift] = button.dataset.step.split(" ").map(Number);
        const reach = (scale, moved) => {
          const [start, end] = scale.range(), middle = (start + end) / 2;
          return [start, end].map((place) => +scale.invert(middle + moved * (end - start) + factor * (place - middle)));
        };
        const fields = view.signal("zoom_tuple_fields");
        const values = fields.map(({ channel }) => reach(view.scale(channel), channel === "x" ? shift : 0));
        view.data("zoom_store", button.dataset.step ? [{ unit: "", fields, values }] : []).runAsync();
      });
    }
  }

  // Tables: a body of its own is what moves where a model has two rows, a row elsewhere.
  function bindSorting(table) {
    const heads = all("thead tr:last-child th", table);
    const key = (part, at) => {
      const cell = (part.rows ? part.rows[0] : part).cells[at];
      return cell.dataset.value ?? (cell.classList.contains("num") ? "" : cell.textContent.trim());
    };
    const compare = (a, b) => (a === "" || b === "" ? (a === "") - (b === "") : null);
    heads.forEach((head, at) => {
      const button = make("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
        const parts = table.tBodies.length > 1 ? [...table.tBodies] : [...table.tBodies[0].rows];
        const numbers = head.classList.contains("num");
        const keyed = parts.map((part) => [key(part, at), part]);
        keyed.sort(([a], [b]) => compare(a, b) ?? sign * (numbers ? a - b : a.localeCompare(b)));
        for (const [, part] of keyed) part.parentNode.append(part);
      });
    });
  }

  // One list chooses the model of a section's charts and tables.
  function bindChoice(select, views) {
    const section = select.closest(".chosen");
    const choose = () => {
      all("[data-model]", section).forEach((part, i) => { part.hidden = i !== select.selectedIndex; });
      for (const box of all(".chart", section)) views.get(box)?.signal("chosen", select.value).runAsync();
    };
    select.addEventListener("change", choose);
    choose();
  }

  function bindCopy(button) {
    const code = button.parentNode.querySelector("code");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected: press Ctrl+C";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 3000);
    });
  }

  // `ast` draws with Vega's expression interpreter, so the page's policy need not allow code made from text;
  // of its log only errors count (1), since a layer is empty, and says so, whenever what it draws is switched off.
  const options = {
    mode: "vega-lite", renderer: "svg", actions: false, ast: true, logLevel: 1, tooltip: { disableDefaultStyle: true },
  };
  const views = new Map();
  all("table.sortable").forEach(bindSorting);
  all(".copy").forEach(bindCopy);
  for (const box of all(".chart")) {
    const spec = specs[Number(box.dataset.spec)], figure = box.closest("figure"), label = box.getAttribute("aria-label");
    for (const name of Object.keys(spec.datasets)) spec.datasets[name] = unpack(spec.datasets[name]);
    try {
      const { view } = await vegaEmbed(box, spec, options);
      views.set(box, view);
      bindLegend(figure, spec, view);
      bindControls(figure, spec, view);
    } catch (error) {
      box.textContent = "This chart could not be drawn: " + error.message;
      console.error(error);
    }
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", label);
    const details = figure.querySelector(".data");
    details.addEventListener("toggle", () => details.append(dataTable(spec, label)), { once: true });
  }
  all(".chosen select").forEach((select) => bindChoice(select, views));
  addEventListener("beforeprint", () => all("details:not(.data)").forEach((each) => { each.open = true; }));
  document.documentElement.dataset.drawn = "yes";
})();
