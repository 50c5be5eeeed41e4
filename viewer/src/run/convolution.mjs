// Convolution and Deconvolution over height and width.

import { dot, multiplyAdd } from "./matrix.mjs";
import { sizeOf, unsupported } from "./shapes.mjs";

// Columns of the unrolled image that are made at once: 4 MB for a depth of 1024.
const TILE = 1024;

/** Kernel, stride, pad and dilation as [height, width]. */
export function windowOf(p) {
  const pair = (both, height, width, usual) => {
    if (height || width) return [height || 0, width || 0];
    if (both.length > 2) unsupported("it goes over more than height and width");
    return both.length ? [both[0], both[both.length - 1]] : [usual, usual];
  };
  const window = {
    kernel: pair(p.kernel_size, p.kernel_h, p.kernel_w, 0),
    stride: pair(p.stride, p.stride_h, p.stride_w, 1),
    pad: pair(p.pad, p.pad_h, p.pad_w, 0),
    dilation: pair(p.dilation, 0, 0, 1),
  };
  if ([...window.kernel, ...window.stride, ...window.dilation].some((n) => n < 1)) {
    unsupported("a kernel, stride or dilation is 0");
  }
  return window;
}

function prepared(layer, shape, params) {
  if (shape.length !== 4 || (layer.fields.axis !== 1 && layer.fields.axis !== -3)) {
    unsupported("its input is not images × channels × height × width");
  }
  const p = layer.fields;
  const window = windowOf(p);
  const group = layer.type === "ConvolutionDepthwise" ? shape[1] : p.group;
  const biased = p.bias_term && params.length > 1;
  if (!params.length) unsupported("its weights are missing");
  if (group < 1 || shape[1] % group || p.num_output % group) unsupported(`${group} groups do not fit`);
  return { window, group, biased, count: p.num_output };
}

function checkWeights(params, expected, biased, count) {
  if (sizeOf(params[0]) !== expected) unsupported("its weights do not fit its input");
  if (biased && sizeOf(params[1]) !== count) unsupported("its bias does not fit");
}

export function convolution(layer, bottoms, params) {
  const [images, channels, height, width] = bottoms[0];
  const { window, group, biased, count } = prepared(layer, bottoms[0], params);
  const { kernel, stride, pad, dilation } = window;
  const [outHeight, outWidth] = [height, width].map((extent, i) =>
    Math.floor((extent + 2 * pad[i] - dilation[i] * (kernel[i] - 1) - 1) / stride[i]) + 1,
  );
  if (outHeight < 1 || outWidth < 1) unsupported("its kernel is larger than its input");
  const inputs = channels / group;
  const outputs = count / group;
  const taps = kernel[0] * kernel[1];
  const depth = inputs * taps;
  checkWeights(params, count * depth, biased, count);
  const area = outHeight * outWidth;
  const direct = taps === 1 && stride[0] * stride[1] === 1 && !pad[0] && !pad[1];

  function one(x, y, weights, bias) {
    if (biased) for (let i = 0; i < images * count; i++) y.fill(bias[i % count], i * area, (i + 1) * area);
    const tile = direct ? undefined : new Float32Array(depth * Math.min(TILE, area));
    for (let image = 0; image < images; image++) {
      for (let g = 0; g < group; g++) {
        const from = (image * channels + g * inputs) * height * width;
        const to = (image * count + g * outputs) * area;
        const shape = { rows: outputs, depth, columns: area, stride: area };
        const at = g * outputs * depth;
        if (direct) {
          multiplyAdd(weights, at, x, from, y, to, shape);
          continue;
        }
        for (let start = 0; start < area; start += TILE) {
          shape.columns = Math.min(TILE, area - start);
          unroll(x, from, tile, start, shape.columns);
          multiplyAdd(weights, at, tile, 0, y, to + start, shape);
        }
      }
    }
  }

  /** Row (channel, tap) of `tile`: what each output position from `start` on sees there. */
  function unroll(x, from, tile, start, columns) {
    let row = 0;
    for (let c = 0; c < inputs; c++) {
      const plane = from + c * height * width;
      for (let ky = 0; ky < kernel[0]; ky++) {
        for (let kx = 0; kx < kernel[1]; kx++, row += columns) {
          let oy = Math.floor(start / outWidth);
          let ox = start % outWidth;
          for (let n = 0; n < columns; ) {
            const end = n + Math.min(outWidth - ox, columns - n);
            const iy = oy * stride[0] - pad[0] + ky * dilation[0];
            let ix = ox * stride[1] - pad[1] + kx * dilation[1];
            if (iy < 0 || iy >= height) tile.fill(0, row + n, row + end);
            else {
              const line = plane + iy * width;
              for (let i = n; i < end; i++, ix += stride[1]) {
                tile[row + i] = ix >= 0 && ix < width ? x[line + ix] : 0;
              }
            }
            n = end;
            ox = 0;
            oy++;
          }
        }
      }
    }
  }

  return {
    tops: bottoms.map(() => [images, count, outHeight, outWidth]),
    macs: images * count * area * depth * bottoms.length,
    run: (xs, ys, weights) => xs.forEach((x, i) => one(x, ys[i], weights[0], weights[1])),
  };
}

