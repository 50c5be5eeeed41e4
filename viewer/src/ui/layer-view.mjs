// What is known of one box of the graph: its layers, their tensors, and what they gave in the last run.

import { filterTiles, histogram, outputMaps, vectorBars, weightMap } from "./charts.mjs";
import { facts, h } from "./dom.mjs";
import { bytesText, countText, hex, numberText, percent, plural, shapeText, shortCount } from "./format.mjs";

/**
 * model: { facts, tensors: name -> facts, results: name -> { statistics } or { error } }.
 * Returns an element with the layers of a box.
 */
export function layerView(model, box) {
  return h("div", { class: "layer" }, box.layers.map((layer, i) => oneLayer(model, layer, i === 0)));
}

function oneLayer(model, layer, first) {
  const { run } = model.facts;
  const left = run.left.find(({ key }) => key === layer.key);
  return h(
    "article", {},
    h("h3", {}, layer.name || "(no name)", h("span", { class: "pill" }, layer.type)),
    !layer.runs && h("p", { class: "note" }, "Only for training: its rules leave it out of a run."),
    left && h("p", { class: "warn" }, `The live run leaves it out: ${left.why}.`),
    facts([
      ["output", run.tops.get(layer.key)?.map((shape) => shape && shapeText(shape)).filter(Boolean).join(", ")],
      ["settings", layer.settings.map(([name, value]) => `${name} ${value}`).join(" · ")],
      ["from", first && layer.bottoms.length ? layer.bottoms.join(", ") : undefined],
    ]),
    h("div", { class: "given", "data-key": layer.key }),
    layer.parameters.map((name, k) => tensorView(model, name, layer, k)),
  );
}

// What the blobs of a layer are, in their order.
const BLOBS = [
  [/^BatchNorm$/, ["mean", "variance", "factor of both"]],
  [/^Scale$/, ["factors", "bias"]],
  [/^PReLU$/, ["slopes"]],
  [/^Bias$/, ["bias"]],
  [/conv|^InnerProduct$|^Embed$/i, ["weights", "bias"]],
];

function blobName(type, k) {
  return BLOBS.find(([pattern]) => pattern.test(type))?.[1][k] ?? `blob ${k}`;
}

function tensorView(model, name, layer, k) {
  const tensor = model.tensors.get(name);
  const result = model.results.get(name);
  const shared = tensor.layer !== layer.index;
  const statistics = result?.statistics;
  return h(
    "div", { class: "tensor" },
    h("h4", {}, blobName(layer.type, k), h("span", { class: "soft" }, shapeText(tensor.shape)), check(result)),
    shared && h("p", { class: "note" }, `It is that of ${model.facts.layers[tensor.layer].name}, stored once.`),
    facts([
      ["stored as", tensor.form],
      ["takes", `${bytesText(tensor.bytes)} for ${plural(tensor.elements, "weight")}: ${bitsText(tensor)} bits each`],
      ["values", statistics && valuesText(statistics)],
      ["CRC-32", hex(tensor.crc32)],
    ]),
    result?.error && h("p", { class: "bad" }, `${result.error.name}: ${result.error.message}`),
    statistics && tensor.elements > 1 && h(
      "div", { class: "pictures" },
      histogram(statistics),
      // Filters that look at pixels say more as pictures than as rows of a matrix.
      statistics.filters ? filterTiles(statistics.filters) : isMatrix(statistics.map) && weightMap(statistics.map),
    ),
  );
}

function isMatrix(map) {
  return map && map.rows > 1 && map.columns > 1;
}

export function bitsText({ bytes, elements }) {
  return elements ? ((8 * bytes) / elements).toFixed(2) : "0";
}

function valuesText({ count, zeros, infinite, mean, deviation, min, max, levels }) {
  return [
    `${numberText(min)} to ${numberText(max)}, mean ${numberText(mean)}, deviation ${numberText(deviation)}`,
    zeros && `${percent(zeros / count)} zero`,
    levels && plural(levels.values.length, "distinct value"),
    infinite && `${countText(infinite)} not finite`,
  ].filter(Boolean).join("; ");
}

function check(result) {
  if (!result) return h("span", { class: "check soft" }, "not read yet");
  if (result.error) return h("span", { class: "check bad" }, "✕ damaged");
  return h("span", { class: "check good" }, "✓ intact");
}

/** Put the outputs of the last run into the places for them. */
export async function showOutputs(element, outputOf) {
  for (const place of element.querySelectorAll(".given")) {
    const output = await outputOf(place.dataset.key);
    if (output) place.replaceChildren(output.maps ? outputMaps(output) : vectorBars(output));
  }
}

export function macsText(macs) {
  return `${shortCount(macs)} products`;
}
