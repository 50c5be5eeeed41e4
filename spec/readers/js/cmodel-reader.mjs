// A reader of the cmodel container, written from spec/cmodel-format.md; section numbers are its.
//
//   import { open } from "./cmodel-reader.mjs";
//   const container = await open(arrayBufferOrUint8Array);
//   for (const tensor of container.tensors) console.log(tensor.name, tensor.shape);
//   const weights = container.decode("conv1/0"); // Float32Array, C order
//
// It needs no other file, no build step and no package: Node 18 and later, and browsers. Nothing
// is decoded until it is asked for. Every size is checked before memory is taken for it.
//
// Numbers here are doubles: integers up to 2^53 are exact, and 32-bit arithmetic goes through
// Math.imul, `>>> 0` and the like. A float32 that is only copied moves as a 32-bit word, since a
// trip through a number may change the bits of a NaN.

const MAX_INTEGER = 2 ** 53;
const MAX_ELEMENTS = 2 ** 40;
const MAX_RANK = 32;
const MAX_SECTIONS = 65536;
const MAX_TEXT = 4 * 2 ** 20; // decoded manifest, notes or labels
const MAX_DEPTH = 100;
const MAX_ENTRIES = 65536;

/** What `open` allows unless told otherwise, in bytes. */
export const LIMITS = Object.freeze({ maxMemory: 4 * 2 ** 30, maxTensor: 256 * 2 ** 20 });

/** A file is refused; `name` is the error name of section 12. */
export class CmodelError extends Error {
  constructor(name, message) {
    super(message);
    this.name = name;
  }
}

function refuse(name, message) {
  throw new CmodelError(name, message);
}

// -------------------------------------------------------------------------------------------
// 1. Conventions

function product(...factors) {
  let value = 1;
  for (const factor of factors) {
    value *= factor;
    if (value > MAX_INTEGER) refuse("bad-manifest", "a product of sizes is beyond 2^53");
  }
  return value;
}

// Eight tables, so that the CRC goes on by eight bytes at a time.
const CRC = Array.from({ length: 8 }, () => new Uint32Array(256));
for (let i = 0; i < 256; i++) {
  let c = i;
  for (let k = 0; k < 8; k++) c = (c >>> 1) ^ (c & 1 ? 0xedb88320 : 0);
  CRC[0][i] = c;
}
for (let k = 1; k < 8; k++) {
  for (let i = 0; i < 256; i++) CRC[k][i] = (CRC[k - 1][i] >>> 8) ^ CRC[0][CRC[k - 1][i] & 255];
}
const [CRC0, CRC1, CRC2, CRC3, CRC4, CRC5, CRC6, CRC7] = CRC;

function crcOfTwo(low, high) {
  return (
    CRC7[low & 255] ^ CRC6[(low >>> 8) & 255] ^ CRC5[(low >>> 16) & 255] ^ CRC4[low >>> 24] ^
    CRC3[high & 255] ^ CRC2[(high >>> 8) & 255] ^ CRC1[(high >>> 16) & 255] ^ CRC0[high >>> 24]
  );
}

/** CRC-32 of bytes; `crc` is that of what stands before them. */
export function crc32(bytes, crc = 0) {
  let c = ~crc;
  let i = 0;
  for (; i + 8 <= bytes.length; i += 8) c = crcOfTwo(c ^ word(bytes, i), word(bytes, i + 4));
  for (; i < bytes.length; i++) c = (c >>> 8) ^ CRC0[(c ^ bytes[i]) & 255];
  return ~c >>> 0;
}

/** CRC-32 of 32-bit words as little-endian bytes. */
export function crc32OfWords(words) {
  let c = -1;
  let i = 0;
  for (; i + 2 <= words.length; i += 2) c = crcOfTwo(c ^ words[i], words[i + 1]);
  if (i < words.length) {
    c ^= words[i];
    for (let k = 0; k < 4; k++) c = (c >>> 8) ^ CRC0[c & 255];
  }
  return ~c >>> 0;
}

function word(bytes, at) {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}

/** Reads forward through bytes; whatever is not there or not allowed is an error of one name. */
class Cursor {
  constructor(bytes, error) {
    this.bytes = bytes;
    this.error = error;
    this.at = 0;
  }

  get left() {
    return this.bytes.length - this.at;
  }

  u8() {
    if (this.left < 1) refuse(this.error, "it ends too early");
    return this.bytes[this.at++];
  }

  u32() {
    return word(this.take(4), 0) >>> 0;
  }

  take(size) {
    if (size > this.left) refuse(this.error, "it ends too early");
    this.at += size;
    return this.bytes.subarray(this.at - size, this.at);
  }

  rest() {
    return this.take(this.left);
  }

  /** A varint in its shortest form, at most `limit`. */
  varint(limit = MAX_INTEGER) {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (value > limit) refuse(this.error, `a number is larger than ${limit}`);
      if (byte < 128) {
        if (byte === 0 && scale > 1) refuse(this.error, "a varint is not in its shortest form");
        return value;
      }
      if (scale > limit) refuse(this.error, "a varint is too long");
    }
  }

  zigzag() {
    const z = this.varint();
    return z % 2 ? -(z + 1) / 2 : z / 2;
  }
}

// -------------------------------------------------------------------------------------------
// 2. The file

const SIGNATURE = [0x89, 0x43, 0x4d, 0x44, 0x0d, 0x0a, 0x1a, 0x0a];
const MAJOR = 1;
const HEADER_SIZE = 20;
const DEFLATED = 1;
const PRESET = 2;
const RESERVED = 4;
const ANCILLARY = 8;
const SECTION_NAMES = [undefined, "manifest", "data", "notes", "labels"];

/** Header, section table and padding of a file, checked. */
function parseLayout(bytes) {
  const size = bytes.length;
  for (let i = 0; i < 8 && i < size; i++) {
    if (bytes[i] !== SIGNATURE[i]) refuse("bad-signature", "this is not a cmodel container");
  }
  if (size < 8) refuse(size ? "truncated" : "bad-signature", `the file has ${size} bytes`);
  if (size > 8 && bytes[8] !== MAJOR) {
    refuse("bad-version", `the version is ${bytes[8]}.${bytes[9] ?? "?"}, not ${MAJOR}.x`);
  }
  if (size < HEADER_SIZE) refuse("truncated", "the file ends within its header");

  const version = `${bytes[8]}.${bytes[9]}`;
  const log = bytes[10];
  const tableEnd = HEADER_SIZE + (word(bytes, 12) >>> 0);
  if (tableEnd > size) refuse("truncated", "the file ends within its section table");
  const table = bytes.subarray(HEADER_SIZE, tableEnd);
  if (crc32(table, crc32(bytes.subarray(0, 16))) !== word(bytes, 16) >>> 0) {
    refuse("checksum", "the header and section table are damaged");
  }
  if (log > 12) refuse("bad-header", `the alignment is 2^${log}`);
  if (bytes[11]) refuse("bad-header", "the reserved byte is not zero");

  const sections = [];
  const seen = new Set();
  for (const cursor = new Cursor(table, "bad-header"); cursor.left; ) {
    if (sections.length === MAX_SECTIONS) refuse("bad-header", "there are too many sections");
    sections.push(parseSection(cursor, sections.length, seen));
  }
  if (!sections.length) refuse("bad-header", "there are no sections");
  const alignment = 2 ** log;
  let end = tableEnd;
  for (const section of sections) {
    section.offset = Math.ceil(end / alignment) * alignment;
    if (section.storedSize > size - section.offset) {
      refuse("truncated", `section ${section.index} goes beyond the end of the file`);
    }
    for (let i = end; i < section.offset; i++) {
      if (bytes[i]) refuse("bad-header", `the padding before section ${section.index} is not zero`);
    }
    end = section.offset + section.storedSize;
  }
  if (end !== size) refuse("trailing-data", `the last section ends at ${end} of ${size} bytes`);
  return { version, alignment, sections };
}

function parseSection(cursor, index, seen) {
  const head = cursor.varint(0xfffff);
  const type = head >> 4;
  const flags = head & 15;
  const deflated = (flags & DEFLATED) !== 0;
  const storedSize = cursor.varint();
  const section = {
    index,
    type,
    name: SECTION_NAMES[type] ?? `type ${type}`,
    deflated,
    preset: (flags & PRESET) !== 0,
    ancillary: (flags & ANCILLARY) !== 0,
    offset: 0, // found when all sizes are known
    storedSize,
    decodedSize: deflated ? cursor.varint() : storedSize,
    crc32: cursor.u32(),
  };
  const where = `section ${index} (${section.name})`;
  const known = SECTION_NAMES[type] !== undefined;
  if (!known && !section.ancillary) {
    refuse("unknown-feature", `${where} is critical and of unknown type`);
  }
  if (known && flags & RESERVED) refuse("unknown-feature", `${where} has flag bit 2`);
  if (known && section.preset && !deflated) {
    refuse("bad-header", `${where} has a dictionary and is not deflated`);
  }
  if (known && section.ancillary !== type > 2) {
    refuse("bad-header", `${where} has the wrong ancillary flag`);
  }
  if ((type === 1) !== (index === 0)) {
    refuse("bad-header", "the first section, and no other, is the manifest");
  }
  if (section.name === "data" && deflated) refuse("bad-header", `${where} is deflated`);
  if (known && type > 2 && seen.has(type)) refuse("bad-header", `there are two of ${where}`);
  seen.add(type);
  return section;
}

// -------------------------------------------------------------------------------------------
// 3. The manifest: Protocol Buffers

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const GROUP = 3;
const GROUP_END = 4;
const FIXED32 = 5;

/**
 * The fields of a protobuf message, in their order: { number, type, value }. The value of a
 * varint is a BigInt, any other a Uint8Array (of a group it is empty).
 */
export function* protoFields(bytes) {
  const cursor = new Cursor(bytes, "bad-manifest");
  while (cursor.left) {
    const { number, type } = protoTag(cursor);
    if (type === GROUP_END) refuse("bad-manifest", "a group ends that has not begun");
    yield { number, type, value: protoValue(cursor, number, type, 1) };
  }
}

function protoVarint(cursor) {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = cursor.u8();
    value |= BigInt(byte & 127) << shift;
    if (byte < 128) return BigInt.asUintN(64, value);
  }
  return refuse("bad-manifest", "a varint has more than 10 bytes");
}

function protoTag(cursor) {
  const tag = protoVarint(cursor);
  if (tag >= 2n ** 32n || tag < 8n) refuse("bad-manifest", `${tag} is not the tag of a field`);
  return { number: Number(tag >> 3n), type: Number(tag & 7n) };
}

function protoValue(cursor, number, type, depth) {
  switch (type) {
    case VARINT:
      return protoVarint(cursor);
    case FIXED64:
      return cursor.take(8);
    case FIXED32:
      return cursor.take(4);
    case BYTES:
      return cursor.take(Number(protoVarint(cursor)));
    case GROUP: {
      if (depth >= MAX_DEPTH) refuse("bad-manifest", "messages are nested too deeply");
      for (;;) {
        const inner = protoTag(cursor);
        if (inner.type === GROUP_END) {
          if (inner.number === number) return new Uint8Array(0);
          refuse("bad-manifest", "a group ends that has not begun");
        }
        protoValue(cursor, inner.number, inner.type, depth + 1);
      }
    }
    default:
      return refuse("bad-manifest", `there is no wire type ${type}`);
  }
}

const TEXT = new TextDecoder("utf-8", { ignoreBOM: true });
const STRICT_TEXT = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** A string; bytes that are not UTF-8 become U+FFFD, since Caffe's own files may have others. */
export function protoString(bytes) {
  return TEXT.decode(bytes);
}

/** A string that must be UTF-8: one that something is found by. */
function protoName(bytes) {
  return strictText(bytes, "bad-manifest");
}

function strictText(bytes, error) {
  try {
    return STRICT_TEXT.decode(bytes);
  } catch {
    return refuse(error, "a text is not UTF-8");
  }
}

