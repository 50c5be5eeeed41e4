// Prints the shape and the CRC-32 of every tensor of a container, as JSON:
//   node cmodel-read.mjs [--max-memory BYTES] [--max-tensor BYTES] FILE
// A file that is refused: its error's name and an explanation on stderr, exit code 3.

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { CmodelError, crc32OfWords, open } from "./cmodel-reader.mjs";

const USAGE = "usage: cmodel-read.mjs [--max-memory BYTES] [--max-tensor BYTES] FILE";
const OPTIONS = new Map([
  ["--max-memory", "maxMemory"],
  ["--max-tensor", "maxTensor"],
]);
const PIECE = 2 ** 30; // a single read takes less than 2 GiB

function parseArguments(words) {
  const limits = {};
  const files = [];
  for (let i = 0; i < words.length; i++) {
    const option = OPTIONS.get(words[i]);
    if (!option) {
      if (words[i].startsWith("--")) throw new TypeError(`${words[i]} is not an option`);
      files.push(words[i]);
      continue;
    }
    const value = words[++i];
    if (!/^\d{1,16}$/.test(value ?? "")) throw new TypeError(`${words[i - 1]} needs a number`);
    limits[option] = Number(value);
  }
  if (files.length !== 1) throw new TypeError("one file, please");
  return { file: files[0], limits };
}

function readFile(path) {
  const file = openSync(path, "r");
  try {
    const bytes = new Uint8Array(fstatSync(file).size);
    let at = 0;
    while (at < bytes.length) {
      const count = readSync(file, bytes, at, Math.min(PIECE, bytes.length - at), at);
      if (!count) break;
      at += count;
    }
    return bytes.subarray(0, at);
  } finally {
    closeSync(file);
  }
}

async function describe(path, limits) {
  const container = await open(readFile(path), limits);
  container.verify();
  const lines = [];
  for (const { name, shape, words } of container.decodeAll()) {
    const crc32 = crc32OfWords(words).toString(16).padStart(8, "0");
    lines.push(`${JSON.stringify(name)}: ${JSON.stringify({ shape, crc32 })}`);
  }
  return `{"tensors": {${lines.join(",\n")}}}\n`;
}

async function main() {
  let request;
  try {
    request = parseArguments(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`usage: ${error.message}\n${USAGE}\n`);
    return 2;
  }
  try {
    process.stdout.write(await describe(request.file, request.limits));
    return 0;
  } catch (error) {
    if (error instanceof CmodelError) process.stderr.write(`${error.name}: ${error.message}\n`);
    else if (error.syscall) process.stderr.write(`input: ${error.message}\n`);
    else throw error;
    return 3;
  }
}

process.exitCode = await main();
