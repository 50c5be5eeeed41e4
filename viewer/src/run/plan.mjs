// The live run: which layers a network runs, in which shapes, and the run itself. One image; the
// parameters are decoded when they are needed.

import { layerFields, SCHEMA } from "../../../spec/readers/js/caffe-layers.mjs";
import { protoFields } from "../../../spec/readers/js/cmodel-reader.mjs";
import { LAYERS } from "./registry.mjs";
import { Budget, RunError, byText } from "./shapes.mjs";

const BYTES = 2;
const VARINT = 0;
const INCLUDE = 8;
const EXCLUDE = 9;
const TEST = 1;
const MAX_CLASSES = 2 ** 16;

/** The layers that Caffe would run at test time, by their `include` and `exclude` rules. */
export function layersAtTest(network) {
  return network.layers.filter(({ raw }) => {
    const rules = { [INCLUDE]: [], [EXCLUDE]: [] };
    for (const { number, type, value } of protoFields(raw)) {
      if (type === BYTES && rules[number]) rules[number].push(holdsAtTest(value));
    }
    if (rules[INCLUDE].length) return rules[INCLUDE].includes(true);
    return !rules[EXCLUDE].includes(true);
  });
}

/** Whether a NetStateRule holds for the phase TEST, level 0 and no stages. */
function holdsAtTest(rule) {
  for (const { number, type, value } of protoFields(rule)) {
    if (number === 1 && type === VARINT && Number(value) !== TEST) return false;
    if (number === 2 && type === VARINT && BigInt.asIntN(32, value) > 0n) return false;
    if (number === 3 && type === VARINT && BigInt.asIntN(32, value) < 0n) return false;
    if (number === 4) return false;
  }
  return true;
}

/** A layer's settings, with defaults, and which of them are stated. */
export function settingsOf(layer) {
  const [, name, message, number] = LAYERS.get(layer.type) ?? [];
  const fields = { ...(name && layerFields(layer.raw)[name]) };
  for (const field of (message && SCHEMA.get(message)) || []) {
    if (!(field.name in fields)) fields[field.name] = field.repeated ? [] : field.default;
  }
  const stated = new Set();
  for (const field of protoFields(layer.raw)) {
    if (field.number !== number || field.type !== BYTES) continue;
    for (const inner of protoFields(field.value)) stated.add(inner.number);
  }
  return { fields, stated: (n) => stated.has(n) };
}

/** The inputs of a network: name -> shape as stated, or undefined. */
export function inputsOf(network, layers = layersAtTest(network)) {
  const inputs = new Map();
  network.inputs.forEach((name, i) => {
    const dims = network.inputDims.slice(4 * i, 4 * i + 4);
    inputs.set(name, network.inputShapes[i] ?? (dims.length === 4 ? dims : undefined));
  });
  for (const layer of layers) {
    if (layer.type !== "Input") continue;
    const shapes = layerFields(layer.raw).input_param?.shape ?? [];
    layer.tops.forEach((top, i) => inputs.set(top, shapes[shapes.length > 1 ? i : 0]?.dim));
  }
  return inputs;
}

/** The shapes of the inputs for one image. */
export function forOneImage(inputs) {
  return new Map(
    [...inputs].filter(([, shape]) => shape?.length).map(([name, shape]) => [name, [1, ...shape.slice(1)]]),
  );
}

/**
 * What is run, in order: `steps` of { layer, tops, macs, run }, `shapes` of blobs by name, and
 * `tops` of shapes by layer key. A layer that cannot be run, and what hangs on it, is left out:
 * `left` says of each { key, type, why }.
 */