function view(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The numbers of one occurrence of a repeated field of doubles, packed or not. */
function protoDoubles({ type, value }) {
  if (type !== FIXED64 && type !== BYTES) return [];
  if (value.length % 8) refuse("bad-manifest", "a packed field does not hold whole numbers");
  return Array.from({ length: value.length / 8 }, (_, i) => view(value).getFloat64(8 * i, true));
}

/** The numbers of one occurrence of a repeated field of varints, packed or not. */
function protoIntegers({ type, value }) {
  if (type === VARINT) return [Number(BigInt.asIntN(64, value))];
  if (type !== BYTES) return [];
  const cursor = new Cursor(value, "bad-manifest");
  const numbers = [];
  while (cursor.left) numbers.push(Number(BigInt.asIntN(64, protoVarint(cursor))));
  return numbers;
}

function protoUint32({ value }) {
  return Number(BigInt.asUintN(32, value));
}

/** Occurrences of one message that is not repeated are merged, which is to join their bytes. */
function joined(parts) {
  if (parts.length < 2) return parts[0];
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function parseManifest(bytes) {
  const networks = [];
  const transforms = [];
  const manifest = { unknown: [], required: [], directory: new Uint8Array(0) };
  for (const { number, type, value } of protoFields(bytes)) {
    if (type !== BYTES) continue;
    if (number === 1) networks.push(value);
    else if (number === 2) manifest.unknown.push(parseUnknownField(value));
    else if (number === 3) manifest.directory = value;
    else if (number === 4) transforms.push(value);
    else if (number === 5) manifest.required.push(protoString(value));
  }
  if (manifest.required.length) {
    refuse("unknown-feature", `the file needs the feature ${JSON.stringify(manifest.required[0])}`);
  }
  manifest.network = parseNetwork(joined(networks) ?? new Uint8Array(0));
  for (const { layer, path } of manifest.unknown) {
    if (layer > manifest.network.layers.length) {
      refuse("bad-manifest", `the unknown field ${JSON.stringify(path)} is of no layer`);
    }
  }
  manifest.transform = transforms.length ? parseTransform(joined(transforms)) : undefined;
  return manifest;
}

function parseUnknownField(bytes) {
  const field = { layer: 0, path: "", text: undefined, wire: undefined };
  for (const { number, type, value } of protoFields(bytes)) {
    if (number === 1 && type === VARINT) field.layer = protoUint32({ value });
    else if (number === 2 && type === BYTES) field.path = protoString(value);
    else if (number === 3 && type === BYTES) field.text = protoString(value);
    else if (number === 4 && type === BYTES) field.wire = value;
  }
  return field;
}

const CHANNEL_ORDERS = ["UNSPECIFIED", "BGR", "RGB", "GRAY"];

function parseTransform(bytes) {
  const transform = {
    resizeHeight: 0, resizeWidth: 0, cropHeight: 0, cropWidth: 0,
    scale: [], meanValue: [], channelOrder: "UNSPECIFIED",
  };
  const sizes = [undefined, "resizeHeight", "resizeWidth", "cropHeight", "cropWidth"];
  for (const field of protoFields(bytes)) {
    const { number, type } = field;
    if (number <= 4 && type === VARINT) transform[sizes[number]] = protoUint32(field);
    else if (number === 5) transform.scale.push(...protoDoubles(field));
    else if (number === 6) transform.meanValue.push(...protoDoubles(field));
    else if (number === 7 && type === VARINT) {
      transform.channelOrder = CHANNEL_ORDERS[protoUint32(field)] ?? "UNSPECIFIED";
    }
  }
  return transform;
}

function parseNetwork(raw) {
  const network = { name: "", inputs: [], inputDims: [], inputShapes: [], layers: [], raw };
  for (const field of protoFields(raw)) {
    const { number, type, value } = field;
    if (number === 4) network.inputDims.push(...protoIntegers(field));
    if (type !== BYTES) continue;
    if (number === 1) network.name = protoString(value);
    else if (number === 2) refuse("bad-manifest", "the network has layers of version 1");
    else if (number === 3) network.inputs.push(protoString(value));
    else if (number === 8) network.inputShapes.push(parseBlobShape(value));
    else if (number === 100) network.layers.push(parseLayer(value, network.layers.length));
  }
  nameLayers(network.layers);
  return network;
}

function parseBlobShape(bytes) {
  const dims = [];
  for (const field of protoFields(bytes)) if (field.number === 1) dims.push(...protoIntegers(field));
  return dims;
}

function parseLayer(raw, index) {
  // `key` is the name that is unique (section 4), `parameters` the names of the tensors.
  const layer = {
    index, name: "", key: "", type: "", bottoms: [], tops: [], params: [], parameters: [], raw,
  };
  for (const { number, type, value } of protoFields(raw)) {
    if (type !== BYTES) continue;
    if (number === 1) layer.name = protoName(value);
    else if (number === 2) layer.type = protoString(value);
    else if (number === 3) layer.bottoms.push(protoString(value));
    else if (number === 4) layer.tops.push(protoString(value));
    else if (number === 6) layer.params.push(parseParamName(value));
    else if (number === 7) refuse("bad-manifest", `layer ${index} holds blobs`);
  }
  return layer;
}

function parseParamName(bytes) {
  let name = "";
  for (const { number, type, value } of protoFields(bytes)) {
    if (number === 1 && type === BYTES) name = protoName(value);
  }
  return name;
}

/** Give each layer a key that no other has: the second "pool" is "pool#2". */
function nameLayers(layers) {
  const taken = new Set(layers.map((layer) => layer.name));
  const last = new Map(); // name -> the number given last
  for (const layer of layers) {
    let number = (last.get(layer.name) ?? 0) + 1;
    layer.key = layer.name;
    for (; number > 1; number++) {
      layer.key = `${layer.name}#${number}`;
      if (!taken.has(layer.key)) break;
    }
    last.set(layer.name, number);
    taken.add(layer.key);
  }
}

// -------------------------------------------------------------------------------------------
// 4. The tensor directory

const MEAN = ":mean";

/**
 * The tensors of the directory: { name, layer, blob, shape, elements, section, form, crc32 }.
 * `section` counts the data sections from 0; every stream in `form` knows its place.
 */
function parseDirectory(bytes, network, dataSizes) {
  const cursor = new Cursor(bytes, "bad-manifest");
  // Where the next stream lies, and the integer streams so far that have a table of their own.
  const streams = { at: 0, section: -1, tables: { huffman: [], rans: [] } };
  const closeSection = () => {
    if (streams.section >= 0 && streams.at !== dataSizes[streams.section]) {
      refuse("bad-manifest", `the tensors do not fill data section ${streams.section}`);
    }
  };
  const count = cursor.varint();
  const sums = cursor.take(4 * count);
  const tensors = [];
  let layer = 0;
  let blob = -1;
  for (let i = 0; i < count; i++) {
    const head = cursor.varint();
    const step = Math.floor(head / 4);
    if (step) blob = -1;
    layer += step;
    const stated = head % 2 ? cursor.varint() : blob + 1;
    if (stated <= blob) refuse("bad-manifest", `tensor ${i} is out of order`);
    blob = stated;
    if (layer > network.layers.length) refuse("bad-manifest", `tensor ${i} is of no layer`);
    if (Math.floor(head / 2) % 2) {
      closeSection();
      streams.at = 0;
      if (++streams.section >= dataSizes.length) refuse("bad-manifest", "there are too few data sections");
    } else if (i === 0) refuse("bad-manifest", "the first tensor begins no data section");
    const tensor = parseTensor(cursor, network, streams, layer, blob);
    tensors.push({ ...tensor, crc32: word(sums, 4 * i) >>> 0 });
  }
  closeSection();
  if (cursor.left) refuse("bad-manifest", "bytes follow the tensor directory");
  if (streams.section + 1 !== dataSizes.length) {
    refuse("bad-manifest", "a data section has no tensors");
  }
  return tensors;
}

function parseTensor(cursor, network, streams, layer, blob) {
  const isMean = layer === network.layers.length;
  const name = isMean ? MEAN : `${network.layers[layer].key}/${blob}`;
  const rank = cursor.varint();
  if (rank > MAX_RANK) refuse("bad-manifest", `${name} has ${rank} dimensions`);
  const shape = Array.from({ length: rank }, () => cursor.varint());
  if (isMean && (blob !== 0 || rank !== 3)) refuse("bad-manifest", "that is no mean image");
  const elements = shape.includes(0) ? 0 : product(...shape);
  if (elements > MAX_ELEMENTS) refuse("bad-manifest", `${name} has ${elements} elements`);
  const form = parseForm(cursor, streams, shape, FORMS);
  return { name, layer, blob, shape, elements, section: streams.section, form };
}

/** Give each layer the names of its parameters, stored and shared. */
function linkParameters(layers, tensors) {
  const blobs = layers.map(() => new Map()); // of each layer: blob -> name
  for (const { layer, blob, name } of tensors) blobs[layer]?.set(blob, name);
  const owners = new Map(); // parameter name -> the first layer that has it, and which blob it is
  for (const layer of layers) {
    const own = blobs[layer.index];
    layer.params.forEach((param, k) => {
      if (!param) return;
      const owner = owners.get(param);
      if (!owner) owners.set(param, { layer, k });
      else if (owner.layer !== layer) {
        if (own.has(k)) refuse("bad-manifest", `${own.get(k)} is stored twice`);
        const shared = owner.layer.parameters[owner.k];
        if (shared) own.set(k, shared);
      }
    });
    for (let k = 0; k < own.size; k++) {
      if (!own.has(k)) refuse("bad-manifest", `${layer.key}/${k} is missing`);
      layer.parameters.push(own.get(k));
    }
  }
}

// -------------------------------------------------------------------------------------------
// 5. Forms: what the directory says of them

const FORMS = ["Dense", "Codebook", "Linear", "Sparse", "Product", "Hashed", "Trellis"];
const FORM_PARSERS = [
  parseDense, parseCodebook, parseLinear, parseSparse, parseProduct, parseHashed, parseTrellis,
];

function parseForm(cursor, streams, shape, allowed) {
  const head = cursor.u8();
  const kind = FORMS[head & 15];
  if (!kind) refuse("unknown-feature", `there is no form ${head & 15}`);
  if (!allowed.includes(kind)) refuse("bad-manifest", `${kind} may not stand there`);
  const elements = shape.includes(0) ? 0 : product(...shape);
  const form = FORM_PARSERS[head & 15](cursor, streams, { kind, elements }, head >>> 4, shape);
  return form ?? refuse("unknown-feature", `${kind} has no variant ${head >>> 4}`);
}

function stream(streams, size) {
  const { section, at } = streams;
  streams.at += size;
  if (streams.at > MAX_INTEGER) refuse("bad-manifest", "streams are longer than 2^53 bytes");
  return { section, at, size };
}

function parseGroups(cursor, stated, elements) {
  const groups = stated ? cursor.varint() : 1;
  if (groups < 1 || elements % groups) refuse("bad-manifest", `${groups} groups of ${elements}`);
  return groups;
}

const WORD_TYPES = [
  { name: "float32", size: 4 },
  { name: "float16", size: 2 },
  { name: "bfloat16", size: 2 },
];

function parseDense(cursor, streams, form, variant) {
  const type = WORD_TYPES[variant & 3];
  if (!type || variant > 7) return undefined;
  const planes = (variant & 4) !== 0;
  const size = planes ? cursor.varint() : product(form.elements, type.size);
  return { ...form, type: type.name, planes, words: stream(streams, size) };
}

function parseEntries(cursor) {
  const entries = cursor.varint();
  if (entries < 1 || entries > MAX_ENTRIES) refuse("bad-manifest", `${entries} entries`);
  return entries;
}

function parseCodebook(cursor, streams, form, variant) {
  if (variant > 1) return undefined;
  const groups = parseGroups(cursor, variant & 1, form.elements);
  const entries = parseEntries(cursor);
  const centroids = parseForm(cursor, streams, [groups, entries], ["Dense", "Linear"]);
  const codes = parseIndices(cursor, streams, form.elements, entries);
  return { ...form, groups, entries, centroids, codes };
}

const INTEGER_TYPES = [
  { name: "int8", bits: 8, min: -128, max: 127 },
  { name: "uint8", bits: 8, min: 0, max: 255 },
  { name: "int16", bits: 16, min: -32768, max: 32767 },
  { name: "uint16", bits: 16, min: 0, max: 65535 },
];

function parseLowest(cursor, name, min, max) {
  const lowest = cursor.zigzag();
  if (lowest < min || lowest > max) {
    refuse("bad-manifest", `the lowest integer, ${lowest}, may not be that of type ${name}`);
  }
  return lowest;
}

function parseLinear(cursor, streams, form, variant) {
  if (variant > 15) return undefined;
  const range = INTEGER_TYPES[variant & 3];
  const groups = parseGroups(cursor, variant & 4, form.elements);
  const lowest = parseLowest(cursor, range.name, range.min, range.max);
  const scales = parseForm(cursor, streams, [groups], ["Dense"]);
  let zeros;
  if (variant & 8) {
    zeros = { base: cursor.zigzag() };
    zeros.low = parseIntegers(cursor, streams, groups, 16);
    zeros.high = parseIntegers(cursor, streams, groups, 16);
  }
  const integers = parseIntegers(cursor, streams, form.elements, range.bits);
  return { ...form, type: range.name, range, groups, lowest, scales, zeros, integers };
}

function parseSparse(cursor, streams, form, variant, shape) {
  const coder = ["relative", "bitmap", "mask"][variant >>> 1];
  if (!coder) return undefined;
  const height = variant & 1 ? cursor.varint() : 1;
  const width = variant & 1 ? cursor.varint() : 1;
  const rows = shape.length ? shape[0] : 1;
  const rest = shape.slice(1);
  const columns = rest.includes(0) ? 0 : product(...rest);
  if (!height || !width || rows % height || columns % width) {
    refuse("bad-manifest", `blocks of ${height} x ${width} do not divide ${rows} x ${columns}`);
  }
  if (variant & 1 && height * width === 1) refuse("bad-manifest", "blocks of 1 x 1 are stated");
  const grid = { rows: rows / height, columns: columns / width };
  grid.size = product(grid.rows, grid.columns);
  const count = cursor.varint();
  if (count > grid.size) refuse("bad-manifest", `${count} positions among ${grid.size}`);
  const positions = { coder };
  if (coder === "relative") {
    positions.bits = cursor.varint();
    if (positions.bits < 1 || positions.bits > 8) {
      refuse("bad-manifest", `relative indices of ${positions.bits} bits`);
    }
    const symbols = cursor.varint();
    // Each symbol beyond `count` skips 2^bits - 1 blocks.
    if (symbols < count || (symbols - count) * (2 ** positions.bits - 1) > grid.size - count) {
      refuse("bad-manifest", `${symbols} relative indices for ${count} positions`);
    }
    positions.symbols = parseIntegers(cursor, streams, symbols, 8);
  } else if (coder === "bitmap") {
    positions.stream = stream(streams, Math.ceil(grid.size / 8));
  } else {
    if (grid.size >= 2 ** 32) refuse("bad-manifest", `a mask of ${grid.size} elements`);
    positions.stream = stream(streams, cursor.varint());
  }
  const size = product(count, height, width);
  const values = parseForm(cursor, streams, [size], ["Dense", "Codebook", "Linear"]);
  return { ...form, rows, columns, height, width, grid, count, positions, values };
}

function parseProduct(cursor, streams, form, variant, shape) {
  if (variant > 7) return undefined;
  const axes = shape.map((_, k) => (variant & 1 ? cursor.varint() : k));
  if (axes.some((axis) => axis >= shape.length) || new Set(axes).size < axes.length) {
    refuse("bad-manifest", `${axes} is no order of the axes`);
  }
  const stages = cursor.varint();
  const blocks = cursor.varint();
  const entries = parseEntries(cursor);
  const dimension = cursor.varint();
  if (stages < 1 || stages > 256) refuse("bad-manifest", `${stages} stages`);
  const columns = product(blocks, dimension);
  if (!columns || form.elements % columns) {
    refuse("bad-manifest", `${form.elements} elements are no rows of ${columns}`);
  }
  const rows = form.elements / columns;
  const books = variant & 4 ? 1 : blocks;
  const shapeOfBooks = [stages, books, entries, dimension];
  const centroids = parseForm(cursor, streams, shapeOfBooks, ["Dense", "Linear"]);
  const codes = parseIndices(cursor, streams, product(stages, rows, blocks), entries);
  const rotation = variant & 2
    ? parseForm(cursor, streams, [columns, columns], ["Dense"])
    : undefined;
  return {
    ...form, axes, shape, stages, blocks, entries, dimension, books, rows, columns,
    centroids, codes, rotation,
  };
}

function parseHashed(cursor, streams, form, variant) {
  if (variant > 1) return undefined;
  const buckets = cursor.varint();
  if (buckets < 1) refuse("bad-manifest", "a hashed tensor has no buckets");
  const seed = cursor.u32();
  const values = parseForm(cursor, streams, [buckets], ["Dense", "Codebook", "Linear"]);
  return { ...form, signed: variant === 1, buckets, seed, values };
}

function parseTrellis(cursor, streams, form, variant, shape) {
  if (variant > 3) return undefined;
  const range = INTEGER_TYPES[variant & 1 ? 2 : 0];
  const groups = parseGroups(cursor, variant & 2, form.elements);
  const states = cursor.varint();
  if (states !== 8) refuse("unknown-feature", `there is no trellis of ${states} states`);
  const lowest = parseLowest(cursor, range.name, range.min, 0);
  const scales = parseForm(cursor, streams, [groups], ["Dense"]);
  const integers = parseIntegers(cursor, streams, form.elements, range.bits);
  const rows = shape.length ? shape[0] : 1;
  return { ...form, type: range.name, range, groups, rows, states, lowest, scales, integers };
}

// -------------------------------------------------------------------------------------------
// 5. Forms: their values. Each returns the float32 values as 32-bit words.

/**
 * Decodes forms; no array may take more than `limit` bytes. `dataOf` gives the bytes of a data
 * section by its index.
 */
class Decoder {
  constructor(dataOf, limit) {
    this.dataOf = dataOf;
    this.limit = limit;
  }

  make(Type, length) {
    const size = length * Type.BYTES_PER_ELEMENT;
    if (size > this.limit) {
      refuse("limit-memory", `decoding takes ${size} bytes at once, and ${this.limit} are allowed`);
    }
    try {
      return new Type(length);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return refuse("limit-memory", `there is no memory for ${size} bytes`);
    }
  }

  bytes({ section, at, size }) {
    return this.dataOf(section).subarray(at, at + size);
  }

  form(form) {
    switch (form.kind) {
      case "Dense":
        return this.dense(form);
      case "Codebook":
        return this.codebook(form);
      case "Linear":
        return this.linear(form);
      case "Sparse":
        return this.sparse(form);
      case "Product":
        return this.product(form);
      case "Hashed":
        return this.hashed(form);
      default:
        return this.trellis(form);
    }
  }

  dense({ type, planes, elements, words }) {
    const out = this.make(Uint32Array, elements);
    const bytes = this.bytes(words);
    if (planes) decodePlanes(bytes, type === "float32" ? 4 : 2, out, this.make(Uint8Array, elements));
    else if (type === "float32") for (let i = 0; i < elements; i++) out[i] = word(bytes, 4 * i);
    else for (let i = 0; i < elements; i++) out[i] = bytes[2 * i] | (bytes[2 * i + 1] << 8);
    if (type === "float16") for (let i = 0; i < elements; i++) out[i] = widened(out[i]);
    if (type === "bfloat16") for (let i = 0; i < elements; i++) out[i] <<= 16;
    return out;
  }

  codebook({ elements, groups, entries, centroids, codes }) {
    const table = this.form(centroids);
    const index = this.indices(codes, entries);
    const out = this.make(Uint32Array, elements);
    const size = elements / groups;
    for (let group = 0, i = 0; group < groups && size; group++) {
      const base = group * entries;
      for (const end = i + size; i < end; i++) out[i] = table[base + index[i]];
    }
    return out;
  }

  linear(form) {
    const { elements, groups, lowest, zeros } = form;
    const scale = this.scales(form);
    const zero = this.make(Float64Array, groups);
    if (zeros) {
      const low = this.integers(zeros.low);
      const high = this.integers(zeros.high);
      for (let j = 0; j < groups; j++) {
        zero[j] = zeros.base + (low[j] + 65536 * high[j]);
        if (Math.abs(zero[j]) > 2 ** 23) refuse("bad-stream", "a zero is beyond 2^23");
      }
    }
    const steps = this.steps(form);
    const words = this.make(Uint32Array, elements);
    const out = floats(words);
    const size = elements / groups;
    for (let group = 0, i = 0; group < groups && size; group++) {
      const factor = scale[group];
      const shift = lowest - zero[group];
      // -0 + 0 is +0, and the array rounds to float32.
      for (const end = i + size; i < end; i++) out[i] = factor * (steps[i] + shift) + 0;
    }
    return words;
  }

  scales({ scales }) {
    const scale = floats(this.form(scales));
    for (const value of scale) {
      if (!Number.isFinite(value)) refuse("bad-stream", "a scale is not finite");
    }
    return scale;
  }

  /** The integers of a Linear or Trellis form, less the lowest. */
  steps({ elements, lowest, range, integers }) {
    const steps = this.integers(integers);
    const [least, most] = extremes(steps);
    if (elements && (least + lowest < range.min || most + lowest > range.max)) {
      refuse("bad-stream", `${least + lowest} to ${most + lowest} are not ${range.name}`);
    }
    return steps;
  }

  sparse(form) {
    const { elements, columns, height, width, grid, count } = form;
    const out = this.make(Uint32Array, elements);
    const positions = this.positions(form);
    const values = this.form(form.values);
    if (height * width === 1) {
      for (let i = 0; i < count; i++) out[positions[i]] = values[i];
      return out;
    }
    for (let i = 0, next = 0; i < count; i++) {
      const row = Math.floor(positions[i] / grid.columns) * height;
      const column = (positions[i] % grid.columns) * width;
      for (let y = 0; y < height; y++) {
        const start = (row + y) * columns + column;
        for (let x = 0; x < width; x++) out[start + x] = values[next++];
      }
    }
    return out;
  }

  positions({ grid, count, positions }) {
    const out = this.make(grid.size > 2 ** 32 ? Float64Array : Uint32Array, count);
    if (positions.coder === "mask") {
      decodeMask(this.bytes(positions.stream), grid, count, out, (T, n) => this.make(T, n));
    } else if (positions.coder === "bitmap") {
      decodeBitmap(this.bytes(positions.stream), grid.size, count, out);
    } else {
      decodeRelative(this.integers(positions.symbols), positions.bits, grid.size, count, out);
    }
    return out;
  }

  product(form) {
    const { elements, rows, columns, axes, shape, rotation } = form;
    let matrix = this.blocks(form);
    if (rotation) matrix = this.rotated(matrix, this.form(rotation), rows, columns);
    if (axes.every((axis, k) => axis === k)) return matrix;
    const strides = shape.map(() => 1);
    for (let k = shape.length - 2; k >= 0; k--) strides[k] = strides[k + 1] * shape[k + 1];
    const extents = axes.map((axis) => shape[axis]);
    const steps = axes.map((axis) => strides[axis]);
    const index = axes.map(() => 0);
    const out = this.make(Uint32Array, elements);
    for (let i = 0, place = 0; i < elements; i++) {
      out[place] = matrix[i];
      let k = axes.length - 1;
      for (; k >= 0; k--) {
        place += steps[k];
        if (++index[k] < extents[k]) break;
        place -= steps[k] * extents[k];
        index[k] = 0;
      }
    }
    return out;
  }

  /** The matrix of rows x columns before rotation and reordering. */
  blocks({ elements, stages, blocks, entries, dimension, books, rows, centroids, codes }) {
    const table = this.form(centroids);
    const index = this.indices(codes, entries);
    const out = this.make(Uint32Array, elements);
    if (stages === 1) {
      for (let i = 0, at = 0; at < elements; i++) {
        const book = books === 1 ? 0 : i % blocks;
        const from = (book * entries + index[i]) * dimension;
        for (let x = 0; x < dimension; x++) out[at++] = table[from + x];
      }
      return out;
    }
    const values = floats(table);
    const sums = floats(out);
    const vector = this.make(Float64Array, dimension);
    const perStage = rows * blocks;
    for (let i = 0, at = 0; i < perStage; i++) {
      const book = books === 1 ? 0 : i % blocks;
      for (let stage = 0; stage < stages; stage++) {
        const code = index[stage * perStage + i];
        const from = ((stage * books + book) * entries + code) * dimension;
        for (let x = 0; x < dimension; x++) {
          vector[x] = stage ? vector[x] + values[from + x] : values[from + x];
        }
      }
      for (let x = 0; x < dimension; x++) sums[at++] = vector[x];
    }
    return out;
  }

  rotated(words, rotationWords, rows, columns) {
    const matrix = floats(words);
    const rotation = floats(rotationWords);
    const out = this.make(Uint32Array, rows * columns);
    const values = floats(out);
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < columns; i++) {
        let sum = 0;
        for (let k = 0; k < columns; k++) {
          sum += rotation[i * columns + k] * matrix[row * columns + k];
        }
        values[row * columns + i] = sum;
      }
    }
    return out;
  }

  hashed({ elements, signed, buckets, seed, values }) {
    const table = this.form(values);
    const out = this.make(Uint32Array, elements);
    const salt = mix((seed + 0x9e3779b1) | 0);
    for (let i = 0; i < elements; i++) {
      const h = mix(i ^ salt);
      let value = table[h % buckets];
      if (signed) {
        if (mix(h ^ 0x9e3779b1) & 0x80000000) value ^= 0x80000000;
        if (value >>> 0 === 0x80000000) value = 0;
      }
      out[i] = value;
    }
    return out;
  }

  trellis(form) {
    const { elements, groups, lowest, rows } = form;
    const scale = this.scales(form);
    const steps = this.steps(form);
    const words = this.make(Uint32Array, elements);
    const out = floats(words);
    const columns = elements / rows;
    const size = elements / groups;
    for (let i = 0, group = -1, state = 0, row = 0, next = 0; i < elements; i++) {
      if (i === row) {
        row += columns;
        state = 0;
      }
      if (i === next) {
        next += size;
        group++;
      }
      const k = steps[i] + lowest;
      out[i] = scale[group] * trellisLevel(state, k) + 0;
      state = TRELLIS_NEXT[2 * state + (k & 1)];
    }
    return words;
  }

  integers(integers) {
    const { coder, count, bits, owner } = integers;
    const out = this.make(bits === 8 ? Uint8Array : Uint16Array, count);
    const bytes = this.bytes(integers.stream);
    if (coder === "packed") decodePacked(bytes, integers.width, out);
    else if (coder === "split") decodeSplit(bytes, out, this.make(Uint16Array, count));
    else if (coder === "context") decodeContext(bytes, out, (T, n) => this.make(T, n));
    else {
      const cursor = new Cursor(bytes, "bad-stream");
      const table = owner ? this.sharedTable(owner, out) : CODERS[coder].readTable(cursor, out);
      decodePayload(cursor, coder, table, out);
    }
    return out;
  }

  /** The table of another stream, for the integers `out`. */
  sharedTable(owner, out) {
    const cursor = new Cursor(this.bytes(owner.stream), "bad-stream");
    const { coder, count, bits } = owner;
    const table = CODERS[coder].readTable(cursor, { length: count, BYTES_PER_ELEMENT: bits / 8 });
    if (table.alphabet > 256 && out.BYTES_PER_ELEMENT === 1) {
      refuse("bad-stream", "a shared table has symbols of more than 8 bits");
    }
    return table;
  }

  indices(integers, entries) {
    const index = this.integers(integers);
    const highest = extremes(index)[1];
    if (highest >= entries) refuse("bad-stream", `entry ${highest} of ${entries}`);
    return index;
  }
}

