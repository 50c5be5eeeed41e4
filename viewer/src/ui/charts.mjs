// Pictures of numbers: histograms (SVG), maps and filters (canvas).

import { h, s } from "./dom.mjs";
import { countText, numberText, percent, plural } from "./format.mjs";

const WIDTH = 340;
const HEIGHT = 112;
const FOOT = 18;

/** A histogram, or where there are few values a stem for each of them. */
export function histogram({ histogram: bins, levels, zeros, count }) {
  if (!bins) return h("p", { class: "note" }, count ? "All weights are 0." : "There are no weights.");
  const nonZero = levels && levels.values.map((v, i) => ({ v, n: levels.counts[i] })).filter(({ v }) => v !== 0);
  const [low, high] = nonZero
    ? padded(Math.min(...nonZero.map(({ v }) => v)), Math.max(...nonZero.map(({ v }) => v)))
    : [bins.low, bins.high];
  const x = (v) => ((v - low) / (high - low)) * WIDTH;
  const marks = nonZero ? stems(nonZero, x) : bars(bins);
  const zero = low < 0 && high > 0 ? x(0) : undefined;
  const text = (at, anchor, value) => s("text", { x: at, y: HEIGHT + 14, "text-anchor": anchor }, value);
  const what = nonZero
    ? `${plural(nonZero.length, "shared value")} from ${numberText(low)} to ${numberText(high)}`
    : `from ${numberText(low)} to ${numberText(high)}`;
  return h(
    "figure", {},
    s(
      "svg", {
        viewBox: `0 0 ${WIDTH} ${HEIGHT + FOOT}`, role: "img", class: "histogram",
        "aria-label": `Histogram of the weights that are not zero, ${what}`,
      },
      marks,
      s("line", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT, class: "axis" }),
      zero !== undefined && s("line", { x1: zero, x2: zero, y1: HEIGHT, y2: HEIGHT + 4, class: "axis" }),
      text(0, "start", numberText(low)),
      zero !== undefined && zero > 50 && zero < WIDTH - 50 && text(zero, "middle", "0"),
      text(WIDTH, "end", numberText(high)),
    ),
    h(
      "figcaption", {},
      nonZero ? `${plural(nonZero.length, "value")} that weights share; height: how often` : "Weights that are not zero",
      zeros ? `; ${percent(zeros / count)} are zero and left out` : "",
    ),
  );
}

