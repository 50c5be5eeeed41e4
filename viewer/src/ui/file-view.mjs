// What the file says of itself, and where its bytes are.

import { KINDS } from "../facts.mjs";
import { facts as list, h, shown } from "./dom.mjs";
import { bytesText, countText, hex, plural } from "./format.mjs";
import { bitsText } from "./layer-view.mjs";

const KIND_NAMES = {
  indices: "indices and integers", positions: "positions", floats: "floats", codebooks: "codebooks", scales: "scales",
};
const MAX_ROWS = 1000;
const SIDE = "manifest, notes, headers";

/** Bars of bytes by layer; `choose(layer)` is called where one is clicked. */
export function bytesView(facts, choose) {
  const byLayer = new Map();
  for (const tensor of facts.tensors.filter(({ mean: isMean }) => !isMean)) {
    if (!byLayer.has(tensor.layer)) byLayer.set(tensor.layer, []);
    byLayer.get(tensor.layer).push(tensor);
  }
  const rows = [...byLayer].slice(0, MAX_ROWS).map(([index, tensors]) => {
    const layer = facts.layers[index];
    return row(layer.name, tensors, () => choose(layer), layer.type);
  });
  if (byLayer.size > MAX_ROWS) {
    rows.push(row(`${plural(byLayer.size - MAX_ROWS, "more layer")}`, [...byLayer.values()].slice(MAX_ROWS).flat()));
  }
  const mean = facts.tensors.filter((tensor) => tensor.mean);
  if (mean.length) rows.push(row("mean image", mean));
  const side = facts.size - facts.tensorBytes;
  rows.push({ name: SIDE, bytes: side, side: true });
  const most = rows.reduce((top, { bytes }) => Math.max(top, bytes), 1);
  const used = KINDS.filter((kind) => facts.tensors.some(({ kinds }) => kinds[kind]));
  return [
    h("ul", { class: "legend" }, used.map((kind) => h("li", {}, h("span", { class: `swatch ${kind}` }), KIND_NAMES[kind])),
      h("li", {}, h("span", { class: "swatch side" }), SIDE)),
    h("table", { class: "bytes" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "layer"), h("th", { scope: "col", class: "wide" }, h("span", { class: "hidden" }, "bytes as a bar")),
        h("th", { scope: "col", class: "num" }, "bytes"), h("th", { scope: "col", class: "num" }, "bits a weight"),
        h("th", { scope: "col", class: "num optional" }, "of float32"))),
      h("tbody", {}, rows.map((entry) => rowView(entry, most)))),
  ];
}

function row(name, tensors, onclick, type) {
  const sum = (of) => tensors.reduce((total, tensor) => total + of(tensor), 0);
  const kinds = Object.fromEntries(KINDS.map((kind) => [kind, sum((tensor) => tensor.kinds[kind])]));
  return { name, type, kinds, bytes: sum(({ bytes }) => bytes), elements: sum(({ elements }) => elements), onclick };
}

function rowView({ name, type, kinds, bytes, elements, onclick, side }, most) {
  const parts = side ? [["side", bytes]] : Object.entries(kinds);
  const bar = h("div", { class: "stack" }, parts.filter(([, size]) => size).map(([kind, size]) => {
    const part = h("span", { class: kind, title: `${KIND_NAMES[kind] ?? name}: ${bytesText(size)}` });
    part.style.setProperty("width", `${((100 * size) / most).toFixed(3)}%`);
    return part;
  }));
  const title = onclick
    ? h("button", { type: "button", class: "link", onclick, title: shown(`${type} ${name}`) }, name || "(no name)")
    : name;
  return h("tr", { class: side ? "soft" : undefined },
    h("th", { scope: "row" }, title), h("td", { class: "wide" }, bar), h("td", { class: "num" }, bytesText(bytes)),
    h("td", { class: "num" }, elements ? bitsText({ bytes, elements }) : ""),
    h("td", { class: "num optional" }, elements ? `1 / ${((4 * elements) / Math.max(bytes, 1)).toFixed(1)}` : ""));
}

export function transformText(facts) {
  const { transform, mean } = facts;
  if (!transform && !mean) return undefined;
  const by = (height, width) => `${height} × ${width}`;
  const numbers = (values) => values.map((v) => String(Number(v.toPrecision(9)))).join(", ");
  const steps = [];
  const t = transform ?? { scale: [], meanValue: [], channelOrder: "UNSPECIFIED" };
  if (t.resizeHeight) steps.push(`resize to ${by(t.resizeHeight, t.resizeWidth)}`);
  if (t.cropHeight) steps.push(`cut the middle ${by(t.cropHeight, t.cropWidth)}`);
  if (t.channelOrder !== "UNSPECIFIED") steps.push({ GRAY: "gray" }[t.channelOrder] ?? `channels ${t.channelOrder}`);
  if (mean) steps.push("subtract the mean image");
  if (t.meanValue.length) steps.push(`subtract ${numbers(t.meanValue)}`);
  if (t.scale.length) steps.push(`multiply by ${numbers(t.scale)}`);
  return steps.join(", then ") || undefined;
}

export function fileView(facts) {
  const { labels, notes } = facts;
  const problem = (error) => error && h("span", { class: "bad" }, `${error.name}: ${error.message}`);
  const inputs = facts.inputs.map(({ name, shape }) => `${name} (${shape ? shape.join(" × ") : "no shape"})`).join(", ");
  return [
    list([
      ["network", facts.name || undefined],
      ["inputs", inputs || undefined],
      ["a picture becomes the input by", transformText(facts)],
      ["class names", problem(facts.labelsError) ?? (labels && labelsView(labels))],
      ["notes", problem(facts.notesError)],
      ...noteEntries(notes),
      ["format", `cmodel ${facts.version}, sections aligned to ${plural(facts.alignment, "byte")}`],
    ]),
    h("h3", {}, "Sections"),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Sections of the file" }, h("table", { class: "sections" },
      h("thead", {}, h("tr", {}, ["section", "bytes", "decoded", "CRC-32"].map((name, i) => h("th", { scope: "col", class: i ? "num" : undefined }, name)))),
      h("tbody", {}, facts.sections.map(({ name, deflated, storedSize, decodedSize, crc32 }) => h("tr", {},
        h("th", { scope: "row" }, name), h("td", { class: "num" }, countText(storedSize)),
        h("td", { class: "num" }, deflated ? countText(decodedSize) : "as stored"), h("td", { class: "num mono" }, hex(crc32))))))),
    facts.unknown.length > 0 && h("details", {}, h("summary", {}, `${plural(facts.unknown.length, "field")} of Caffe forks, kept as found`),
      h("ul", {}, facts.unknown.slice(0, 200).map(({ layer, path, text }) => h("li", {}, `${layer ?? "network"} ${path}: ${text ?? "(bytes)"}`)))),
  ];
}

function labelsView(labels) {
  return h("details", {}, h("summary", {}, plural(labels.length, "name")), h("p", {}, labels.slice(0, 2000).join(", ")));
}

/** Plain notes as names and values; deeper ones as JSON. */
function noteEntries(notes) {
  if (notes === undefined) return [];
  const plain = (value) => value === null || typeof value !== "object";
  if (plain(notes) || Array.isArray(notes)) return [["notes", JSON.stringify(notes)]];
  return Object.entries(notes).map(([name, value]) => {
    if (plain(value)) return [name, String(value)];
    const parts = Object.entries(value);
    if (parts.every(([, inner]) => plain(inner))) return [name, parts.map((part) => part.join(" ")).join(", ")];
    return [name, h("pre", {}, JSON.stringify(value, undefined, 1))];
  });
}