export function makePlan(container, inputShapes) {
  const layers = layersAtTest(container.network);
  const inputs = inputsOf(container.network, layers);
  const blobs = new Map();
  const plan = { steps: [], shapes: new Map(), tops: new Map(), left: [], outputs: [], macs: 0 };
  const budget = new Budget();
  for (const [name, shape] of inputShapes) {
    if (fits(budget, shape)) blobs.set(name, shape);
  }
  const made = new Map(); // blob -> the layer that made it last, where nothing has used it yet
  for (const layer of layers) {
    if (layer.type === "Input") {
      plan.tops.set(layer.key, layer.tops.map((top) => blobs.get(top)));
      continue;
    }
    const missing = layer.bottoms.find((name) => !blobs.has(name));
    try {
      if (missing !== undefined) {
        const why = inputs.has(missing) ? "has no shape" : "is not there";
        throw new RunError(`its input ${missing} ${why}`);
      }
      const planner = LAYERS.get(layer.type)?.[0];
      if (!planner) throw new RunError("this type of layer is not known to the live run");
      const bottoms = layer.bottoms.map((name) => blobs.get(name));
      const params = layer.parameters.map((name) => container.tensor(name).shape);
      const call = { type: layer.type, tops: layer.tops, ...settingsOf(layer) };
      const step = planner(call, bottoms, params);
      step.tops.forEach((shape) => budget.take(shape));
      for (const name of layer.bottoms) made.delete(name);
      layer.tops.forEach((name, i) => {
        if (!step.tops[i]) throw new RunError(`it has ${layer.tops.length} outputs`);
        blobs.set(name, step.tops[i]);
        made.set(name, layer);
      });
      plan.steps.push({ layer, ...step });
      plan.tops.set(layer.key, step.tops);
      plan.macs += step.macs ?? 0;
    } catch (error) {
      if (!(error instanceof RunError) && !(error instanceof TypeError)) throw error;
      // A TypeError: fields that do not fit the layer at all, such as a Crop without a second input.
      const why = error instanceof RunError ? error.message : "its fields do not fit together";
      plan.left.push({ key: layer.key, type: layer.type, why, cause: missing === undefined });
      for (const name of layer.tops) {
        blobs.delete(name);
        made.delete(name);
      }
    }
  }
  plan.shapes = blobs;
  plan.outputs = [...made].map(([name, layer]) => ({ name, type: layer.type, shape: blobs.get(name) }));
  return plan;
}

function fits(budget, shape) {
  try {
    budget.take(shape);
    return true;
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    return false; // as if it had no shape
  }
}

/**
 * Run a plan. `feeds`: input name -> Float32Array; `weightsOf`: parameter name -> Float32Array.
 * `onLayer(layer, tops)` sees each layer's outputs, which it must not keep longer than it needs.
 * Returns the blobs by name, as they are in the end.
 */
export function runPlan(plan, feeds, weightsOf, onLayer = () => {}) {
  const blobs = new Map(feeds);
  for (const [name, values] of blobs) {
    const shape = plan.shapes.get(name);
    if (shape && values.length !== shape.reduce((a, b) => a * b, 1)) {
      throw new RunError(`${name} has ${values.length} values instead of ${byText(shape)}`);
    }
  }
  for (const { layer, tops, run } of plan.steps) {
    const inputs = layer.bottoms.map((name) => blobs.get(name));
    if (inputs.some((values) => !values)) throw new RunError(`${layer.key} has not got its input`);
    const outputs = tops.map((shape) => new Float32Array(shape.reduce((a, b) => a * b, 1)));
    run(inputs, outputs, layer.parameters.map(weightsOf));
    layer.tops.forEach((name, i) => blobs.set(name, outputs[i]));
    onLayer(layer, outputs);
  }
  return blobs;
}

/** The blob that holds the scores of the classes: { name, shape, classes, probabilities }. */
export function scoresOf(plan) {
  const vectors = plan.outputs.filter(({ shape }) => {
    const classes = shape.slice(1).reduce((a, b) => a * b, 1);
    return shape.length >= 2 && classes > 1 && classes <= MAX_CLASSES && Math.max(...shape.slice(1)) === classes;
  });
  const found = vectors.findLast(({ type }) => type === "Softmax") ?? vectors.at(-1);
  if (!found) return undefined;
  const classes = found.shape.slice(1).reduce((a, b) => a * b, 1);
  return { ...found, classes, probabilities: found.type === "Softmax" };
}

