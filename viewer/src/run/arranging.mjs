// Layers that only arrange: join, cut, repeat, give another shape; and those that pick or sum up.

import { around, axisOf, sameShape, sizeOf, unsupported } from "./shapes.mjs";

const copied = (tops) => ({
  tops,
  run: (xs, ys) => ys.forEach((y) => y.set(xs[0])),
});

/** Split, Dropout at test time, and whatever else gives what it gets. */
export const same = (layer, [shape]) => copied(layer.tops.map(() => shape));

export const silence = () => ({ tops: [], run: () => {} });

export function concat(layer, bottoms) {
  const stated = layer.stated(1) ? layer.fields.concat_dim : layer.fields.axis;
  const axis = axisOf(stated, bottoms[0].length);
  const rest = (shape) => shape.filter((_, k) => k !== axis);
  if (!bottoms.every((shape) => sameShape(rest(shape), rest(bottoms[0])))) {
    unsupported("its inputs do not fit together");
  }
  const top = [...bottoms[0]];
  top[axis] = bottoms.reduce((sum, shape) => sum + shape[axis], 0);
  const { outer, inner } = around(top, axis);
  return {
    tops: [top],
    run: (xs, [y]) => {
      let at = 0;
      for (let o = 0; o < outer; o++) {
        xs.forEach((x, k) => {
          const size = bottoms[k][axis] * inner;
          y.set(x.subarray(o * size, (o + 1) * size), at);
          at += size;
        });
      }
    },
  };
}

export function slice(layer, [shape]) {
  const p = layer.fields;
  const axis = axisOf(layer.stated(1) ? p.slice_dim : p.axis, shape.length);
  const { outer, extent, inner } = around(shape, axis);
  const count = layer.tops.length;
  const points = p.slice_point.length
    ? [0, ...p.slice_point, extent]
    : Array.from({ length: count + 1 }, (_, k) => (k * extent) / count);
  const widths = points.slice(1).map((point, k) => point - points[k]);
  if (widths.length !== count || widths.some((w) => !Number.isInteger(w) || w < 1)) {
    unsupported("it cannot be cut as stated");
  }
  return {
    tops: widths.map((w) => shape.map((n, k) => (k === axis ? w : n))),
    run: ([x], ys) => {
      ys.forEach((y, k) => {
        const size = widths[k] * inner;
        for (let o = 0; o < outer; o++) {
          const from = (o * extent + points[k]) * inner;
          y.set(x.subarray(from, from + size), o * size);
        }
      });
    },
  };
}

export function flatten(layer, [shape]) {
  const start = axisOf(layer.fields.axis, shape.length);
  const end = axisOf(layer.fields.end_axis, shape.length);
  const middle = sizeOf(shape.slice(start, end + 1));
  return copied([[...shape.slice(0, start), middle, ...shape.slice(end + 1)]]);
}

export function reshape(layer, [shape]) {
  const { shape: stated, axis, num_axes: covered } = layer.fields;
  const start = axisOf(axis, shape.length, true);
  const end = covered === -1 ? shape.length : start + covered;
  const middle = (stated?.dim ?? []).map((n, k) => (n === 0 ? shape[start + k] : n));
  const rest = [...shape.slice(0, start), ...shape.slice(end)];
  const free = middle.indexOf(-1);
  if (free >= 0) {
    const known = sizeOf([...rest, ...middle.filter((_, k) => k !== free)]);
    middle[free] = sizeOf(shape) / Math.max(known, 1);
  }
  const top = [...shape.slice(0, start), ...middle, ...shape.slice(end)];
  if (sizeOf(top) !== sizeOf(shape)) unsupported("its shape does not hold its input");
  return copied([top]);
}

export function crop(layer, [shape, like]) {
  const { axis, offset } = layer.fields;
  const first = axisOf(axis, shape.length);
  const top = shape.map((n, k) => (k < first ? n : like[k]));
  const shift = shape.map((_, k) => (k < first ? 0 : offset[offset.length > 1 ? k - first : 0] ?? 0));
  if (top.some((n, k) => !(n + shift[k] <= shape[k]))) unsupported("it cuts more than there is");
  const size = sizeOf(top);
  return {
    tops: [top],
    run: ([x], [y]) => {
      const strides = shape.map((_, k) => sizeOf(shape.slice(k + 1)));
      const start = shift.reduce((sum, s, k) => sum + s * strides[k], 0);
      const width = top.length ? top[top.length - 1] : 1;
      for (let to = 0; to < size; to += width) {
        let rest = to / width;
        let from = start;
        for (let k = top.length - 2; k >= 0; k--) {
          from += (rest % top[k]) * strides[k];
          rest = Math.floor(rest / top[k]);
        }
        y.set(x.subarray(from, from + width), to);
      }
    },
  };
}

export function tile(layer, [shape]) {
  const { axis, tiles } = layer.fields;
  const at = axisOf(axis, shape.length);
  const { outer, extent, inner } = around(shape, at);
  return {
    tops: [shape.map((n, k) => (k === at ? n * tiles : n))],
    run: ([x], [y]) => {
      const size = extent * inner;
      for (let o = 0; o < outer; o++) {
        for (let t = 0; t < tiles; t++) y.set(x.subarray(o * size, (o + 1) * size), (o * tiles + t) * size);
      }
    },
  };
}

export function argMax(layer, [shape]) {
  const { out_max_val: valued, top_k: count, axis } = layer.fields;
  const along = layer.stated(3);
  const at = along ? axisOf(axis, shape.length) : 1;
  const { outer, extent, inner } = along
    ? around(shape, at)
    : { outer: shape[0], extent: sizeOf(shape.slice(1)), inner: 1 };
  if (count < 1 || count > extent) unsupported(`the best ${count} of ${extent}`);
  const top = along
    ? shape.map((n, k) => (k === at ? count : n))
    : valued ? [shape[0], 2, count] : [shape[0], 1, count];
  return {
    tops: [top],
    run: ([x], [y]) => {
      for (let o = 0; o < outer; o++) {
        for (let i = 0; i < inner; i++) {
          const value = (k) => x[(o * extent + k) * inner + i];
          // Of equal values Caffe takes the last one first.
          const order = Array.from({ length: extent }, (_, k) => k)
            .sort((a, b) => value(b) - value(a) || b - a);
          for (let k = 0; k < count; k++) {
            const best = order[k];
            if (along) y[(o * count + k) * inner + i] = valued ? value(best) : best;
            else {
              y[o * count * (valued ? 2 : 1) + k] = best;
              if (valued) y[(2 * o + 1) * count + k] = value(best);
            }
          }
        }
      }
    },
  };
}

export function reduction(layer, [shape]) {
  const { operation, axis, coeff } = layer.fields;
  const at = axisOf(axis, shape.length);
  const rows = sizeOf(shape.slice(0, at));
  const count = sizeOf(shape.slice(at));
  const term = { SUM: (v) => v, MEAN: (v) => v / count, ASUM: Math.abs, SUMSQ: (v) => v * v }[operation];
  if (!term) unsupported(`the operation ${operation} is not known`);
  return {
    tops: [shape.slice(0, at)],
    run: ([x], [y]) => {
      for (let row = 0; row < rows; row++) {
        let sum = 0;
        for (let i = row * count; i < (row + 1) * count; i++) sum += term(x[i]);
        y[row] = coeff * sum;
      }
    },
  };
}