function padded(low, high) {
  const room = (high - low) * 0.02 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

function bars({ counts }) {
  const top = Math.max(...counts, 1);
  const width = WIDTH / counts.length;
  return counts.map((n, i) => s("rect", {
    x: (i * width).toFixed(2), width: (width - 0.6).toFixed(2), class: "bar",
    y: (HEIGHT - (HEIGHT * n) / top).toFixed(2), height: ((HEIGHT * n) / top).toFixed(2),
  }));
}

function stems(levels, x) {
  const top = Math.max(...levels.map(({ n }) => n));
  const dot = levels.length <= 48 ? 3.2 : levels.length <= 128 ? 1.8 : 0;
  return levels.map(({ v, n }) => {
    const at = x(v).toFixed(2);
    const y = 5 + (HEIGHT - 5) * (1 - n / top);
    return s(
      "g", { class: "centroid" },
      s("title", {}, `${numberText(v)}: ${plural(n, "weight")}`),
      s("line", { x1: at, x2: at, y1: HEIGHT, y2: y.toFixed(2) }),
      dot > 0 && s("circle", { cx: at, cy: y.toFixed(2), r: dot }),
    );
  });
}

const SHOWS = {
  weights: "Each weight: blue is below zero, orange above; the fainter, the smaller",
  density: "Share of weights that are kept in each cell; blue cells are mostly below zero, orange ones above",
  magnitude: "Mean magnitude in each cell; blue cells are mostly below zero, orange ones above",
};

/** A map of a matrix, a row for each output. */
export function weightMap(map) {
  const { width, height, rows, columns, shows } = map;
  const canvas = h("canvas", {
    width, height, class: "map", role: "img",
    "aria-label": `Map of the weights, ${rows} rows by ${columns} columns. ${SHOWS[shows]}`,
  });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  map.shades.forEach((shade, i) => image.data.set(ink(map.signs[i] / 127, shade), 4 * i));
  context.putImageData(image, 0, 0);
  // Whole pixels a cell where cells are few.
  canvas.style.setProperty("aspect-ratio", `${width} / ${Math.max(height, width / 8)}`);
  const of = width < columns || height < rows ? `; ${countText(rows)} × ${countText(columns)} weights in ${height} × ${width} cells` : "";
  return h("figure", {}, canvas, h("figcaption", {}, SHOWS[shows], of));
}

// Both stand out from white and from black.
const BELOW = [36, 123, 200];
const ABOVE = [226, 106, 36];

function ink(sign, shade) {
  const mix = (sign + 1) / 2;
  return [...BELOW.map((c, k) => Math.round(c + (ABOVE[k] - c) * mix)), shade];
}

/** Filters of the first layer, side by side. */
export function filterTiles({ count, channels, height, width, values }) {
  const size = height * width;
  const tiles = Array.from({ length: count }, (_, f) => (data) => {
    const filter = values.subarray(f * channels * size, (f + 1) * channels * size);
    const top = filter.reduce((a, v) => Math.max(a, Math.abs(v)), 0) || 1;
    for (let i = 0; i < size; i++) {
      if (channels === 1) data.set(ink(Math.sign(filter[i]), 255 * Math.abs(filter[i] / top)), 4 * i);
      else data.set([2, 1, 0].map((c) => 127.5 * (1 + filter[c * size + i] / top)).concat(255), 4 * i);
    }
  });
  const what = channels === 3 ? "its three channels as blue, green and red" : "blue is below zero, orange above";
  return h(
    "figure", {},
    tileCanvas(tiles, width, height, `${count} filters of ${height} by ${width}`),
    h("figcaption", {}, `The ${count} filters: ${what}`),
  );
}

/** The outputs of a layer in the last run. */
export function outputMaps({ count, maps, height, width, values }) {
  const size = height * width;
  const top = values.reduce((a, v) => Math.max(a, Math.abs(v)), 0) || 1;
  const tiles = Array.from({ length: maps }, (_, m) => (data) => {
    for (let i = 0; i < size; i++) {
      const v = values[m * size + i] / top;
      data.set(ink(Math.sign(v), Math.min(255, 255 * Math.abs(v) ** 0.7)), 4 * i);
    }
  });
  return h(
    "figure", { class: "outputs" },
    tileCanvas(tiles, width, height, `Outputs of the layer, ${maps} maps of ${height} by ${width}`),
    h("figcaption", {}, `What it gave for the picture: ${maps < count ? `the first ${maps} of ` : ""}${plural(count, "map")}`),
  );
}

function tileCanvas(tiles, width, height, label) {
  // About as wide as high, with a pixel between tiles for each seven of a tile.
  const gap = Math.max(1, Math.round(width / 7));
  const across = Math.min(tiles.length, Math.max(1, Math.ceil(Math.sqrt(tiles.length * 2.2 * (height / width)))));
  const down = Math.ceil(tiles.length / across);
  const canvas = h("canvas", {
    width: across * (width + gap) - gap, height: down * (height + gap) - gap, class: "tiles-map", role: "img", "aria-label": label,
  });
  const context = canvas.getContext("2d");
  tiles.forEach((draw, i) => {
    const image = context.createImageData(width, height);
    draw(image.data);
    context.putImageData(image, (i % across) * (width + gap), Math.floor(i / across) * (height + gap));
  });
  return canvas;
}

/** Values of a vector as a row of bars around zero. */
export function vectorBars({ count, values }) {
  const shown = values.subarray(0, 512);
  const top = shown.reduce((a, v) => Math.max(a, Math.abs(v)), 0) || 1;
  const width = WIDTH / shown.length;
  return h(
    "figure", { class: "outputs" },
    s(
      "svg", { viewBox: `0 0 ${WIDTH} 64`, role: "img", "aria-label": `Outputs of the layer, ${count} values` },
      Array.from(shown, (v, i) => s("rect", {
        x: (i * width).toFixed(2), width: Math.max(width - 0.5, 0.4).toFixed(2), class: v < 0 ? "below" : "above",
        y: (v < 0 ? 32 : 32 - (30 * v) / top).toFixed(2), height: ((30 * Math.abs(v)) / top).toFixed(2),
      })),
      s("line", { x1: 0, x2: WIDTH, y1: 32, y2: 32, class: "axis" }),
    ),
    h("figcaption", {}, `What it gave for the picture: ${shown.length < count ? `the first ${shown.length} of ` : ""}${plural(count, "value")}, the largest ${numberText(top)}`),
  );
}
