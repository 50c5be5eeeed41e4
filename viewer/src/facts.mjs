// What a container says of itself, as plain data that can be sent to the page.

import { layerFields } from "../../spec/readers/js/caffe-layers.mjs";
import { layersAtTest, inputsOf } from "./run/plan.mjs";

/** Where the bytes of tensors go; the page shows them in this order. */
export const KINDS = ["indices", "positions", "floats", "codebooks", "scales"];

export function factsOf(container) {
  const { network, tensors, sections, transform } = container;
  const running = new Set(layersAtTest(network));
  const stored = tensors.map(tensorFacts);
  const inputs = [...inputsOf(network)].map(([name, shape]) => ({ name, shape }));
  const inLayers = new Set(network.layers.flatMap(({ type, tops }) => (type === "Input" ? tops : [])));
  return {
    name: network.name,
    version: container.version,
    size: container.size,
    alignment: container.alignment,
    sections: sections.map(({ name, deflated, storedSize, decodedSize, crc32 }) => ({
      name, deflated, storedSize, decodedSize, crc32,
    })),
    layers: network.layers.map((layer) => layerFacts(layer, running.has(layer))),
    // Inputs that are stated beside the layers, as old deploy files have them.
    bareInputs: inputs.filter(({ name }) => !inLayers.has(name)),
    inputs,
    tensors: stored,
    tensorBytes: stored.reduce((sum, { bytes }) => sum + bytes, 0),
    parameters: stored.reduce((sum, { mean, elements }) => sum + (mean ? 0 : elements), 0),
    transform,
    mean: stored.some(({ mean }) => mean),
    unknown: container.unknown.map(({ layer, path, text }) => ({
      layer: layer ? network.layers[layer - 1].key : undefined, path, text,
    })),
    ...attempt("labels", () => container.labels),
    ...attempt("notes", () => container.notes),
  };
}

/** An ancillary section that is damaged says so, and the rest is shown all the same. */
function attempt(name, read) {
  try {
    return { [name]: read() };
  } catch (error) {
    return { [`${name}Error`]: { name: error.name, message: error.message } };
  }
}

function layerFacts({ index, key, name, type, bottoms, tops, parameters, raw }, runs) {
  return { index, key, name, type, bottoms, tops, parameters, runs, settings: settingsText(raw) };
}

/** The settings that are stated, as [name, value] in text; usual defaults are left out. */
function settingsText(raw) {
  const settings = [];
  for (const [message, fields] of Object.entries(layerFields(raw))) {
    if (!message.endsWith("_param") || typeof fields !== "object") continue;
    for (const [name, value] of Object.entries(fields)) {
      const text = valueText(value);
      if (text !== "" && !USUAL.has(`${name}=${text}`)) settings.push([name, text]);
    }
  }
  return settings;
}

// Defaults that say nothing to a reader.
const USUAL = new Set([
  "pad_h=0", "pad_w=0", "kernel_h=0", "kernel_w=0", "stride_h=0", "stride_w=0", "group=1", "axis=1",
  "pad=0", "kernel_size=0", "round_mode=CEIL", "global_pooling=no", "transpose=no", "concat_dim=1",
  "slice_dim=1", "negative_slope=0", "num_axes=1", "bias_term=yes", "norm_region=ACROSS_CHANNELS",
  "channel_shared=no", "out_max_val=no",
]);

function valueText(value) {
  if (Array.isArray(value)) return value.map(valueText).filter(Boolean).join(", ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return String(Number(value.toPrecision(6)));
  if (value && typeof value === "object") return valueText(value.dim ?? []);
  return String(value ?? "");
}

function tensorFacts({ name, layer, blob, shape, elements, form, crc32 }) {
  const kinds = Object.fromEntries(KINDS.map((kind) => [kind, 0]));
  addStreams(form, [], kinds);
  const bytes = Object.values(kinds).reduce((a, b) => a + b, 0);
  return {
    name, layer, blob, shape, elements, crc32, kinds, bytes, mean: name === ":mean",
    form: formText(form),
  };
}

/** Add the sizes of all streams of a form, by what they hold. */
function addStreams(node, path, kinds) {
  if (node === null || typeof node !== "object") return;
  if (typeof node.at === "number" && typeof node.size === "number") {
    kinds[kindOf(path)] += node.size;
    return;
  }
  for (const [key, inner] of Object.entries(node)) {
    if (key !== "owner") addStreams(inner, [...path, key], kinds); // `owner`: another's code table
  }
}

function kindOf(path) {
  if (path.includes("centroids") || path.includes("rotation")) return "codebooks";
  if (path.includes("scales") || path.includes("zeros")) return "scales";
  if (path.includes("positions")) return "positions";
  return path.at(-1) === "words" ? "floats" : "indices";
}

const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
const groupsText = ({ groups }) => (groups > 1 ? ` in ${count(groups, "group")}` : "");
const coderText = (integers) => (integers?.coder ? `, coded as ${integers.coder}` : "");

function formText(form) {
  const { kind } = form;
  if (kind === "Dense") return `${form.type}${form.planes ? " in byte planes" : ""}`;
  if (kind === "Codebook") {
    return `${count(form.entries, "shared value")}${groupsText(form)}${coderText(form.codes)}`;
  }
  if (kind === "Linear") return `${form.type} times a scale${groupsText(form)}${coderText(form.integers)}`;
  if (kind === "Trellis") {
    return `trellis of ${form.states} states, ${form.type}${groupsText(form)}${coderText(form.integers)}`;
  }
  if (kind === "Sparse") {
    const blocks = form.height * form.width > 1 ? ` of ${form.height} × ${form.width}` : "";
    const what = blocks ? `${count(form.count, "block")}${blocks}` : `${count(form.count, "weight")}`;
    return `sparse: ${what}, positions by ${form.positions?.coder}; ${formText(form.values)}`;
  }
  if (kind === "Product") {
    return `product: ${count(form.stages, "stage")}, ${count(form.blocks, "block")} of ${form.dimension}, ` +
      `${count(form.entries, "vector")}${form.rotation ? ", rotated" : ""}${coderText(form.codes)}`;
  }
  if (kind === "Hashed") return `hashed into ${count(form.buckets, "bucket")}; ${formText(form.values)}`;
  return String(kind);
}

