// Layers that divide by something measured: LRN, BatchNorm, MVN, Softmax.

import { around, axisOf, sizeOf, unsupported } from "./shapes.mjs";

export function lrn(layer, [shape]) {
  if (shape.length !== 4) unsupported("its input is not images × channels × height × width");
  const p = layer.fields;
  if (p.local_size % 2 === 0) unsupported("its local_size is even");
  const half = (p.local_size - 1) / 2;
  const [images, channels, height, width] = shape;
  const area = height * width;

  function across(x, y) {
    const sums = new Float64Array(area);
    for (let image = 0; image < images; image++) {
      const base = image * channels * area;
      for (let c = 0; c < channels; c++) {
        // Summed anew: a running sum would not forget large values exactly.
        sums.fill(0);
        for (let n = Math.max(c - half, 0); n <= Math.min(c + half, channels - 1); n++) {
          for (let i = 0, at = base + n * area; i < area; i++, at++) sums[i] += x[at] * x[at];
        }
        for (let i = 0, at = base + c * area; i < area; i++, at++) {
          y[at] = x[at] * (p.k + (p.alpha / p.local_size) * sums[i]) ** -p.beta;
        }
      }
    }
  }

  function within(x, y) {
    for (let plane = 0; plane < images * channels; plane++) {
      const base = plane * area;
      for (let row = 0; row < height; row++) {
        for (let column = 0; column < width; column++) {
          let sum = 0;
          for (let i = Math.max(row - half, 0); i < Math.min(row + half + 1, height); i++) {
            for (let j = Math.max(column - half, 0); j < Math.min(column + half + 1, width); j++) {
              sum += x[base + i * width + j] ** 2;
            }
          }
          const at = base + row * width + column;
          y[at] = x[at] * (1 + (p.alpha * sum) / p.local_size ** 2) ** -p.beta;
        }
      }
    }
  }

  return {
    tops: [shape],
    run: ([x], [y]) => (p.norm_region === "WITHIN_CHANNEL" ? within : across)(x, y),
  };
}

export function batchNorm(layer, [shape], params) {
  const { extent, inner } = shape.length > 1 ? around(shape, 1) : { extent: 1, inner: 1 };
  const ofBatch = layer.stated(1) && !layer.fields.use_global_stats;
  if (ofBatch) unsupported("it normalises by the batch, which one image does not make");
  if (params.length < 3 || sizeOf(params[0]) !== extent || sizeOf(params[1]) !== extent) {
    unsupported("its mean and variance do not fit its input");
  }
  return {
    tops: [shape],
    run: ([x], [y], [mean, variance, factor]) => {
      const f = factor[0] === 0 ? 0 : 1 / factor[0];
      for (let i = 0, c = 0; i < y.length; c = c + 1 === extent ? 0 : c + 1) {
        const m = mean[c] * f;
        const s = 1 / Math.sqrt(variance[c] * f + layer.fields.eps);
        for (const end = i + inner; i < end; i++) y[i] = (x[i] - m) * s;
      }
    },
  };
}

export function meanVariance(layer, [shape]) {
  const { normalize_variance: divides, across_channels: across, eps } = layer.fields;
  const rows = sizeOf(shape.slice(0, across ? 1 : 2));
  const count = sizeOf(shape) / Math.max(rows, 1);
  return {
    tops: [shape],
    run: ([x], [y]) => {
      for (let from = 0; from < x.length; from += count) {
        let mean = 0;
        for (let i = from; i < from + count; i++) mean += x[i] / count;
        let variance = 0;
        for (let i = from; i < from + count; i++) variance += (x[i] - mean) ** 2 / count;
        const s = divides ? 1 / (Math.sqrt(variance) + eps) : 1;
        for (let i = from; i < from + count; i++) y[i] = (x[i] - mean) * s;
      }
    },
  };
}

export function softmax(layer, [shape]) {
  const { outer, extent, inner } = around(shape, axisOf(layer.fields.axis, shape.length));
  return {
    tops: [shape],
    run: ([x], [y]) => {
      for (let o = 0; o < outer; o++) {
        for (let i = 0; i < inner; i++) {
          const at = o * extent * inner + i;
          let top = -Infinity;
          for (let k = 0; k < extent; k++) top = Math.max(top, x[at + k * inner]);
          let sum = 0;
          for (let k = 0; k < extent; k++) sum += Math.exp(x[at + k * inner] - top);
          for (let k = 0; k < extent; k++) y[at + k * inner] = Math.exp(x[at + k * inner] - top) / sum;
        }
      }
    },
  };
}
