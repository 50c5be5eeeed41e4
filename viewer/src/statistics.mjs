// What pictures of a tensor are drawn from: a histogram, the values it can take, a map of it.

const BINS = 60;
const MAX_SAMPLE = 2 ** 20;
const MAX_LEVELS = 256;
const TAIL = 0.0005; // of the values, what may lie beyond either end of the histogram
const SIDE = 224; // cells of a map, or more across where it is low
const MAX_ACROSS = 640;
const MAX_FILTERS = 256;

/** Facts of decoded values: count, zeros, extremes, moments, histogram, levels, map, filters. */
export function statisticsOf(values, shape) {
  return {
    ...momentsOf(values),
    histogram: histogramOf(values),
    levels: levelsOf(values),
    map: mapOf(values, shape),
    filters: filtersOf(values, shape),
  };
}

function momentsOf(values) {
  let [zeros, infinite, sum, squares] = [0, 0, 0, 0];
  let [min, max] = [Infinity, -Infinity];
  for (const v of values) {
    if (v === 0) zeros++;
    if (!Number.isFinite(v)) {
      infinite++;
      continue;
    }
    sum += v;
    squares += v * v;
    if (v < min) min = v;
    if (v > max) max = v;
  }
  const count = values.length - infinite;
  const mean = count ? sum / count : 0;
  const deviation = count ? Math.sqrt(Math.max(squares / count - mean * mean, 0)) : 0;
  return { count: values.length, zeros, infinite, mean, deviation, min, max };
}

/** Of the values that are finite and not zero (of many, every n-th); undefined without any. */
function histogramOf(values) {
  const step = Math.ceil(values.length / MAX_SAMPLE) || 1;
  let kept = new Float64Array(Math.ceil(values.length / step));
  let size = 0;
  for (let i = 0; i < values.length; i += step) {
    if (values[i] !== 0 && Number.isFinite(values[i])) kept[size++] = values[i];
  }
  kept = kept.subarray(0, size).sort();
  if (!size) return undefined;
  let low = kept[Math.floor(TAIL * (size - 1))];
  let high = kept[Math.ceil((1 - TAIL) * (size - 1))];
  if (!(high > low)) [low, high] = [low - Math.abs(low) / 2, high + Math.abs(high) / 2];
  const counts = new Array(BINS).fill(0);
  let beyond = 0;
  for (const v of kept) {
    const bin = Math.floor(((v - low) / (high - low)) * BINS);
    if (v < low || v > high) beyond++;
    else counts[Math.min(bin, BINS - 1)]++;
  }
  return { low, high, counts, beyond, sampled: step > 1 };
}

/** The values that occur and how often, in order, where there are few; undefined otherwise. */
function levelsOf(values) {
  const found = new Map();
  for (const v of values) {
    if (!Number.isFinite(v)) continue;
    found.set(v, (found.get(v) ?? 0) + 1);
    if (found.size > MAX_LEVELS) return undefined;
  }
  // A bias of ten values has ten of them, which says nothing.
  if (!found.size || found.size > values.length / 2) return undefined;
  const order = [...found].sort((a, b) => a[0] - b[0]);
  return { values: order.map(([v]) => v), counts: order.map(([, n]) => n) };
}

/**
 * A map of a matrix of shape[0] rows: { width, height, rows, columns, shows, shades, signs }.
 * Shades (0 to 255) are the share of weights that are not zero where some are zero ("density"),
 * else mean magnitudes; signs (-127 to 127) say how much of a cell's weight is positive.
 */
function mapOf(values, shape) {
  const rows = shape[0];
  if (shape.length < 2 || !values.length) return undefined;
  const columns = values.length / rows;
  const height = Math.min(rows, SIDE);
  const width = Math.min(columns, MAX_ACROSS, Math.max(SIDE, Math.floor(SIDE ** 2 / height)));
  const [sums, magnitudes, filled, areas] = Array.from({ length: 4 }, () => new Float64Array(height * width));
  let zeros = 0;
  for (let r = 0, i = 0; r < rows; r++) {
    const row = Math.floor((r * height) / rows) * width;
    for (let c = 0; c < columns; c++, i++) {
      const cell = row + Math.floor((c * width) / columns);
      const v = values[i];
      areas[cell]++;
      if (v === 0) {
        zeros++;
        continue;
      }
      if (!Number.isFinite(v)) continue;
      filled[cell]++;
      sums[cell] += v;
      magnitudes[cell] += Math.abs(v);
    }
  }
  const single = height === rows && width === columns;
  const sparse = !single && zeros > values.length / 100;
  const cells = magnitudes.map((m, i) => (sparse ? filled[i] : m) / areas[i]);
  const sorted = cells.slice().sort();
  const top = sparse ? 1 : sorted[Math.floor(0.98 * (sorted.length - 1))] || sorted[sorted.length - 1] || 1;
  const shades = Uint8Array.from(cells, (v) => Math.round(255 * Math.min(v / top, 1) ** 0.7));
  const signs = Int8Array.from(sums, (v, i) => (magnitudes[i] ? Math.round((127 * v) / magnitudes[i]) : 0));
  const shows = single ? "weights" : sparse ? "density" : "magnitude";
  return { width, height, rows, columns, shows, shades, signs };
}

/** Filters that look at pixels, as small pictures: of one or three channels. */
function filtersOf(values, shape) {
  const [count, channels, height, width] = shape;
  if (shape.length !== 4 || (channels !== 1 && channels !== 3) || height < 3 || width < 3) return undefined;
  if (count > MAX_FILTERS || height > 32 || width > 32) return undefined;
  return { count, channels, height, width, values: Float32Array.from(values) };
}