function floats(words) {
  return new Float32Array(words.buffer, words.byteOffset, words.length);
}

function extremes(integers) {
  let least = 65535;
  let most = 0;
  for (let i = 0; i < integers.length; i++) {
    if (integers[i] < least) least = integers[i];
    if (integers[i] > most) most = integers[i];
  }
  return [least, most];
}

/** A float16 as the bits of the float32 of the same value. */
function widened(half) {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return sign | 0x7f800000 | (fraction << 13);
  if (exponent) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (!fraction) return sign;
  const shift = Math.clz32(fraction) - 21; // a subnormal: brings its highest bit to bit 10
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 1023) << 13);
}

function mix(x) {
  x ^= x >>> 16;
  x = Math.imul(x, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

// For each of the 8 states of a trellis: the next after an even integer, and after an odd one.
const TRELLIS_NEXT = Uint8Array.of(0, 2, 5, 7, 1, 3, 6, 4, 2, 0, 4, 6, 3, 1, 7, 5);

/** How many steps the integer k means in a state: twice k, in odd states one less from zero. */
function trellisLevel(state, k) {
  return 2 * k - (state & 1) * Math.sign(k);
}

function decodeRelative(symbols, bits, size, count, out) {
  const most = 2 ** bits - 1;
  let position = -1;
  let found = 0;
  let gap = 0;
  for (let i = 0; i < symbols.length; i++) {
    const symbol = symbols[i];
    if (symbol > most) refuse("bad-stream", `relative index ${symbol} of ${bits} bits`);
    gap += symbol;
    if (symbol === most) continue;
    position += gap + 1;
    gap = 0;
    if (position >= size || found >= count) refuse("bad-stream", "a position is beyond the grid");
    out[found++] = position;
  }
  if (found !== count || symbols[symbols.length - 1] === most) {
    refuse("bad-stream", `${found} positions instead of ${count}`);
  }
}

function decodeBitmap(bytes, size, count, out) {
  let found = 0;
  for (let i = 0; i < bytes.length; i++) {
    for (let rest = bytes[i]; rest; rest &= rest - 1) {
      const position = 8 * i + 31 - Math.clz32(rest & -rest);
      if (position >= size || found >= count) refuse("bad-stream", "a bit too many in a bitmap");
      out[found++] = position;
    }
  }
  if (found !== count) refuse("bad-stream", `${found} positions instead of ${count}`);
}

// -------------------------------------------------------------------------------------------
// 6. Streams of integers

const CODER_NAMES = ["packed", "huffman", "rans", "split", "context"];

function parseIntegers(cursor, streams, count, bits) {
  const head = cursor.varint();
  const coder = CODER_NAMES[head % 8];
  const rest = Math.floor(head / 8);
  const integers = { coder, count, bits };
  const fixed = coder === "split" || coder === "context";
  if (!coder || (fixed && rest) || (coder === "split" && bits !== 16)) {
    refuse("unknown-feature", `there is no coder ${head} of integers of ${bits} bits`);
  }
  if (coder === "packed") {
    if (rest > bits) refuse("bad-manifest", `integers of ${rest} bits`);
    integers.width = rest;
    integers.stream = stream(streams, Math.ceil(product(count, rest) / 8));
    return integers;
  }
  const tables = streams.tables[coder];
  if (rest) {
    if (rest > tables.length) refuse("bad-manifest", `there is no table ${rest} streams before`);
    integers.owner = tables[tables.length - rest];
  } else tables?.push(integers);
  integers.stream = stream(streams, cursor.varint());
  return integers;
}

function parseIndices(cursor, streams, count, entries) {
  return parseIntegers(cursor, streams, count, entries <= 256 ? 8 : 16);
}

function decodePacked(bytes, width, out) {
  if (!width) return; // all zero, as the array is
  const mask = (1 << width) - 1;
  let bits = 0;
  let have = 0;
  let at = 0;
  for (let i = 0; i < out.length; i++) {
    while (have < width) {
      bits |= bytes[at++] << have;
      have += 8;
    }
    out[i] = bits & mask;
    bits >>>= width;
    have -= width;
  }
  if (bits) refuse("bad-stream", "the padding of packed integers is not zero");
}

const CODERS = {
  huffman: { readTable: readHuffmanTable, chunkBits: 31, decodeChunk: decodeHuffmanChunk },
  rans: { readTable: readRansTable, chunkBits: 31 | 128, decodeChunk: decodeRansChunk },
};

/** Decode a Huffman or rANS stream that has its own table. */
function decodeCoded(bytes, coder, out) {
  const cursor = new Cursor(bytes, "bad-stream");
  decodePayload(cursor, coder, CODERS[coder].readTable(cursor, out), out);
}

/** Decode what follows the table { alphabet, single, ... } of a Huffman or rANS stream. */
function decodePayload(cursor, coder, table, out) {
  if (out.length && !table.alphabet) refuse("bad-stream", "integers without an alphabet");
  if (!out.length || table.single) {
    if (cursor.left) refuse("bad-stream", "bytes follow the end of a stream");
    out.fill(table.alphabet - 1);
    return;
  }
  const { chunkBits, decodeChunk } = CODERS[coder];
  if (out.length <= 4096) {
    decodeChunk(cursor.rest(), table, out, false);
    return;
  }
  const head = cursor.u8();
  const log = head & 31;
  if (head & ~chunkBits || log < 12 || log > 20) refuse("bad-stream", "the size of chunks is wrong");
  const size = 2 ** log;
  const count = Math.ceil(out.length / size);
  const jumps = count > 1 ? cursor.take(8 * count) : undefined;
  for (let k = 0; k < count; k++) {
    const bytes = jumps ? cursor.take(word(jumps, 8 * k) >>> 0) : cursor.rest();
    if (jumps && crc32(bytes) !== word(jumps, 8 * k + 4) >>> 0) {
      refuse("checksum", `chunk ${k} of a stream is damaged`);
    }
    decodeChunk(bytes, table, out.subarray(k * size, (k + 1) * size), (head & 128) !== 0);
  }
  if (cursor.left) refuse("bad-stream", "bytes follow the last chunk of a stream");
}

/** Reads the alphabet that a table begins with: the highest used symbol + 1. */
function readAlphabet(cursor, integers) {
  const most = integers.BYTES_PER_ELEMENT === 1 ? 256 : 2048;
  const size = cursor.varint(2 ** 32 - 1);
  if (size > most) refuse("bad-stream", `an alphabet of ${size} symbols`);
  if ((size === 0) !== (integers.length === 0)) {
    refuse("bad-stream", `an alphabet of ${size} symbols for ${integers.length} integers`);
  }
  return size;
}

// 6.1 Split streams

/** Decode integers of 16 bits; `low` is room for as many. */
function decodeSplit(bytes, out, low) {
  const cursor = new Cursor(bytes, "bad-stream");
  const head = cursor.u8();
  const width = head & 15;
  if (!width || head & 0x70) refuse("bad-stream", `a split stream of kind ${head}`);
  decodePacked(cursor.take(Math.ceil((out.length * width) / 8)), width, low);
  decodeCoded(cursor.rest(), head & 128 ? "rans" : "huffman", out);
  if (extremes(out)[1] >= 2 ** (16 - width)) refuse("bad-stream", "an integer is beyond 16 bits");
  for (let i = 0; i < out.length; i++) out[i] = (out[i] << width) | low[i];
}

// 6.2 Byte planes

/** Decode words of `size` bytes; `plane` is room for as many bytes as there are words. */
function decodePlanes(bytes, size, out, plane) {
  const cursor = new Cursor(bytes, "bad-stream");
  const transform = cursor.u8();
  if (transform > 1) refuse("bad-stream", `byte planes of transform ${transform}`);
  for (let k = 0; k < size; k++) {
    const head = cursor.u8();
    if (head <= 8) {
      plane.fill(0);
      decodePacked(cursor.take(Math.ceil((plane.length * head) / 8)), head, plane);
    } else if (head === 0x10 || head === 0x20) {
      const coded = cursor.take(cursor.varint(2 ** 32 - 1));
      decodeCoded(coded, head === 0x10 ? "huffman" : "rans", plane);
    } else refuse("bad-stream", `a byte plane of kind ${head}`);
    for (let i = 0; i < out.length; i++) out[i] |= plane[i] << (8 * k);
  }
  if (cursor.left) refuse("bad-stream", "bytes follow the last byte plane");
  const top = 8 * size - 1;
  const mask = 2 ** (8 * size) - 1;
  if (transform === 0) {
    for (let i = 0; i < out.length; i++) out[i] = (out[i] >>> 1) | ((out[i] & 1) << top);
    return;
  }
  for (let i = 0, key = 0; i < out.length; i++) {
    key = (key + out[i]) & mask;
    out[i] = ((key >>> top) & 1 ? key ^ (1 << top) : ~key) & mask;
  }
}

// -------------------------------------------------------------------------------------------
// 7. Huffman streams

const MAX_LENGTH = 11;

/** Reads a table; with more than one used symbol, `lookup` is there to decode by. */
function readHuffmanTable(cursor, integers) {
  const alphabet = readAlphabet(cursor, integers);
  const lengths = readCodeLengths(cursor, alphabet);
  const used = lengths.reduce((sum, length) => sum + (length > 0), 0);
  const single = used === 1;
  if (single && lengths[alphabet - 1] !== 1) refuse("bad-stream", "a single code is not one bit");
  return { alphabet, single, lookup: used > 1 ? huffmanLookup(lengths) : undefined };
}

function readCodeLengths(cursor, alphabet) {
  const lengths = new Uint8Array(alphabet);
  let half = -1; // the nibble of a byte that is not read yet
  const nibble = () => {
    if (half >= 0) {
      const value = half;
      half = -1;
      return value;
    }
    const byte = cursor.u8();
    half = byte >>> 4;
    return byte & 15;
  };
  let symbol = 0;
  while (symbol < alphabet) {
    const code = nibble();
    if (code <= MAX_LENGTH) {
      lengths[symbol++] = code;
      continue;
    }
    const repeats = code % 2 === 0;
    if (repeats && symbol === 0) refuse("bad-stream", "a table begins with a repetition");
    const low = nibble();
    const run = code < 14 ? 3 + low : 19 + low + 16 * nibble();
    if (run > alphabet - symbol) refuse("bad-stream", "a run goes beyond the alphabet");
    if (repeats) lengths.fill(lengths[symbol - 1], symbol, symbol + run);
    symbol += run;
  }
  if (half > 0) refuse("bad-stream", "the last nibble of a table is not zero");
  if (alphabet && !lengths[alphabet - 1]) refuse("bad-stream", "the last symbol has no code");
  return lengths;
}

/** For each 11 bits to come: 16 symbol + length. */
function huffmanLookup(lengths) {
  const table = new Uint16Array(1 << MAX_LENGTH);
  let code = 0; // of MAX_LENGTH bits: the code itself, filled up with zeros
  for (let length = 1; length <= MAX_LENGTH; length++) {
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      if (lengths[symbol] !== length) continue;
      const count = 1 << (MAX_LENGTH - length);
      if (code + count > table.length) refuse("bad-stream", "there are too many codes");
      for (let k = 0; k < count; k++) table[reversed(code + k)] = (symbol << 4) | length;
      code += count;
    }
  }
  if (code !== table.length) refuse("bad-stream", "the code is not complete");
  return table;
}

function reversed(bits) {
  let out = 0;
  for (let k = 0; k < MAX_LENGTH; k++) out |= ((bits >>> k) & 1) << (MAX_LENGTH - 1 - k);
  return out;
}

function decodeHuffmanChunk(bytes, { lookup }, out) {
  if (out.length <= 4096) {
    decodeHuffmanBits(bytes, lookup, out);
    return;
  }
  const cursor = new Cursor(bytes, "bad-stream");
  const sizes = [0, 1, 2].map(() => cursor.varint(2 ** 32 - 1));
  const quarter = Math.ceil(out.length / 4);
  sizes.forEach((size, j) => {
    decodeHuffmanBits(cursor.take(size), lookup, out.subarray(j * quarter, (j + 1) * quarter));
  });
  decodeHuffmanBits(cursor.rest(), lookup, out.subarray(3 * quarter));
}

function decodeHuffmanBits(bytes, table, out) {
  const end = bytes.length;
  const count = out.length;
  let bits = 0;
  let have = 0;
  let at = 0;
  let i = 0;
  while (at + 4 <= end && i + 2 <= count) {
    // At least 25 bits, enough for two codes.
    for (; have <= 24; have += 8) bits |= bytes[at++] << have;
    const first = table[bits & 2047];
    bits >>>= first & 15;
    const second = table[bits & 2047];
    bits >>>= second & 15;
    have -= (first & 15) + (second & 15);
    out[i++] = first >>> 4;
    out[i++] = second >>> 4;
  }
  while (i < count) {
    for (; have <= 24 && at < end; have += 8) bits |= bytes[at++] << have;
    const entry = table[bits & 2047];
    if ((entry & 15) > have) refuse("bad-stream", "a stream ends within a code");
    bits >>>= entry & 15;
    have -= entry & 15;
    out[i++] = entry >>> 4;
  }
  if (have + 8 * (end - at) >= 8 || bits) refuse("bad-stream", "the last code is not at the end");
}

// -------------------------------------------------------------------------------------------
// 8. rANS streams

const FREQUENCIES = 4096;
const FALLING = [
  65536, 62757, 60097, 57549, 55109, 52773, 50535, 48393, 46341, 44376, 42495, 40693, 38968, 37316,
  35734, 34219,
];

/** Reads a table; with more than one used symbol, it has what decodes the 4096 slots. */
function readRansTable(cursor, integers) {
  const alphabet = readAlphabet(cursor, integers);
  if (!alphabet) return { alphabet, single: false };
  const head = cursor.u8();
  if (head === 0xc0) return { alphabet, single: true };
  let weights;
  if (head < 0x80) weights = readListedWeights(cursor, alphabet, head);
  else if (head === 0x80) weights = readParametricWeights(cursor, alphabet);
  else refuse("bad-stream", `a table of kind ${head}`);
  return { alphabet, single: false, ...ransSlots(weights) };
}

/** Weights of the symbols, -1 for one that is not used. */
function readListedWeights(cursor, alphabet, head) {
  const p = head & 7;
  const r = (head >>> 3) & 7;
  const withGaps = (head & 64) !== 0;
  const weights = new Float64Array(alphabet).fill(-1);
  let have = 0;
  let held = 0;
  const bit = () => {
    if (!have) {
      held = cursor.u8();
      have = 8;
    }
    const value = held & 1;
    held >>>= 1;
    have--;
    return value;
  };
  const bits = (count) => {
    let value = 0;
    for (let k = 0; k < count; k++) value |= bit() << k;
    return value;
  };
  const ones = (most) => {
    let count = 0;
    while (bit()) if (++count > most) refuse("bad-stream", "a run of ones is too long");
    return count;
  };
  let previous = -1;
  for (let s = 0; s < alphabet; s++) {
    if (withGaps) {
      const k = ones(11);
      s += 2 ** k - 1 + bits(k);
      if (s >= alphabet) refuse("bad-stream", "a gap goes beyond the alphabet");
    }
    let v;
    if (previous < 0) v = bits(p + 4);
    else {
      const q = ones(2 ** (p + 5));
      const m = q * 2 ** r + bits(r);
      v = previous + (m % 2 ? -(m + 1) / 2 : m / 2);
    }
    if (v < 0 || v >= 2 ** (p + 4)) refuse("bad-stream", "a weight is out of range");
    const step = 2 ** p;
    weights[s] = v < step ? v : (step + (v % step)) * 2 ** (Math.floor(v / step) - 1);
    previous = v;
  }
  if (held) refuse("bad-stream", "the padding of a table is not zero");
  return weights;
}

function readParametricWeights(cursor, alphabet) {
  const centre = cursor.varint(2 ** 32 - 1);
  const a = cursor.u8();
  const b = cursor.u8();
  if (alphabet < 2) refuse("bad-stream", "a parametric table of one symbol");
  if (centre > 4 * alphabet) refuse("bad-stream", "the centre is beyond the alphabet");
  const slope = (a & 15) * 2 ** ((a >>> 4) & 7) * (a & 128 ? -1 : 1);
  const bend = (b & 15) * 2 ** (b >>> 4);
  const weights = new Float64Array(alphabet);
  let least = Infinity;
  for (let s = 0; s < alphabet; s++) {
    const d = Math.abs(4 * s - centre);
    weights[s] = Math.floor((slope * 512 * d + bend * d * d) / 65536);
    least = Math.min(least, weights[s]);
  }
  for (let s = 0; s < alphabet; s++) {
    const loss = weights[s] - least;
    const octaves = Math.floor(loss / 16);
    weights[s] = octaves > 16 ? 0 : FALLING[loss % 16] >>> octaves;
  }
  return weights;
}

/** For each of the 4096 slots: its symbol, the symbol's frequency, and its place in the range. */
function ransSlots(weights) {
  let used = 0;
  let total = 0;
  for (const weight of weights) {
    if (weight < 0) continue;
    used++;
    total += weight;
  }
  if (used < 2 || total < 1) refuse("bad-stream", "a table has fewer than two symbols");
  const share = FREQUENCIES - used;
  const table = {
    symbol: new Uint16Array(FREQUENCIES),
    frequency: new Uint16Array(FREQUENCIES),
    place: new Uint16Array(FREQUENCIES),
  };
  let below = 0;
  let first = 0;
  weights.forEach((weight, symbol) => {
    if (weight < 0) return;
    const start = Math.floor((below * share) / total);
    below += weight;
    const frequency = 1 + Math.floor((below * share) / total) - start;
    for (let place = 0; place < frequency; place++) {
      table.symbol[first + place] = symbol;
      table.frequency[first + place] = frequency;
      table.place[first + place] = place;
    }
    first += frequency;
  });
  return table;
}

function decodeRansChunk(bytes, table, out, wide) {
  if (wide && out.length > 4096) decodeRansLanes(bytes, table, out);
  else decodeRansLane(bytes, table, out);
}

function decodeRansLane(bytes, { symbol, frequency, place }, out) {
  const size = bytes.length;
  let x = 0;
  for (let k = Math.min(size, 4) - 1; k >= 0; k--) x = ((x << 8) | bytes[k]) >>> 0;
  const wrong = size <= 4 ? !size || !bytes[size - 1] : x < 65536 || size % 2;
  if (wrong) refuse("bad-stream", "the state of a chunk is not one that is written");
  let at = 4;
  for (let i = 0; i < out.length; i++) {
    const slot = x & 4095;
    x = (Math.imul(frequency[slot], x >>> 12) + place[slot]) >>> 0;
    if (x < 65536 && at < size) {
      x = ((x << 16) | bytes[at] | (bytes[at + 1] << 8)) >>> 0;
      at += 2;
    }
    out[i] = symbol[slot];
  }
  if (x !== 1 || at < size) refuse("bad-stream", "a chunk does not end with its last integer");
}

function decodeRansLanes(bytes, { symbol, frequency, place }, out) {
  const size = bytes.length;
  if (size < 128 || size % 2) refuse("bad-stream", "a chunk of 32 lanes is too short");
  const states = Uint32Array.from({ length: 32 }, (_, j) => word(bytes, 4 * j));
  if (states.some((x) => x < 65536)) refuse("bad-stream", "a lane begins below 2^16");
  let at = 128;
  for (let i = 0; i < out.length; i++) {
    const slot = states[i & 31] & 4095;
    let x = (Math.imul(frequency[slot], states[i & 31] >>> 12) + place[slot]) >>> 0;
    if (x < 65536) {
      if (at >= size) refuse("bad-stream", "a chunk has too few words");
      x = (x << 16) | bytes[at] | (bytes[at + 1] << 8);
      at += 2;
    }
    states[i & 31] = x;
    out[i] = symbol[slot];
  }
  if (at < size || states.some((x) => x !== 65536)) {
    refuse("bad-stream", "a chunk does not end with its last integer");
  }
}

// -------------------------------------------------------------------------------------------
// 9. Mask streams

const D = 16384;
const LG = Uint16Array.from({ length: 64 }, (_, f) => Math.round(256 * Math.log2(1 + f / 64)));
const S = Uint16Array.from({ length: 33 }, (_, i) =>
  Math.min(65535, Math.round(65536 / (1 + 2 ** (-i / 2)))),
);

function lg(v) {
  const e = 31 - Math.clz32(v);
  return 256 * e + LG[(e < 6 ? v << (6 - e) : v >>> (e - 6)) - 64];
}

// squash(x) for x = -4095 .. 4095.
const SQUASHED = Uint16Array.from({ length: 8191 }, (_, k) => {
  const a = Math.abs(k - 4095);
  const i = a >> 7;
  const p = S[i] + (((S[i + 1] - S[i]) * (a & 127)) >> 7);
  return k >= 4095 ? p : 65536 - p;
});

function squash(x) {
  return SQUASHED[Math.max(-4095, Math.min(4095, x)) + 4095];
}

/** The decoder of mask and context streams. */
class RangeDecoder {
  constructor(bytes) {
    this.bytes = bytes;
    this.range = 0xffffffff;
    this.code = 0;
    this.at = 0;
    for (let k = 0; k < 4; k++) this.shift();
    if (this.code === this.range) refuse("bad-stream", "a stream begins beyond the range");
  }

  shift() {
    this.code = ((this.code << 8) | (this.at < this.bytes.length ? this.bytes[this.at] : 0)) >>> 0;
    if (++this.at - 3 > this.bytes.length) refuse("bad-stream", "a stream ends too early");
  }

  bit(q) {
    const { range, code } = this;
    const low = Math.imul(range & 65535, q) >>> 16;
    const bound = (Math.imul(range >>> 16, q) + low) >>> 0;
    const one = code < bound;
    if (one) this.range = bound;
    else {
      this.code = code - bound;
      this.range = range - bound;
    }
    while (this.range < 2 ** 24) {
      this.range = (this.range << 8) >>> 0;
      this.shift();
    }
    return one ? 1 : 0;
  }

  finish() {
    if (this.at - 3 !== this.bytes.length) refuse("bad-stream", "bytes follow the end of a stream");
  }
}

/** Puts the positions of the ones into `out`. `make(Type, length)` takes memory. */
function decodeMask(bytes, grid, count, out, make) {
  const { rows, columns, size } = grid;
  if (count === 0 || count === size) {
    if (bytes.length) refuse("bad-stream", "a mask that is clear has a stream");
    for (let i = 0; i < count; i++) out[i] = i;
    return;
  }
  const cursor = new Cursor(bytes, "bad-stream");
  const period = cursor.varint(columns);
  const coder = new RangeDecoder(cursor.rest());
  const P1 = 1 + Math.floor((count * (D - 2)) / size);
  const P0 = D - P1;
  const stretch = (ones, zeros, k) => lg(ones * D + k * P1) - lg(zeros * D + k * P0);
  const bias = lg(P1) - lg(P0);
  let [w0, w1, w2, w3] = [-32768, 40960, 32768, 24576];
  const column = make(Uint16Array, columns);
  let current = make(Uint8Array, columns);
  let above = make(Uint8Array, columns);
  let above2 = make(Uint8Array, columns);
  const one = new Uint16Array(64);
  const all = new Uint16Array(64);
  let n = 0;
  let used = 0;
  let empty = 0;
  let left = count;
  let found = 0;
  for (let row = 0; row < rows && left; row++) {
    if (!coder.bit(squash(lg(used * D + D / 2) - lg(empty * D + D / 2)))) empty++;
    else {
      used++;
      let ones = 0;
      let seen = 0;
      const before = left;
      current.fill(0);
      for (let j = 0; j < columns && left; j++) {
        let c = 4 * above[j] + 8 * above2[j];
        if (j > 0) c += current[j - 1];
        if (j > 1) c += 2 * current[j - 2];
        if (period && j >= period) {
          c += 16 * current[j - period];
          if (j >= 2 * period) c += 32 * current[j - 2 * period];
        }
        const x1 = stretch(column[j], n - column[j], 1);
        const x2 = stretch(ones, seen - ones, 24);
        const x3 = stretch(one[c], all[c] - one[c], 1);
        const q = squash(Math.floor((w0 * bias + w1 * x1 + w2 * x2 + w3 * x3) / 65536));
        const b = coder.bit(q);
        const error = 65536 * b - q;
        w0 = adapted(w0, bias, error);
        w1 = adapted(w1, x1, error);
        w2 = adapted(w2, x2, error);
        w3 = adapted(w3, x3, error);
        if (b) {
          current[j] = 1;
          column[j]++;
          ones++;
          one[c]++;
          left--;
          out[found++] = row * columns + j;
        }
        if (++seen === 65535) {
          seen >>= 1;
          ones >>= 1;
        }
        if (++all[c] === 1024) {
          all[c] = 512;
          one[c] >>= 1;
        }
      }
      if (left === before) refuse("bad-stream", "a used row of a mask is empty");
      [current, above, above2] = [above2, current, above];
      if (++n === 65535) {
        n >>= 1;
        for (let j = 0; j < columns; j++) column[j] >>= 1;
      }
    }
    if (used + empty === 65535) {
      used >>= 1;
      empty >>= 1;
    }
  }
  if (left) refuse("bad-stream", "a mask has too few ones");
  coder.finish();
}

function adapted(weight, x, error) {
  const moved = weight + ((x * error + 32768) >> 16);
  return Math.max(-524288, Math.min(524288, moved));
}

// -------------------------------------------------------------------------------------------
// 10. Context streams

const RATE = Uint16Array.from({ length: 256 }, (_, n) => Math.floor(32768 / (2 * n + 3)));
const ST = Int16Array.from({ length: 4096 }, (_, i) => (lg(2 * i + 1) - lg(8191 - 2 * i)) >> 1);
const DECISIONS = 14; // 7 of each quantizer: not zero, then is it more than 1, 2, .. 6
const SIGN = 6 * DECISIONS; // where the weights of the sign begin

// Where the counters of each table begin.
const M0 = 0;
const M1 = M0 + DECISIONS;
const M2 = M1 + 32 * DECISIONS;
const M3 = M2 + 64 * DECISIONS;
const M4 = M3 + 64 * DECISIONS;
const M5 = M4 + 96 * DECISIONS;
const S0 = M5 + 256 * DECISIONS;
const S1 = S0 + 1;
const S2 = S1 + 9;
const S3 = S2 + 9;
const S4 = S3 + 81;
const S5 = S4 + 81;
const E = S5 + 81;
const H = E + 15;
const COUNTERS = H + 15;

/** A counter is one number: p * 256 + n. */
function learnt(counter, target) {
  const p = counter >> 8;
  const n = counter & 255;
  return ((p + (Math.imul(target - p, RATE[n]) >> 14)) << 8) | (n + (n < 255 ? 1 : 0));
}

function moved(weight, x, error) {
  const w = weight + ((Math.imul(x, error) + 8192) >> 14);
  return w > 131071 ? 131071 : w < -131071 ? -131071 : w;
}

class ContextModel {
  constructor(bytes) {
    this.coder = new RangeDecoder(bytes);
    this.weights = new Int32Array(6 * (DECISIONS + 1)).fill(13000);
    this.counters = new Int32Array(COUNTERS).fill(32768 << 8, S0, S1).fill(32768 << 8, E);
    this.counters.fill(20000 << 8, M0, M1);
    this.counters[M0] = this.counters[M0 + 7] = 32768 << 8;
  }

  /** One decision by the weights from w on and six counters. */
  mixed(w, k0, k1, k2, k3, k4, k5) {
    const { coder, weights, counters } = this;
    const c0 = counters[k0];
    const fresh = (c0 & ~255) | 1;
    let c1 = counters[k1];
    let c2 = counters[k2];
    let c3 = counters[k3];
    let c4 = counters[k4];
    let c5 = counters[k5];
    if (!(c1 & 255)) c1 = fresh;
    if (!(c2 & 255)) c2 = fresh;
    if (!(c3 & 255)) c3 = fresh;
    if (!(c4 & 255)) c4 = fresh;
    if (!(c5 & 255)) c5 = fresh;
    const x0 = ST[c0 >> 12];
    const x1 = ST[c1 >> 12];
    const x2 = ST[c2 >> 12];
    const x3 = ST[c3 >> 12];
    const x4 = ST[c4 >> 12];
    const x5 = ST[c5 >> 12];
    const w0 = weights[w];
    const w1 = weights[w + 1];
    const w2 = weights[w + 2];
    const w3 = weights[w + 3];
    const w4 = weights[w + 4];
    const w5 = weights[w + 5];
    const sum =
      Math.imul(w0, x0) + Math.imul(w1, x1) + Math.imul(w2, x2) +
      Math.imul(w3, x3) + Math.imul(w4, x4) + Math.imul(w5, x5);
    const q = squash(sum >> 15);
    const b = coder.bit(q);
    const error = (b << 16) - q;
    weights[w] = moved(w0, x0, error);
    weights[w + 1] = moved(w1, x1, error);
    weights[w + 2] = moved(w2, x2, error);
    weights[w + 3] = moved(w3, x3, error);
    weights[w + 4] = moved(w4, x4, error);
    weights[w + 5] = moved(w5, x5, error);
    const target = b ? 65535 : 0;
    counters[k0] = learnt(c0, target);
    counters[k1] = learnt(c1, target);
    counters[k2] = learnt(c2, target);
    counters[k3] = learnt(c3, target);
    counters[k4] = learnt(c4, target);
    counters[k5] = learnt(c5, target);
    return b;
  }

  /** One decision by one counter. */
  plain(k) {
    const counter = this.counters[k];
    const b = this.coder.bit(Math.max(32, Math.min(65504, counter >> 8)));
    this.counters[k] = learnt(counter, b ? 65535 : 0);
    return b;
  }

  /** An integer from 1 on, by an Exp-Golomb code. */
  golomb() {
    let e = 0;
    while (e < 15 && this.plain(E + e)) e++;
    let t = 1;
    while (e) t = 2 * t + this.plain(H + --e);
    return t;
  }
}

function bucket(v) {
  if (v < 4) return v;
  const e = 31 - Math.clz32(v);
  return 2 * e + ((v >> (e - 1)) & 1);
}

function signClass(x) {
  return x > 0 ? 2 : x < 0 ? 1 : 0;
}

function clipped(x, n) {
  return Math.max(-n, Math.min(n, x));
}

/** Puts a matrix of integers into `out`. `make(Type, length)` takes memory. */
function decodeContext(bytes, out, make) {
  if (!out.length) {
    if (bytes.length) refuse("bad-stream", "a context stream without integers has bytes");
    return;
  }
  const most = out.BYTES_PER_ELEMENT === 1 ? 255 : 65535;
  const cursor = new Cursor(bytes, "bad-stream");
  const flags = cursor.u8();
  if (flags > 3) refuse("bad-stream", `a context stream with the flags ${flags}`);
  const rows = cursor.varint(2 ** 32 - 1);
  const columns = out.length / rows;
  if (out.length % rows || columns >= 2 ** 32) {
    refuse("bad-stream", `${out.length} integers in ${rows} rows`); // 0 rows too
  }
  const zero = cursor.varint(most);
  const V = flags & 2 ? cursor.varint(columns) : 0;
  const P = flags & 2 ? cursor.varint(columns) : 0;
  if (flags & 2 && !V && !P) refuse("bad-stream", "the distances of a context stream are both 0");
  const head = { rows, columns, zero, most, V, P, trellis: flags & 1 };
  decodeLevels(new ContextModel(cursor.rest()), head, out, make);
}

function decodeLevels(model, { rows, columns, zero, most, V, P, trellis }, out, make) {
  const memory = make(Int32Array, 4 * columns);
  const part = (k) => memory.subarray(k * columns, (k + 1) * columns);
  const column = part(0);
  let [current, row1, row2] = [part(1), part(2), part(3)];
  const cycle = P || V || 1;
  let at = 0;
  for (let r = 0; r < rows; r++) {
    const columnRate = RATE[Math.min(r + 1, 30)];
    let mean = 0;
    let state = 0;
    let phase = 0;
    let l = 0;
    let l2 = 0;
    for (let j = 0; j < columns; j++) {
      const u = row1[j];
      const v = V && j >= V ? current[j - V] : 0;
      const c = P && j >= P ? current[j - P] : 0;
      const d = trellis ? 7 * (state & 1) : 0;
      const sizeL = Math.abs(l);
      const sizeV = Math.abs(v);
      const sizeU = Math.abs(u);
      const near = 2 * sizeL + 2 * sizeV + sizeU + Math.abs(c);
      const usual = column[j];
      const m0 = M0 + d;
      const m1 = M1 + d + DECISIONS * bucket(usual >> 2);
      const m2 =
        M2 + d + DECISIONS * (Math.min(sizeL, 3) + 4 * Math.min(sizeV, 3) + 16 * Math.min(sizeU, 3));
      let m3 = M3 + d + DECISIONS * Math.min(bucket(near), 31);
      let m4 = M4 + d + DECISIONS * (phase & 63);
      const m5 =
        M5 + d + DECISIONS * (16 * Math.min(bucket(usual >> 3), 15) + Math.min(bucket(mean >> 3), 15));
      let w = 6 * d;
      let k = 0;
      if (model.mixed(w, m0, m1, m2, m3, m4, m5)) {
        const u2 = row2[j];
        const v2 = V && j >= 2 * V ? current[j - 2 * V] : 0;
        const vl = V && j > V ? current[j - V - 1] : 0;
        const vr = V > 1 && j >= V - 1 ? current[j - V + 1] : 0;
        const tl = signClass(l);
        const tu = signClass(u);
        const tv = signClass(v);
        const tc = signClass(c);
        const negative = model.mixed(
          SIGN,
          S0,
          S1 + tl + 3 * tv,
          S2 + tu + 3 * tc,
          S3 + tl + 3 * tu + 9 * tv + 27 * tc,
          S4 + signClass(l2) + 3 * signClass(u2) + 9 * tl + 27 * tu,
          S5 + tv + 3 * signClass(vl) + 9 * signClass(vr) + 27 * signClass(v2),
        );
        const g = negative ? -1 : 1;
        m3 = M3 + d + DECISIONS * (47 + clipped(g * (2 * l + 2 * v + u + c), 15));
        m4 = M4 + d + DECISIONS * (76 + 5 * clipped(g * l, 2) + clipped(g * v, 2));
        let a = 1;
        for (; a < 7; a++) {
          w += 6;
          if (!model.mixed(w, m0 + a, m1 + a, m2 + a, m3 + a, m4 + a, m5 + a)) break;
        }
        if (a === 7) a = model.golomb() + 6;
        k = g * a;
      }
      const integer = zero + k;
      if (integer < 0 || integer > most) refuse("bad-stream", `${integer} is beyond the integers`);
      out[at++] = integer;
      let level = k;
      if (trellis) {
        level = trellisLevel(state, k);
        state = TRELLIS_NEXT[2 * state + (k & 1)];
      }
      current[j] = level;
      l2 = l;
      l = level;
      if (++phase === cycle) phase = 0;
      const y = 256 * Math.min(Math.abs(level), 255);
      mean += Math.imul(y - mean, RATE[Math.min(j + 1, 62)]) >> 14;
      column[j] = usual + (Math.imul(y - usual, columnRate) >> 14);
    }
    [current, row1, row2] = [row2, current, row1];
  }
  model.coder.finish();
}

// -------------------------------------------------------------------------------------------
// RFC 1951. Browsers and newer versions of Node could inflate themselves, but not all of them
// have the raw format, and not all of them see bytes that follow the end.

const CLEN_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const LENGTH_BASE = [];
const LENGTH_EXTRA = [];
const DISTANCE_BASE = [];
const DISTANCE_EXTRA = [];
for (let i = 0, base = 3; i < 28; i++) {
  LENGTH_EXTRA[i] = i < 8 ? 0 : (i >> 2) - 1;
  LENGTH_BASE[i] = base;
  base += 1 << LENGTH_EXTRA[i];
}
LENGTH_BASE[28] = 258;
LENGTH_EXTRA[28] = 0;
for (let i = 0, base = 1; i < 30; i++) {
  DISTANCE_EXTRA[i] = i < 4 ? 0 : (i >> 1) - 1;
  DISTANCE_BASE[i] = base;
  base += 1 << DISTANCE_EXTRA[i];
}

/**
 * Inflate raw DEFLATE that must give exactly `size` bytes and end with `bytes`, as if `preset` stood
 * before it.
 */
function inflate(bytes, preset, size, error) {
  const cursor = new Cursor(bytes, error);
  const start = preset.length;
  const out = new Uint8Array(start + size);
  out.set(preset);
  let at = start;
  let held = 0;
  let have = 0;
  const take = (count) => {
    for (; have < count; have += 8) held |= cursor.u8() << have;
    const value = held & ((1 << count) - 1);
    held >>>= count;
    have -= count;
    return value;
  };
  const symbolOf = ({ counts, symbols }) => {
    let code = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length <= 15; length++) {
      code |= take(1);
      if (code - first < counts[length]) return symbols[index + code - first];
      index += counts[length];
      first = (first + counts[length]) << 1;
      code <<= 1;
    }
    return refuse(error, "a deflated section has a code that does not exist");
  };
  const room = (count) => {
    if (count > out.length - at) refuse(error, "a deflated section is longer than stated");
  };
  for (let last = 0; !last; ) {
    last = take(1);
    const type = take(2);
    if (type === 0) {
      held = have = 0; // never more than 7 bits are held here
      const [length, check] = [cursor.u8() | (cursor.u8() << 8), cursor.u8() | (cursor.u8() << 8)];
      if (length !== (check ^ 0xffff)) refuse(error, "a stored block is damaged");
      room(length);
      out.set(cursor.take(length), at);
      at += length;
      continue;
    }
    if (type === 3) refuse(error, "a deflated section has a block of unknown type");
    const { literals, distances } = type === 1 ? fixedCodes() : dynamicCodes(take, symbolOf, error);
    for (;;) {
      const symbol = symbolOf(literals);
      if (symbol === 256) break;
      if (symbol < 256) {
        room(1);
        out[at++] = symbol;
        continue;
      }
      if (symbol > 285) refuse(error, "a deflated section has a length that does not exist");
      const length = LENGTH_BASE[symbol - 257] + take(LENGTH_EXTRA[symbol - 257]);
      const code = symbolOf(distances);
      if (code > 29) refuse(error, "a deflated section has a distance that does not exist");
      const distance = DISTANCE_BASE[code] + take(DISTANCE_EXTRA[code]);
      if (distance > at) refuse(error, "a deflated section refers to before its beginning");
      room(length);
      for (const end = at + length; at < end; at++) out[at] = out[at - distance];
    }
  }
  if (at !== out.length) refuse(error, "a deflated section is shorter than stated");
  if (cursor.left) refuse(error, "bytes follow the end of a deflated section");
  return out.subarray(start);
}

