// Compiles spec/cmodel.ksy and walks containers with it:
//   node walk-kaitai.mjs KSY FILE...
// Prints one JSON value a line for each file: what was found in it, or { "error": ... }.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { inflateRawSync } from "node:zlib";
import yaml from "js-yaml";
import KaitaiStream from "kaitai-struct/KaitaiStream.js";
import compiler from "kaitai-struct-compiler";

/** Compile a description and return its class, which notes where each field lies. */
async function compile(path) {
  const description = yaml.load(readFileSync(path, "utf8"));
  const files = await compiler.compile("javascript", description, undefined, true);
  const exported = {};
  // The text is a module in three dialects at once; here it is taken as CommonJS.
  const load = new Function("exports", "require", "module", files["Cmodel.js"]);
  load(exported, () => KaitaiStream, { exports: exported });
  return exported.Cmodel;
}

function streamOf(bytes) {
  return new KaitaiStream(Uint8Array.from(bytes).buffer);
}

function walk(Cmodel, bytes) {
  const file = new Cmodel(streamOf(bytes), null, null);
  file._read();
  const sections = file.sections.map(({ entry, _debug }) => ({
    type: entry.type,
    deflated: entry.isDeflated,
    ancillary: entry.isAncillary,
    crc32: entry.crc32,
    storedSize: entry.storedSize,
    decodedSize: entry.decodedSize,
    found: [_debug.body.start, _debug.body.end],
  }));
  return { sections, tensors: tensors(Cmodel, manifestOf(Cmodel, file)) };
}

function manifestOf(Cmodel, file) {
  const { entry, body } = file.sections[0];
  if (!entry.isDeflated) return body;
  const options = { maxOutputLength: 64 * 2 ** 20 };
  if (entry.hasPreset) options.dictionary = preset;
  const inflated = inflateRawSync(body, options);
  const manifest = new Cmodel.Manifest(streamOf(inflated), file, file);
  manifest._read();
  return manifest;
}

function tensors(Cmodel, manifest) {
  const directory = manifest.fields.find((field) => field.number === 3)?.value;
  return (directory?.tensors ?? []).map((tensor, index) => ({
    shape: tensor.extents.map((extent) => extent.value),
    form: Cmodel.FormKind[tensor.form.kind],
    crc32: directory.checksums[index],
    beginsSection: tensor.beginsSection,
  }));
}

const [ksy, ...paths] = process.argv.slice(2);
const preset = readFileSync(join(dirname(ksy), "dictionary.bin"));
const Cmodel = await compile(ksy);
for (const path of paths) {
  let found;
  try {
    found = walk(Cmodel, readFileSync(path));
  } catch (error) {
    found = { error: `${error.name}: ${error.message}` };
  }
  console.log(JSON.stringify(found));
}
