// Opens containers as the page does, whatever is in them, and runs what can be run:
//   open_files.mjs FILE...             each file as it is
//   open_files.mjs --mutate N FILE...  and N variants of each, with bytes of the manifest changed and
//                                      checksums made right again
// Prints a list of { file, error, tensors, sections, run } and stops with an error at what a page
// must not meet: an error that is no answer to the file.

import { readFileSync } from "node:fs";
import { inflateRawSync } from "node:zlib";
import { crc32 } from "../../spec/readers/js/cmodel-reader.mjs";
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

/** Numbers that look random and are the same every time. */
function* numbers(seed) {
  for (let x = seed; ; ) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    yield x >>> 0;
  }
}

const ENTRY = 32;

/** A container as { head, sections: [{ head, stored, decoded }] }, the manifest not deflated. */
function taken(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const sections = Array.from({ length: view.getUint32(12, true) }, (_, i) => {
    const at = ENTRY * (i + 1);
    const [offset, size, decoded] = [8, 16, 24].map((k) => Number(view.getBigUint64(at + k, true)));
    const stored = bytes.slice(offset, offset + size);
    return { head: view.getUint32(at, true), stored, decoded };
  });
  const [manifest] = sections;
  if (manifest.head >>> 16) manifest.stored = new Uint8Array(inflateRawSync(manifest.stored));
  manifest.head &= 0xffff;
  manifest.decoded = manifest.stored.length;
  return { head: bytes.slice(0, ENTRY), sections };
}

/** The bytes of a container, with sizes, places and checksums made right; nothing is aligned. */
function joined({ head, sections }) {
  const start = ENTRY * (sections.length + 1);
  const out = new Uint8Array(sections.reduce((sum, { stored }) => sum + stored.length, start));
  const view = new DataView(out.buffer);
  out.set(head);
  out[10] = 0;
  view.setBigUint64(16, BigInt(out.length), true);
  let offset = start;
  sections.forEach(({ head: type, stored, decoded }, i) => {
    const at = ENTRY * (i + 1);
    view.setUint32(at, type, true);
    view.setUint32(at + 4, crc32(stored), true);
    [offset, stored.length, decoded].forEach((n, k) => view.setBigUint64(at + 8 + 8 * k, BigInt(n), true));
    out.set(stored, offset);
    offset += stored.length;
  });
  view.setUint32(28, crc32(out.subarray(ENTRY, start), crc32(out.subarray(0, 28))), true);
  return out;
}

/** A container with some bytes of its manifest changed. */
function mutated(bytes, random) {
  const parts = taken(bytes);
  const { stored } = parts.sections[0];
  const next = () => random.next().value;
  for (let n = 1 + (next() % 3); n > 0; n--) {
    const at = next() % stored.length;
    stored[at] = [next() & 255, stored[at] ^ (1 << (next() % 8)), 0, 255, 127, stored[at] + 1][next() % 6];
  }
  return joined(parts);
}

const words = process.argv.slice(2);
const variants = words[0] === "--mutate" ? Number(words.splice(0, 2)[1]) : 0;
const results = [];
for (const file of words) {
  const bytes = new Uint8Array(readFileSync(file));
  results.push({ file, ...(await look(bytes.slice(), file)) });
  const random = numbers(20261124);
  for (let n = 0; n < variants; n++) {
    const found = await look(mutated(bytes, random), `${file}, variant ${n}`);
    if (!found.error) results.push({ file, variant: n, ...found });
  }
}
process.stdout.write(JSON.stringify(results));
