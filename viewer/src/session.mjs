// One open container: what the page asks of it. It runs in a worker, so that decoding and the live
// run do not hold up the page; everything that goes in and out can be sent between threads.

import { open } from "../../spec/readers/js/cmodel-reader.mjs";
import { factsOf } from "./facts.mjs";
import { pictureShape, prepare, sizeBeforeCrop } from "./picture.mjs";
import { forOneImage, inputsOf, makePlan, runPlan, scoresOf } from "./run/plan.mjs";
import { RunError } from "./run/shapes.mjs";
import { statisticsOf } from "./statistics.mjs";

// Decoded weights that are kept from run to run, and outputs that are kept to look at: in elements.
const MAX_KEPT_WEIGHTS = 2 ** 27;
const MAX_KEPT_OUTPUTS = 2 ** 25;
const MAX_MAPS = 64;
const MAX_SIDE = 4096; // of a picture, in pixels
const MAX_MAP_SIDE = 96;
const MEAN = ":mean";

export class Session {
  #container;
  #plan;
  #input;
  #mean;
  #weights = new Map();
  #outputs = new Map();

  /** Open a container; returns its facts and what the live run makes of it. */
  async open(bytes) {
    this.#container = await open(bytes);
    const facts = factsOf(this.#container);
    return { ...facts, run: this.#prepareRun() };
  }

  #prepareRun() {
    const container = this.#container;
    const shapes = forOneImage(inputsOf(container.network));
    this.#plan = makePlan(container, shapes);
    const [[name, shape] = []] = [...shapes].filter(([, s]) => pictureShape(s));
    const scores = scoresOf(this.#plan);
    const run = {
      macs: this.#plan.macs,
      left: this.#plan.left,
      tops: this.#plan.tops,
      why: undefined,
      input: undefined,
      size: undefined,
      scores,
    };
    if (!name) run.why = "the network has no input that is a picture of one or three channels";
    else if (shapes.size > 1) run.why = "the network has more than one input";
    else if (!scores) run.why = "no scores of classes come out of it";
    else {
      this.#input = { name, shape };
      const size = sizeBeforeCrop(container.transform, container.tensor(MEAN), shape);
      const sides = [size.height, size.width, shape[2], shape[3]];
      if (sides.some((side) => side < 1 || side > MAX_SIDE)) {
        run.why = "its input has a size that no picture should have";
      }
      run.input = this.#input;
      run.size = size;
    }
    return run;
  }

  /** CRC-32 of all sections, each by itself: [{ name, error }]. */
  checkSections() {
    try {
      this.#container.verify();
      return { ok: true };
    } catch (error) {
      return { ok: false, error: plain(error) };
    }
  }

  /** Decode a tensor (which checks its CRCs) and return what its pictures are drawn from. */
  tensor(name) {
    try {
      const { shape } = this.#container.tensor(name);
      return { name, statistics: statisticsOf(this.#container.decode(name), shape) };
    } catch (error) {
      return { name, error: plain(error) };
    }
  }

  #weightsOf(name) {
    const held = this.#weights.get(name);
    if (held) return held;
    const values = this.#container.decode(name);
    let kept = values.length;
    for (const { length } of this.#weights.values()) kept += length;
    if (kept <= MAX_KEPT_WEIGHTS) this.#weights.set(name, values);
    return values;
  }

  /** Classify a picture { width, height, data }: { scores, ms, input } or { error }. */
  run(picture) {
    try {
      const { name, shape } = this.#input;
      const { transform } = this.#container;
      const mean = this.#container.tensor(MEAN);
      if (mean) this.#mean ??= { shape: mean.shape, values: this.#container.decode(MEAN) };
      const input = prepare(picture, transform, this.#mean, shape);
      for (const { layer } of this.#plan.steps) layer.parameters.forEach((p) => this.#weightsOf(p));
      this.#outputs.clear();
      let kept = 0;
      const start = performance.now();
      const blobs = runPlan(
        this.#plan, new Map([[name, input]]), (p) => this.#weightsOf(p),
        (layer, outputs) => {
          kept += outputs[0]?.length ?? 0;
          if (kept <= MAX_KEPT_OUTPUTS) this.#outputs.set(layer.key, outputs[0]);
        },
      );
      const ms = performance.now() - start;
      return { scores: blobs.get(scoresOf(this.#plan).name), ms, input };
    } catch (error) {
      return { error: plain(error) };
    }
  }

  /** The output of a layer in the last run, as small maps: { count, height, width, maps, values }. */
  output(key) {
    const values = this.#outputs.get(key);
    const shape = this.#plan?.tops.get(key)?.[0];
    if (!values?.length || !shape) return undefined;
    if (shape.length !== 4 || shape[2] * shape[3] === 1) return { count: values.length, values: values.slice(0, 4096) };
    const [, channels, height, width] = shape;
    const step = Math.max(1, Math.ceil(Math.max(height, width) / MAX_MAP_SIDE));
    const size = { height: Math.ceil(height / step), width: Math.ceil(width / step) };
    const maps = Math.min(channels, MAX_MAPS);
    const out = new Float32Array(maps * size.height * size.width);
    for (let c = 0, at = 0; c < maps; c++) {
      for (let y = 0; y < size.height; y++) {
        for (let x = 0; x < size.width; x++) out[at++] = values[(c * height + y * step) * width + x * step];
      }
    }
    return { count: channels, ...size, maps, values: out };
  }
}

/** An error as data; one that is not expected keeps its kind, so that it is not taken for a damaged file. */
export function plain(error) {
  const name = error instanceof RunError ? "run" : error.name;
  return { name, message: error.message };
}

/** Answer the page's messages { id, method, arguments } in a worker. */
export function serve(scope) {
  const session = new Session();
  scope.onmessage = async ({ data: { id, method, args } }) => {
    try {
      scope.postMessage({ id, value: await session[method](...args) });
    } catch (error) {
      scope.postMessage({ id, error: plain(error) });
    }
  };
  scope.postMessage("ready");
}
