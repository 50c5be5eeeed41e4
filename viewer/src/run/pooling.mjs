// Pooling as Caffe does it: sizes are rounded up, and windows that begin in the padding at the far
// side are left out. Spatial pyramids (SPP) are poolings of fixed output size.

import { sizeOf, unsupported } from "./shapes.mjs";

function extentOf(extent, kernel, stride, pad, mode, padded) {
  const steps = (extent + 2 * pad - kernel) / stride;
  let out = (mode === "FLOOR" ? Math.floor(steps) : Math.ceil(steps)) + 1;
  // Any padding, on either axis, makes Caffe drop a last window that begins in it.
  if (padded && (out - 1) * stride >= extent + pad) out--;
  return out;
}

export function pooling(layer, [shape]) {
  if (shape.length !== 4) unsupported("its input is not images × channels × height × width");
  const p = layer.fields;
  if (p.pool !== "MAX" && p.pool !== "AVE") unsupported(`${p.pool} pooling is not known`);
  if (layer.tops.length > 1) unsupported("it also gives the places of its maxima");
  const size = shape.slice(2);
  const kernel = p.global_pooling ? size : p.kernel_size ? [p.kernel_size, p.kernel_size] : [p.kernel_h, p.kernel_w];
  const stride = p.stride_h || p.stride_w ? [p.stride_h, p.stride_w] : [p.stride, p.stride];
  const pad = p.pad_h || p.pad_w ? [p.pad_h, p.pad_w] : [p.pad, p.pad];
  if ([...kernel, ...stride].some((n) => n < 1)) unsupported("a kernel or stride is 0");
  const padded = pad.some((n) => n > 0);
  const out = size.map((extent, i) => extentOf(extent, kernel[i], stride[i], pad[i], p.round_mode, padded));
  if (out.some((extent) => extent < 1)) unsupported("its kernel is larger than its input");
  const planes = shape[0] * shape[1];
  const window = { kernel, stride, pad, size, out };
  return {
    tops: [[shape[0], shape[1], ...out]],
    run: ([x], [y]) => {
      const area = out[0] * out[1];
      for (let i = 0; i < planes; i++) pool(p.pool, x, i * size[0] * size[1], y, i * area, window);
    },
  };
}

function pool(how, x, from, y, to, { kernel, stride, pad, size, out }) {
  const [height, width] = size;
  const largest = how === "MAX";
  for (let oy = 0; oy < out[0]; oy++) {
    const top = oy * stride[0] - pad[0];
    const bottom = Math.min(top + kernel[0], height + pad[0]);
    for (let ox = 0; ox < out[1]; ox++) {
      const left = ox * stride[1] - pad[1];
      const right = Math.min(left + kernel[1], width + pad[1]);
      let value = largest ? -3.4028234663852886e38 : 0;
      const endX = Math.min(right, width);
      for (let iy = Math.max(top, 0), endY = Math.min(bottom, height); iy < endY; iy++) {
        const line = from + iy * width;
        for (let ix = Math.max(left, 0); ix < endX; ix++) {
          const v = x[line + ix];
          if (!largest) value += v;
          else if (v > value) value = v;
        }
      }
      y[to++] = largest ? value : value / ((bottom - top) * (right - left));
    }
  }
}

export function spatialPyramid(layer, [shape]) {
  if (shape.length !== 4) unsupported("its input is not images × channels × height × width");
  const { pyramid_height: levels, pool: how } = layer.fields;
  if (how !== "MAX" && how !== "AVE") unsupported(`${how} pooling is not known`);
  if (levels < 1 || levels > 12) unsupported(`a pyramid of ${levels} levels`);
  const [images, channels, ...size] = shape;
  const windows = Array.from({ length: levels }, (_, level) => {
    const bins = 2 ** level;
    const kernel = size.map((extent) => Math.ceil(extent / bins));
    const pad = kernel.map((k, i) => Math.floor((k * bins - size[i] + 1) / 2));
    return { kernel, stride: kernel, pad, size, out: [bins, bins] };
  });
  const perImage = windows.reduce((sum, { out }) => sum + channels * out[0] * out[1], 0);
  const plane = sizeOf(size);
  return {
    tops: [[images, perImage]],
    run: ([x], [y]) => {
      for (let image = 0, to = 0; image < images; image++) {
        for (const window of windows) {
          for (let c = 0; c < channels; c++, to += window.out[0] * window.out[1]) {
            pool(how, x, (image * channels + c) * plane, y, to, window);
          }
        }
      }
    },
  };
}
