// From a picture to the input of a network, as the container's transform says: gray or colour,
// resize, centre crop, channel order, minus the mean, times the scale. To the bit what
// `cmodel infer` feeds (src/cmodel/data/transform.py).

import { RunError, byText } from "./run/shapes.mjs";

// 0.299, 0.587, 0.114 in units of 2^-15, as OpenCV has them.
const [RED, GREEN, BLUE] = [9798, 19235, 3735];
const COEFFICIENT = 2048;
const MAX_PIXELS = 2 ** 26;

/**
 * The size that a picture must have before the crop: { height, width, stated }. `stated` says that
 * the container has a resize of its own, so that a picture may come in any size.
 */
export function sizeBeforeCrop(transform, mean, [, , height, width]) {
  if (transform?.resizeHeight) {
    return { height: transform.resizeHeight, width: transform.resizeWidth, stated: true };
  }
  if (mean) return { height: mean.shape[1], width: mean.shape[2], stated: false };
  return { height, width, stated: false };
}

/** The size of the input, where a picture fits it at all. */
export function pictureShape(shape) {
  return shape?.length === 4 && (shape[1] === 1 || shape[1] === 3) ? shape : undefined;
}

/**
 * The float32 input (channels x height x width) of a picture.
 *
 * picture: { width, height, data } with data in RGBA, as canvases give it.
 * mean: { shape, values } of a mean image, or undefined.
 */
export function prepare(picture, transform, mean, shape) {
  const [, channels, height, width] = shape;
  let planes = channels === 1 || transform?.channelOrder === "GRAY"
    ? [grayOf(picture)]
    : [0, 1, 2].map((c) => planeOf(picture, c));
  let size = [picture.height, picture.width];
  if (transform?.resizeHeight) {
    const target = [transform.resizeHeight, transform.resizeWidth];
    if (target[0] * target[1] > MAX_PIXELS) throw new RunError("the resize makes too many pixels");
    planes = planes.map((plane) => resize(plane, size, target));
    size = target;
  }
  const crop = transform?.cropHeight ? [transform.cropHeight, transform.cropWidth] : size;
  if (crop[0] > size[0] || crop[1] > size[1]) {
    throw new RunError(`a picture of ${byText(size)} is smaller than the crop of ${byText(crop)}`);
  }
  if (crop[0] !== height || crop[1] !== width) {
    throw new RunError(`the picture comes out as ${byText(crop)}, the network takes ${byText([height, width])}`);
  }
  const offset = [Math.floor((size[0] - crop[0]) / 2), Math.floor((size[1] - crop[1]) / 2)];
  if (planes.length === 3 && transform?.channelOrder !== "RGB") planes.reverse();
  if (mean && (mean.shape[0] !== channels || mean.shape[1] !== size[0] || mean.shape[2] !== size[1])) {
    throw new RunError(`the mean image is ${byText(mean.shape)}, the picture ${byText([channels, ...size])}`);
  }
  const scale = perChannel(transform?.scale ?? [], channels, "scales");
  const means = perChannel(transform?.meanValue ?? [], channels, "mean values");
  const out = new Float32Array(channels * height * width);
  for (let c = 0, at = 0; c < channels; c++) {
    const plane = planes.length === 1 ? planes[0] : planes[c];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        const from = (y + offset[0]) * size[1] + x + offset[1];
        out[at] = plane[from];
        // Each step rounds to float32, as the array does.
        if (mean) out[at] -= mean.values[c * size[0] * size[1] + from];
        else if (means) out[at] -= means[c];
        if (scale) out[at] *= scale[c];
      }
    }
  }
  return out;
}

function perChannel(values, channels, what) {
  if (!values.length) return undefined;
  if (values.length !== 1 && values.length !== channels) {
    throw new RunError(`${values.length} ${what} for ${channels} channels`);
  }
  return Float32Array.from({ length: channels }, (_, c) => values[values.length === 1 ? 0 : c]);
}

function planeOf({ data, width, height }, channel) {
  const plane = new Uint8Array(width * height);
  for (let i = 0; i < plane.length; i++) plane[i] = data[4 * i + channel];
  return plane;
}

function grayOf({ data, width, height }) {
  const plane = new Uint8Array(width * height);
  for (let i = 0, at = 0; i < plane.length; i++, at += 4) {
    plane[i] = (data[at] * RED + data[at + 1] * GREEN + data[at + 2] * BLUE + 16384) >> 15;
  }
  return plane;
}

/** Bilinear, as `cv::resize` does it to 8-bit pixels: no antialiasing, coefficients of 11 bits. */
export function resize(plane, [height, width], [outHeight, outWidth]) {
  if (height === outHeight && width === outWidth) return plane;
  const out = new Uint8Array(outHeight * outWidth);
  if (height === 2 * outHeight && width === 2 * outWidth) {
    for (let y = 0, at = 0; y < outHeight; y++) {
      for (let x = 0; x < outWidth; x++, at++) {
        const i = 2 * y * width + 2 * x;
        out[at] = (plane[i] + plane[i + 1] + plane[i + width] + plane[i + width + 1] + 2) >> 2;
      }
    }
    return out;
  }
  const columns = positions(width, outWidth);
  const rows = positions(height, outHeight);
  // Columns outside the picture are replaced and their fraction dropped; rows are only clipped.
  columns.forEach((column) => {
    if (column.at < 0 || column.at >= width - 1) column.weight = 0;
  });
  const clip = (at, end) => Math.min(Math.max(at, 0), end - 1);
  const across = (row) => {
    const from = row * width;
    return columns.map(({ at, weight }) => {
      const first = clip(at, width);
      const left = plane[from + first] * fixed(Math.fround(1 - weight));
      return (left + plane[from + clip(first + 1, width)] * fixed(weight)) >> 4;
    });
  };
  const held = new Map();
  const line = (row) => {
    if (!held.has(row)) {
      if (held.size > 3) held.delete(held.keys().next().value);
      held.set(row, across(row));
    }
    return held.get(row);
  };
  rows.forEach(({ at, weight }, y) => {
    const above = line(clip(at, height));
    const below = line(clip(at + 1, height));
    const [upper, lower] = [fixed(Math.fround(1 - weight)), fixed(weight)];
    for (let x = 0; x < outWidth; x++) {
      out[y * outWidth + x] = (((above[x] * upper) >> 16) + ((below[x] * lower) >> 16) + 2) >> 2;
    }
  });
  return out;
}

function positions(source, target) {
  const scale = 1 / (target / source);
  return Array.from({ length: target }, (_, i) => {
    const position = Math.fround((i + 0.5) * scale - 0.5);
    const at = Math.floor(position);
    return { at, weight: Math.fround(position - at) };
  });
}

/** A weight in units of 1/2048, halves rounded to even. */
function fixed(weight) {
  const scaled = weight * COEFFICIENT;
  const low = Math.floor(scaled);
  const rest = scaled - low;
  if (rest !== 0.5) return Math.round(scaled);
  return low % 2 ? low + 1 : low;
}