export function deconvolution(layer, bottoms, params) {
  const [images, channels, height, width] = bottoms[0];
  const { window, group, biased, count } = prepared(layer, bottoms[0], params);
  const { kernel, stride, pad, dilation } = window;
  const [outHeight, outWidth] = [height, width].map(
    (extent, i) => stride[i] * (extent - 1) + dilation[i] * (kernel[i] - 1) + 1 - 2 * pad[i],
  );
  if (outHeight < 1 || outWidth < 1) unsupported("its output would be empty");
  const inputs = channels / group;
  const outputs = count / group;
  const taps = kernel[0] * kernel[1];
  checkWeights(params, channels * outputs * taps, biased, count);
  const area = outHeight * outWidth;

  function scatter(x, from, y, to, weights, at) {
    for (let ky = 0; ky < kernel[0]; ky++) {
      for (let kx = 0; kx < kernel[1]; kx++) {
        const w = weights[at + ky * kernel[1] + kx];
        if (!w) continue;
        const left = kx * dilation[1] - pad[1];
        const first = left < 0 ? Math.ceil(-left / stride[1]) : 0;
        const last = Math.min(width, Math.floor((outWidth - 1 - left) / stride[1]) + 1);
        for (let iy = 0; iy < height; iy++) {
          const oy = iy * stride[0] - pad[0] + ky * dilation[0];
          if (oy < 0 || oy >= outHeight) continue;
          const line = to + oy * outWidth + left;
          for (let ix = first; ix < last; ix++) {
            y[line + ix * stride[1]] += w * x[from + iy * width + ix];
          }
        }
      }
    }
  }

  function one(x, y, weights, bias) {
    if (biased) for (let i = 0; i < images * count; i++) y.fill(bias[i % count], i * area, (i + 1) * area);
    for (let image = 0; image < images; image++) {
      for (let c = 0; c < channels; c++) {
        const g = Math.floor(c / inputs);
        for (let o = 0; o < outputs; o++) {
          const to = (image * count + g * outputs + o) * area;
          scatter(x, (image * channels + c) * height * width, y, to, weights, (c * outputs + o) * taps);
        }
      }
    }
  }

  return {
    tops: bottoms.map(() => [images, count, outHeight, outWidth]),
    macs: images * channels * height * width * outputs * taps * bottoms.length,
    run: (xs, ys, weights) => xs.forEach((x, i) => one(x, ys[i], weights[0], weights[1])),
  };
}

export function innerProduct(layer, bottoms, params) {
  const { num_output: count, axis, transpose, bias_term: bias } = layer.fields;
  const shape = bottoms[0];
  const from = axis < 0 ? axis + shape.length : axis;
  if (!(from >= 0 && from <= shape.length)) unsupported(`there is no axis ${axis}`);
  const rows = sizeOf(shape.slice(0, from));
  const depth = sizeOf(shape.slice(from));
  if (!params.length) unsupported("its weights are missing");
  const biased = bias && params.length > 1;
  checkWeights(params, count * depth, biased, count);
  return {
    tops: [[...shape.slice(0, from), count]],
    macs: rows * count * depth,
    run([x], [y], [weights, offset]) {
      for (let row = 0; row < rows; row++) {
        const to = row * count;
        if (transpose) {
          if (biased) y.set(offset, to);
          const size = { rows: 1, depth, columns: count, stride: count };
          multiplyAdd(x, row * depth, weights, 0, y, to, size);
          continue;
        }
        for (let o = 0; o < count; o++) {
          y[to + o] = dot(weights, o * depth, x, row * depth, depth) + (biased ? offset[o] : 0);
        }
      }
    },
  };
}

/** Rows of a table, by their numbers. */
export function embed(layer, [shape], params) {
  const { num_output: count, input_dim: entries, bias_term: bias } = layer.fields;
  if (!params.length) unsupported("its weights are missing");
  const biased = bias && params.length > 1;
  checkWeights(params, count * entries, biased, count);
  const rows = sizeOf(shape);
  return {
    tops: [[...shape, count]],
    run([x], [y], [weights, offset]) {
      for (let row = 0; row < rows; row++) {
        const index = Math.trunc(x[row]);
        if (!(index >= 0 && index < entries)) unsupported(`there is no row ${x[row]} of ${entries}`);
        for (let o = 0; o < count; o++) {
          y[row * count + o] = weights[index * count + o] + (biased ? offset[o] : 0);
        }
      }
    },
  };
}
