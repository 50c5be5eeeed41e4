// Runs containers by the viewer's live run: live_run.mjs JOBS.json, a list of
// { file, feeds: { blob: { shape, file } }, out }. Writes each blob as float32 to OUT.<number>.bin
// and prints a list of { left, blobs: { name: { shape, file } }, ms }.

import { readFileSync, writeFileSync } from "node:fs";
import { open } from "../../spec/readers/js/cmodel-reader.mjs";
import { forOneImage, inputsOf, makePlan, runPlan } from "../../viewer/src/run/plan.mjs";

function floats(path) {
  const bytes = readFileSync(path);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

async function run({ file, feeds, out }) {
  const container = await open(readFileSync(file));
  const fed = Object.entries(feeds).map(([name, { shape }]) => [name, shape]);
  const shapes = new Map([...forOneImage(inputsOf(container.network)), ...fed]);
  const values = new Map(Object.entries(feeds).map(([name, feed]) => [name, floats(feed.file)]));
  const plan = makePlan(container, shapes);
  const weights = new Map();
  const weightsOf = (name) => {
    if (!weights.has(name)) weights.set(name, container.decode(name));
    return weights.get(name);
  };
  for (const { layer } of plan.steps) layer.parameters.forEach(weightsOf);
  const start = performance.now();
  const blobs = runPlan(plan, values, weightsOf);
  const ms = performance.now() - start;
  const found = {};
  let number = 0;
  for (const [name, data] of blobs) {
    const path = `${out}.${number++}.bin`;
    writeFileSync(path, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    found[name] = { shape: plan.shapes.get(name), file: path };
  }
  return { left: plan.left, blobs: found, ms, macs: plan.macs };
}

const results = [];
for (const job of JSON.parse(readFileSync(process.argv[2]))) results.push(await run(job));
process.stdout.write(JSON.stringify(results));
