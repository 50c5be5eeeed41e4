// Layers that work on each element alone, and those that join blobs element by element.

import { around, axisOf, sameShape, sizeOf, unsupported } from "./shapes.mjs";

const sigmoid = (v) => 1 / (1 + Math.exp(-v));

/** A layer of one function; `formula` makes it from the layer's fields. */
const unary = (formula) => (layer, [shape]) => {
  const f = formula(layer.fields);
  return {
    tops: [shape],
    run: ([x], [y]) => {
      for (let i = 0; i < x.length; i++) y[i] = f(x[i]);
    },
  };
};

const withBase = (base) => (base === -1 ? 1 : Math.log(base));

export const relu = unary(({ negative_slope: slope }) => (v) => (v > 0 ? v : v < 0 ? v * slope : v));
export const relu6 = unary(() => (v) => Math.min(Math.max(v, 0), 6));
export const elu = unary(({ alpha }) => (v) => (v > 0 ? v : alpha * Math.expm1(v)));
export const sigmoidLayer = unary(() => sigmoid);
export const tanh = unary(() => Math.tanh);
export const absolute = unary(() => Math.abs);
export const softplus = unary(() => (v) => Math.log1p(Math.exp(-Math.abs(v))) + Math.max(v, 0));
export const power = unary(({ power: p, scale, shift }) => (v) => (shift + scale * v) ** p);
export const exponential = unary(
  ({ base, scale, shift }) => (v) => Math.exp(withBase(base) * (shift + scale * v)),
);
export const logarithm = unary(
  ({ base, scale, shift }) => (v) => Math.log(shift + scale * v) / withBase(base),
);
export const threshold = unary(({ threshold: t }) => (v) => (v > t ? 1 : 0));
export const clip = unary(({ min, max }) => (v) => Math.min(Math.max(v, min), max));
export const swish = unary(({ beta }) => (v) => v * sigmoid(beta * v));

export function prelu(layer, [shape], params) {
  if (!params.length || shape.length < 2) unsupported("its slopes are missing");
  const { extent, inner } = around(shape, 1);
  const slopes = sizeOf(params[0]);
  if (slopes !== 1 && slopes !== extent) unsupported(`${slopes} slopes for ${extent} channels`);
  return {
    tops: [shape],
    run: ([x], [y], [slope]) => {
      for (let i = 0; i < x.length; i++) {
        const s = slopes === 1 ? slope[0] : slope[Math.floor(i / inner) % extent];
        y[i] = x[i] < 0 ? x[i] * s : x[i];
      }
    },
  };
}

export function eltwise(layer, bottoms) {
  const { operation, coeff } = layer.fields;
  if (!bottoms.every((shape) => sameShape(shape, bottoms[0]))) {
    unsupported("its inputs do not have one shape");
  }
  if (coeff.length && coeff.length !== bottoms.length) unsupported("its coefficients do not fit");
  const joins = {
    SUM: (y, x, c) => y.forEach((v, i) => (y[i] = v + c * x[i])),
    PROD: (y, x) => y.forEach((v, i) => (y[i] = v * x[i])),
    MAX: (y, x) => y.forEach((v, i) => (y[i] = Math.max(v, x[i]))),
  };
  const join = joins[operation] ?? unsupported(`the operation ${operation} is not known`);
  return {
    tops: [bottoms[0]],
    run: (xs, [y]) => {
      const first = operation === "SUM" ? coeff[0] ?? 1 : 1;
      for (let i = 0; i < y.length; i++) y[i] = first * xs[0][i];
      for (let k = 1; k < xs.length; k++) join(y, xs[k], coeff[k] ?? 1);
    },
  };
}

/** Scale (x * factor + bias) and Bias (x + bias), along some axes or by a second bottom. */
const affine = (scales) => (layer, bottoms, params) => {
  const [shape] = bottoms;
  const operands = [...bottoms.slice(1), ...params];
  if (!operands.length) unsupported("its weights are missing");
  const axis = operands[0].length ? axisOf(layer.fields.axis, shape.length) : 0;
  const extent = sizeOf(operands[0]);
  const covered = shape.slice(axis, axis + operands[0].length);
  if (!sameShape(covered, operands[0]) && extent !== sizeOf(covered)) {
    unsupported("its weights do not fit its input");
  }
  const inner = sizeOf(shape.slice(axis + operands[0].length));
  const offsets = scales ? operands[1] : operands[0];
  if (offsets && sizeOf(offsets) !== extent) unsupported("its bias does not fit");
  return {
    tops: [shape],
    run: (xs, [y], weights) => {
      const values = [...xs.slice(1), ...weights];
      const factor = scales ? values[0] : undefined;
      const offset = scales ? values[1] : values[0];
      for (let i = 0, c = 0; i < y.length; c = c + 1 === extent ? 0 : c + 1) {
        const f = factor ? factor[c] : 1;
        const o = offset ? offset[c] : 0;
        for (const end = i + inner; i < end; i++) y[i] = xs[0][i] * f + o;
      }
    },
  };
};

export const scale = affine(true);
export const bias = affine(false);
