// Elements without HTML: whatever a file says goes in as text.

const SVG = "http://www.w3.org/2000/svg";

// Not printable, or able to reorder the text around it.
const UNPRINTABLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g;

/** A text from a file as it may be shown. */
export function shown(text) {
  return String(text).replace(UNPRINTABLE, "\ufffd");
}

/** A text of at most `length` characters: of a longer one both ends. */
export function shorten(text, length) {
  const all = [...shown(text)];
  if (all.length <= length) return all.join("");
  const head = Math.floor((length - 1) / 2);
  return `${all.slice(0, head).join("")}…${all.slice(head + 1 - length).join("")}`;
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children.flat(Infinity).filter((c) => c !== undefined && c !== false && c !== null)
      .map((c) => (c instanceof Node ? c : shown(c))),
  );
  return element;
}

/** An HTML element: h("p", { class: "note" }, "text", element). */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function s(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Names and values, the empty ones left out. */
export function facts(entries) {
  const kept = entries.filter(([, value]) => value !== undefined && value !== "");
  return h("dl", {}, kept.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

export function section(id, title, ...content) {
  return h("section", { id, "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title` }, title), content);
}