// The preset dictionary of section 2.3 in base 64, written by spec/make_dictionary.py.
const PRESET_TEXT =
  "YWlycGxhbmUKYXV0b21vYmlsZQpiaXJkCmNhdApkZWVyCmRvZwpmcm9nCmhvcnNlCnNoaXAKdHJ1Y2sKMAoxCjIKMwo0" +
  "CjUKNgo3CjgKOQoiY2FsaWJyYXRpb24iLCJpbWFnZXMiOiJtZXRob2QiOiJwcnVuZS5tYWduaXR1ZGUiLCJkZW5zaXR5" +
  "IjowLjF9LHsibWV0aG9kIjoicXVhbnRpemUua21lYW5zIiwiYml0cyI6NCJncmFudWxhcml0eSI6ImNoYW5uZWwiLCJs" +
  "YXllcnMiOlsic3RlcHMiOlt7InJlY2lwZSI6eyJuYW1lIjoicmRvIn0sInNlZWQiOjB9eyJyZWNpcGUiOnsibmFtZSI6" +
  "ImRlZXAtY29tcHJlc3Npb24ifSwic2VlZCI6MH17InJlY2lwZSI6eyJuYW1lIjoia21lYW5zLWh1ZmZtYW4ifSwic2Vl" +
  "ZCI6MH17InJlY2lwZSI6eyJuYW1lIjoibGluZWFyOCJ9LCJzZWVkIjowfRIGQXJnTWF4EgRCaWFzEgRDcm9wEgVFbWJl" +
  "ZBIETFNUTRIDTVZOEgNTUFASB1Blcm11dGUSCU5vcm1hbGl6ZRIIUHJpb3JCb3gSCVJlZHVjdGlvbhIJUGFyYW1ldGVy" +
  "EghBY2N1cmFjeRIFUFJlTFUSA0VMVRIFUG93ZXISBVNsaWNlEgVTcGxpdBIHUmVzaGFwZRIHU2lnbW9pZBIEVGFuSBIH" +
  "RmxhdHRlbhINRGVjb252b2x1dGlvbqIGLQoEbG9zcxIPU29mdG1heFdpdGhMb3NzGgNmYzgaBWxhYmVsIgRsb3NzQgII" +
  "ATIKHQAAgD8lAACAPzIKHQAAAEAlAAAAADoPCghnYXVzc2lhbjUK1yM8Qg8KCGNvbnN0YW50FQAAAAA6BgoEbXNyYTIF" +
  "HQAAgD8yBR0AAABAOggKBnhhdmllckIKCghjb25zdGFudCoIEBAQEBAQcD8qCAAAAAAAAHA/MhgAAAAAAABaQAAAAAAA" +
  "QF1AAAAAAADAXkAKBlJlc05ldKIGOwoNcmVzMmFfYnJhbmNoMRILQ29udm9sdXRpb24aBXBvb2wxIg1yZXMyYV9icmFu" +
  "Y2gx0gYGCEAQACABogZKCg5yZXMyYV9icmFuY2gyYhILQ29udm9sdXRpb24aDnJlczJhX2JyYW5jaDJhIg5yZXMyYV9i" +
  "cmFuY2gyYtIGCghAEAAYASADMAKiBjsKE3JlczJhX2JyYW5jaDJiX3JlbHUSBFJlTFUaDnJlczJhX2JyYW5jaDJiIg5y" +
  "ZXMyYV9icmFuY2gyYqIGNgoFcmVzMmESB0VsdHdpc2UaDXJlczJhX2JyYW5jaDEaDnJlczJhX2JyYW5jaDJjIgVyZXMy" +
  "YaIGOwoKY29udjJfMS9kdxILQ29udm9sdXRpb24aBWNvbnYxIgpjb252Ml8xL2R30gYMCCAQABgBIAMoIDABogY3Cg1j" +
  "b252Ml8xL2R3L2JuEglCYXRjaE5vcm0aCmNvbnYyXzEvZHciCmNvbnYyXzEvZHfaCAIIAaIGNgoQY29udjJfMS9kdy9z" +
  "Y2FsZRIFU2NhbGUaCmNvbnYyXzEvZHciCmNvbnYyXzEvZHfyCAIgAaIGKgoKcmVsdTJfMS9kdxIEUmVMVRoKY29udjJf" +
  "MS9kdyIKY29udjJfMS9kd6IGPAoLY29udjJfMS9zZXASC0NvbnZvbHV0aW9uGgpjb252Ml8xL2R3Igtjb252Ml8xL3Nl" +
  "cNIGBghAEAAgAaIGLAoFY29udjESC0NvbnZvbHV0aW9uGgRkYXRhIgVjb252MdIGCAhAGAMgBzACogYoCghibl9jb252" +
  "MRIJQmF0Y2hOb3JtGgVjb252MSIFY29udjHaCAIIAaIGJwoLc2NhbGVfY29udjESBVNjYWxlGgVjb252MSIFY29udjHy" +
  "CAIgAaIGJwoFcG9vbDUSB1Bvb2xpbmcaBXJlczVjIgVwb29sNcoHBggBEAcYAaIGKwoGZmMxMDAwEgxJbm5lclByb2R1" +
  "Y3QaBXBvb2w1IgZmYzEwMDCqBwMI6AeiBlQKF2luY2VwdGlvbl8zYS8zeDNfcmVkdWNlEgtDb252b2x1dGlvbhoMcG9v" +
  "bDIvM3gzX3MyIhdpbmNlcHRpb25fM2EvM3gzX3JlZHVjZdIGBAhgIAEKClNxdWVlemVOZXSiBj8KEGZpcmUyL3NxdWVl" +
  "emUxeDESC0NvbnZvbHV0aW9uGgVwb29sMSIQZmlyZTIvc3F1ZWV6ZTF4MdIGBAgQIAGiBkEKFWZpcmUyL3JlbHVfc3F1" +
  "ZWV6ZTF4MRIEUmVMVRoQZmlyZTIvc3F1ZWV6ZTF4MSIQZmlyZTIvc3F1ZWV6ZTF4MaIGSAoPZmlyZTIvZXhwYW5kMXgx" +
  "EgtDb252b2x1dGlvbhoQZmlyZTIvc3F1ZWV6ZTF4MSIPZmlyZTIvZXhwYW5kMXgx0gYECEAgAaIGPgoUZmlyZTIvcmVs" +
  "dV9leHBhbmQxeDESBFJlTFUaD2ZpcmUyL2V4cGFuZDF4MSIPZmlyZTIvZXhwYW5kMXgxogZKCg9maXJlMi9leHBhbmQz" +
  "eDMSC0NvbnZvbHV0aW9uGhBmaXJlMi9zcXVlZXplMXgxIg9maXJlMi9leHBhbmQzeDPSBgYIQBgBIAOiBj4KFGZpcmUy" +
  "L3JlbHVfZXhwYW5kM3gzEgRSZUxVGg9maXJlMi9leHBhbmQzeDMiD2ZpcmUyL2V4cGFuZDN4M6IGRgoMZmlyZTIvY29u" +
  "Y2F0EgZDb25jYXQaD2ZpcmUyL2V4cGFuZDF4MRoPZmlyZTIvZXhwYW5kM3gzIgxmaXJlMi9jb25jYXSiBiwKBmNvbnYx" +
  "MBILQ29udm9sdXRpb24aBWRyb3A5IgZjb252MTDSBgUI6AcgAaIGKAoGcG9vbDEwEgdQb29saW5nGgZjb252MTAiBnBv" +
  "b2wxMMoHBAgBYAGiBh0KBHByb2ISB1NvZnRtYXgaBnBvb2wxMCIEcHJvYhoEZGF0YSABIAMg4AEg4AGiBi4KB2NvbnYx" +
  "XzESC0NvbnZvbHV0aW9uGgRkYXRhIgdjb252MV8x0gYGCEAYASADogYhCgdyZWx1MV8xEgRSZUxVGgdjb252MV8xIgdj" +
  "b252MV8xCgdBbGV4TmV0ogYgCgRkYXRhEgVJbnB1dCIEZGF0YfoICgoICgYKA+MB4wGiBioKBWNvbnYxEgtDb252b2x1" +
  "dGlvbhoEZGF0YSIFY29udjHSBgYIYCALMASiBikKBW5vcm0xEgNMUk4aBXBvb2wxIgVub3JtMbIHDAgFFRe30TgdAABA" +
  "P6IGLgoFY29udjISC0NvbnZvbHV0aW9uGgVub3JtMSIFY29udjLSBgkIgAIYAiAFKAKiBiwKBWNvbnYzEgtDb252b2x1" +
  "dGlvbhoFcG9vbDIiBWNvbnYz0gYHCIADGAEgA6IGGwoFcmVsdTMSBFJlTFUaBWNvbnYzIgVjb252M6IGLgoFY29udjUS" +
  "C0NvbnZvbHV0aW9uGgVjb252NCIFY29udjXSBgkIgAIYASADKAKiBhsKBXJlbHU1EgRSZUxVGgVjb252NSIFY29udjWi" +
  "BiUKBXBvb2w1EgdQb29saW5nGgVjb252NSIFcG9vbDXKBwQQAxgCogYlCgNmYzYSDElubmVyUHJvZHVjdBoFcG9vbDUi" +
  "A2ZjNqoHAwiAIKIGFwoFcmVsdTYSBFJlTFUaA2ZjNiIDZmM2ogYaCgVkcm9wNhIHRHJvcG91dBoDZmM2IgNmYzaiBiMK" +
  "A2ZjOBIMSW5uZXJQcm9kdWN0GgNmYzciA2ZjOKoHAwjoB6IGGgoEcHJvYhIHU29mdG1heBoDZmM4IgRwcm9iCgVtbmlz" +
  "dBoEZGF0YUIFCgMBkAaiBiQKA2lwMRIMSW5uZXJQcm9kdWN0GgRkYXRhIgNpcDGqBwMIrAKiBhcKBXJlbHUxEgRSZUxV" +
  "GgNpcDEiA2lwMaIGIgoDaXAyEgxJbm5lclByb2R1Y3QaA2lwMSIDaXAyqgcCCGSiBhcKBXJlbHUyEgRSZUxVGgNpcDIi" +
  "A2lwMqIGIgoDaXAzEgxJbm5lclByb2R1Y3QaA2lwMiIDaXAzqgcCCAqiBhoKBHByb2ISB1NvZnRtYXgaA2lwMyIEcHJv" +
  "YgoMQ0lGQVIxMF9mdWxsogYeCgRkYXRhEgVJbnB1dCIEZGF0YfoICAoGCgQBAyAgogYsCgVjb252MRILQ29udm9sdXRp" +
  "b24aBGRhdGEiBWNvbnYx0gYICCAYAiAFMAGiBiMKA2JuMRIJQmF0Y2hOb3JtGgVjb252MSIFY29udjHaCAIIAaIGIgoG" +
  "c2NhbGUxEgVTY2FsZRoFY29udjEiBWNvbnYx8ggCIAGiBiUKBXBvb2wxEgdQb29saW5nGgVjb252MSIFcG9vbDHKBwQQ" +
  "AxgCogYbCgVyZWx1MRIEUmVMVRoFcG9vbDEiBXBvb2wxogYrCgVub3JtMRIDTFJOGgVwb29sMSIFbm9ybTGyBw4IAxUX" +
  "t1E4HQAAQD8gAaIGLQoFY29udjISC0NvbnZvbHV0aW9uGgVub3JtMSIFY29udjLSBggIIBgCIAUwAaIGGwoFcmVsdTIS" +
  "BFJlTFUaBWNvbnYyIgVjb252MqIGJwoFcG9vbDISB1Bvb2xpbmcaBWNvbnYyIgVwb29sMsoHBggBEAMYAqIGKwoFbm9y" +
  "bTISA0xSThoFcG9vbDIiBW5vcm0ysgcOCAMVF7dROB0AAEA/IAGiBi0KBWNvbnYzEgtDb252b2x1dGlvbhoFbm9ybTIi" +
  "BWNvbnYz0gYICEAYAiAFMAGiBhsKBXJlbHUzEgRSZUxVGgVjb252MyIFY29udjOiBicKBXBvb2wzEgdQb29saW5nGgVj" +
  "b252MyIFcG9vbDPKBwYIARADGAKiBiQKA2lwMRIMSW5uZXJQcm9kdWN0GgVwb29sMyIDaXAxqgcCCAqiBhoKBHByb2IS" +
  "B1NvZnRtYXgaA2lwMSIEcHJvYgoFTGVOZXSiBh4KBGRhdGESBUlucHV0IgRkYXRh+ggICgYKBEABHByiBigKBWNvbnYx" +
  "EgtDb252b2x1dGlvbhoEZGF0YSIFY29udjHSBgQIFCAFogYlCgVwb29sMRIHUG9vbGluZxoFY29udjEiBXBvb2wxygcE" +
  "EAIYAqIGKQoFY29udjISC0NvbnZvbHV0aW9uGgVwb29sMSIFY29udjLSBgQIMiAFogYlCgVwb29sMhIHUG9vbGluZxoF" +
  "Y29udjIiBXBvb2wyygcEEAIYAqIGJQoDaXAxEgxJbm5lclByb2R1Y3QaBXBvb2wyIgNpcDGqBwMI9AOiBhcKBXJlbHUx" +
  "EgRSZUxVGgNpcDEiA2lwMaIGIgoDaXAyEgxJbm5lclByb2R1Y3QaA2lwMSIDaXAyqgcCCAqiBhoKBHByb2ISB1NvZnRt" +
  "YXgaA2lwMiIEcHJvYg=="; // end of PRESET_TEXT

