// Opens containers as the page does, whatever is in them, and runs what can be run:
//   open_files.mjs FILE...
// Prints a list of { file, error, tensors, sections, run } and stops with an error at what a page
// must not meet: an error that is no answer to the file.

import { readFileSync } from "node:fs";
import { Session } from "../../viewer/src/session.mjs";

// Names of JavaScript's own errors, which say that the viewer has a fault.
const FAULTS = new Set(["TypeError", "ReferenceError", "SyntaxError", "RangeError", "Error"]);

function answer(error, where) {
  if (FAULTS.has(error.name)) throw new Error(`${where}: ${error.name}: ${error.message}\n${error.stack ?? ""}`);
  return error.name;
}

async function look(bytes, where) {
  const session = new Session();
  let facts;
  try {
    facts = await session.open(bytes);
  } catch (error) {
    return { error: answer(error, where) };
  }
  structuredClone(facts); // a worker sends it
  const found = { tensors: {}, sections: session.checkSections() };
  for (const { name } of facts.tensors) {
    const { error, statistics } = session.tensor(name);
    if (error) answer(error, `${where} ${name}`);
    else structuredClone(statistics);
    found.tensors[name] = error?.name ?? null;
  }
  found.bytes = facts.tensorBytes;
  if (facts.run.why) return { ...found, run: facts.run.why };
  // Only networks that are done in a moment.
  if (facts.run.macs > 1e6) return found;
  const { height, width } = facts.run.size;
  if (height * width > 1e4) return found;
  const result = session.run({ width, height, data: new Uint8ClampedArray(4 * height * width).fill(128) });
  if (result.error) answer(result.error, `${where} run`);
  for (const { key } of facts.layers) session.output(key);
  return { ...found, run: result.error?.message ?? result.scores.length };
}

const results = [];
for (const file of process.argv.slice(2)) {
  results.push({ file, ...(await look(new Uint8Array(readFileSync(file)), file)) });
}
process.stdout.write(JSON.stringify(results));
