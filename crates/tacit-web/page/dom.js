// Elements by name. Texts stay texts: nothing here takes markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "wide") element.style.width = value;
    else if (name in element && !(element instanceof SVGElement) && typeof value !== "string") element[name] = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name === "className" ? "class" : name, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** An element: h("p", { class: "soft" }, "text", h("b", {}, "more")). */
export function h(name, properties, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** An element of a drawing. */
export function s(name, properties, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

/** Puts these in place of what an element holds. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(9).filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** A table whose cells carry their column's name, for narrow screens. */
export function table(columns, rows) {
  const cell = (content, index) => h("td", { "data-name": columns[index].name, class: columns[index].right ? "right" : undefined }, h("span", {}, content));
  return h("table", { class: "rows" },
    h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: column.right ? "right" : undefined }, column.name)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell)))));
}

/** Names with values, and what each means. */
export function fields(entries) {
  return h("dl", { class: "fields" }, entries.filter(Boolean).map(([name, value, say]) => [
    h("dt", {}, name), h("dd", {}, value, say && h("span", { class: "say" }, say)),
  ]));
}

/** A text with a button that copies it. */
export function command(text) {
  const button = h("button", { type: "button", class: "quiet small" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select the text and copy it";
    }
  });
  return h("div", { class: "command" }, h("pre", {}, text), button);
}

/** What went wrong, and what to do. */
export function trouble(error, title = "Refused: ") {
  const hint = error.hint || (error.code ? "" : "Is the gateway running? Start the network again with: tacit up");
  return h("div", { class: "note wrong", role: "alert" },
    h("p", {}, h("b", {}, title), error.message), hint && h("p", { class: "small" }, "What to do: " + hint));
}