let presetBytes;

function presetDictionary() {
  presetBytes ??= Uint8Array.from(atob(PRESET_TEXT), (character) => character.charCodeAt(0));
  return presetBytes;
}

function prefixCode(lengths, error, mayBeIncomplete) {
  const counts = new Uint16Array(16);
  for (const length of lengths) counts[length]++;
  const used = lengths.length - counts[0];
  counts[0] = 0;
  let room = 1;
  const offsets = new Uint16Array(17);
  for (let length = 1; length <= 15; length++) {
    room = room * 2 - counts[length];
    if (room < 0) refuse(error, "a deflated section has too many codes");
    offsets[length + 1] = offsets[length] + counts[length];
  }
  if (room && !(mayBeIncomplete && (used === 0 || (used === 1 && counts[1] === 1)))) {
    refuse(error, "a deflated section has a code that is not complete");
  }
  const symbols = new Uint16Array(used);
  lengths.forEach((length, symbol) => {
    if (length) symbols[offsets[length]++] = symbol;
  });
  return { counts, symbols };
}

function fixedCodes() {
  const lengths = new Uint8Array(288).fill(8, 0, 144).fill(9, 144, 256).fill(7, 256, 280);
  return {
    literals: prefixCode(lengths.fill(8, 280)),
    distances: prefixCode(new Uint8Array(32).fill(5)),
  };
}

function dynamicCodes(take, symbolOf, error) {
  const literals = take(5) + 257;
  const distances = take(5) + 1;
  const count = take(4) + 4;
  if (literals > 286 || distances > 30) refuse(error, "a deflated section has too many symbols");
  const clens = new Uint8Array(19);
  for (let i = 0; i < count; i++) clens[CLEN_ORDER[i]] = take(3);
  const code = prefixCode(clens, error, false);
  const lengths = new Uint8Array(literals + distances);
  for (let i = 0; i < lengths.length; ) {
    const symbol = symbolOf(code);
    if (symbol < 16) {
      lengths[i++] = symbol;
      continue;
    }
    if (symbol === 16 && i === 0) refuse(error, "a deflated section begins with a run");
    const value = symbol === 16 ? lengths[i - 1] : 0;
    const run = symbol === 16 ? 3 + take(2) : symbol === 17 ? 3 + take(3) : 11 + take(7);
    if (run > lengths.length - i) refuse(error, "a run in a deflated section is too long");
    lengths.fill(value, i, i + run);
    i += run;
  }
  if (!lengths[256]) refuse(error, "a deflated section cannot end");
  return {
    literals: prefixCode(lengths.subarray(0, literals), error, true),
    distances: prefixCode(lengths.subarray(literals), error, true),
  };
}

// -------------------------------------------------------------------------------------------
// The container

/**
 * Open a container. Header, section table, padding and manifest are checked, nothing else is
 * read.
 *
 * data: an ArrayBuffer or a Uint8Array (which is not copied, and must not change).
 * maxMemory, maxTensor: how many bytes all tensors together, and one of them, may decode to.
 * Throws CmodelError; its name is one of section 12.
 */
export async function open(data, { maxMemory, maxTensor } = LIMITS) {
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
  return new Container(bytes, maxMemory ?? LIMITS.maxMemory, maxTensor ?? LIMITS.maxTensor);
}

export class Container {
  #bytes;
  #data; // the data sections
  #byName = new Map();
  #whole = new Set(); // indices of sections whose CRC has been found right

  constructor(bytes, maxMemory, maxTensor) {
    this.#bytes = bytes;
    this.maxMemory = maxMemory;
    this.maxTensor = maxTensor;
    const { version, alignment, sections } = parseLayout(bytes);
    this.version = version;
    this.size = bytes.length;
    this.alignment = alignment;
    this.sections = sections;
    const { network, unknown, transform, directory } = parseManifest(
      this.#contents(sections[0], "bad-manifest"),
    );
    this.network = network;
    this.unknown = unknown;
    this.transform = transform;
    this.#data = sections.filter((section) => section.name === "data");
    const sizes = this.#data.map((section) => section.storedSize);
    if (!directory.length && sizes.length) refuse("bad-manifest", "data without a directory");
    this.tensors = directory.length ? parseDirectory(directory, network, sizes) : [];
    for (const tensor of this.tensors) {
      tensor.parts = partsOf(tensor);
      this.#byName.set(tensor.name, tensor);
    }
    linkParameters(network.layers, this.tensors);
    if (transform?.meanValue.length && this.#byName.has(MEAN)) {
      refuse("bad-manifest", "there are mean values and a mean image");
    }
  }

  /** The tensor of a name, or undefined. */
  tensor(name) {
    return this.#byName.get(name);
  }

  /** How many bytes all tensors take as float32, in the parts that they are decoded in. */
  get decodedSize() {
    let size = 0;
    for (const { parts } of this.tensors) for (const part of parts) size += 4 * part.elements;
    return size;
  }

  /**
   * Decode a tensor (its CRCs are checked first and last), or a part of one: `conv1/0`,
   * `fc6/0:blocks`. The values are in C order.
   */
  decode(name) {
    const words = this.#decodeWords(name);
    return floats(words);
  }

  /** Decode everything that is exact: yields { name, shape, words } in the file's order. */
  *decodeAll() {
    if (this.decodedSize > this.maxMemory) {
      refuse(
        "limit-memory",
        `the tensors take ${this.decodedSize} bytes, and ${this.maxMemory} are allowed`,
      );
    }
    for (const { parts } of this.tensors) {
      for (const { name, shape } of parts) yield { name, shape, words: this.#decodeWords(name) };
    }
  }

  /** Check the CRC of every section. */
  verify() {
    for (const section of this.sections) this.#checked(section);
  }

  /** The notes (an object), or undefined. */
  get notes() {
    const text = this.#text("notes");
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text);
    } catch {
      return refuse("bad-stream", "the notes are not JSON");
    }
  }

  /** The names of the classes, or undefined. */
  get labels() {
    const text = this.#text("labels");
    if (text === undefined) return undefined;
    const lines = text.split("\n");
    if (lines.pop()) refuse("bad-stream", "the last label is not ended by a line feed");
    return lines;
  }

  #text(name) {
    const section = this.sections.find((candidate) => candidate.name === name);
    return section && strictText(this.#contents(section, "bad-stream"), "bad-stream");
  }

  #checked(section) {
    const stored = this.#bytes.subarray(section.offset, section.offset + section.storedSize);
    if (!this.#whole.has(section.index)) {
      if (crc32(stored) !== section.crc32) {
        refuse("checksum", `section ${section.index} (${section.name}) is damaged`);
      }
      this.#whole.add(section.index);
    }
    return stored;
  }

  #contents(section, error) {
    if (section.decodedSize > MAX_TEXT) {
      refuse("limit-memory", `section ${section.index} (${section.name}) is larger than 4 MiB`);
    }
    const stored = this.#checked(section);
    if (!section.deflated) return stored;
    const preset = section.preset ? presetDictionary() : new Uint8Array(0);
    return inflate(stored, preset, section.decodedSize, error);
  }

  #decodeWords(name) {
    const [whole, part] = name === MEAN ? [name] : splitPart(name);
    const tensor = this.#byName.get(whole);
    const rotation = tensor?.form.rotation;
    if (!tensor || (part && !rotation)) throw new RangeError(`there is no tensor ${name}`);
    const limit = Math.min(this.maxTensor, this.maxMemory);
    const decoder = new Decoder((index) => this.#checked(this.#data[index]), limit);
    if (part === "rotation") return decoder.form(rotation);
    const exact = rotation ? decoder.blocks(tensor.form) : decoder.form(tensor.form);
    if (crc32OfWords(exact) !== tensor.crc32) refuse("checksum", `${name} does not decode right`);
    return rotation && !part ? decoder.form(tensor.form) : exact;
  }
}

const PART = /^(.*):(blocks|rotation)$/s;

function splitPart(name) {
  const match = PART.exec(name);
  return match ? [match[1], match[2]] : [name];
}

/** What a tensor is exactly decoded to: itself, or the parts of a rotated Product. */
function partsOf({ name, shape, elements, form }) {
  if (!form.rotation) return [{ name, shape, elements }];
  const { rows, columns } = form;
  return [
    { name: `${name}:blocks`, shape: [rows, columns], elements },
    { name: `${name}:rotation`, shape: [columns, columns], elements: columns * columns },
  ];
}
