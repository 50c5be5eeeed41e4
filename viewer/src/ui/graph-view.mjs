// The graph of the network: boxes to choose a layer by, with mouse, finger or keys.

import { BOX, buildGraph, placeGraph } from "../graph.mjs";
import { h, s, shorten, shown } from "./dom.mjs";
import { bytesText, plural, shapeText } from "./format.mjs";

const MAX_LAYERS = 3000;
const MARGIN = 10;

const FAMILIES = [
  ["input", /^(Input|.*Data)$/],
  ["conv", /conv/i],
  ["dense", /^(InnerProduct|Embed|LSTM|RNN)$/],
  ["pool", /^(Pooling|SPP|ROIPooling)$/],
  ["norm", /^(LRN|BatchNorm|Scale|Bias|MVN|BN|Normalize)$/],
  ["join", /^(Concat|Eltwise|Slice|Split|Crop)$/],
];

function familyOf(type) {
  return FAMILIES.find(([, pattern]) => pattern.test(type))?.[0] ?? "other";
}

/**
 * The graph: { element, boxes, choose(box) }. `boxes[i].layers` are facts of layers.
 * `onChoose(box)` is called when one is chosen; `topsOf(key)` gives shapes where they are known.
 */
export function graphView({ layers, bytesOf, topsOf, onChoose }) {
  const graph = buildGraph(layers);
  const boxes = graph.boxes.map(({ layers: indices }) => ({ layers: indices.map((i) => layers[i]) }));
  const places = layers.length > MAX_LAYERS ? undefined : placeGraph(graph);
  if (!places) {
    const text = `The network has ${plural(layers.length, "layer")} and ${plural(graph.edges.length, "edge")}, too many for a graph.`;
    return { element: h("p", { class: "note" }, text), boxes, choose: () => {} };
  }
  const most = boxes.reduce((top, box) => Math.max(top, bytesOf(box)), 1);
  const views = boxes.map((box, i) => boxView(box, places.boxes[i], bytesOf(box) / most, topsOf, bytesOf(box)));
  const [width, height] = [places.width + 2 * MARGIN, places.height + 2 * MARGIN];
  const svg = s(
    "svg", {
      width, height, viewBox: `${-MARGIN} ${-MARGIN} ${width} ${height}`, class: "graph",
      role: "listbox", "aria-label": "Layers of the network, from input to output",
    },
    places.edges.map((points) => s("path", { d: edgePath(points), class: "edge" })),
    views,
  );
  let chosen = -1;
  const choose = (index, { focus = false, quiet = false } = {}) => {
    if (!views[index]) return;
    views[chosen]?.setAttribute("aria-selected", "false");
    views[chosen]?.setAttribute("tabindex", "-1");
    chosen = index;
    views[index].setAttribute("aria-selected", "true");
    views[index].setAttribute("tabindex", "0");
    if (focus) views[index].focus();
    if (!quiet) onChoose(boxes[index]);
  };
  views.forEach((view, i) => view.addEventListener("click", () => choose(i)));
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const target = event.key === "Home" ? 0 : event.key === "End" ? views.length - 1 : step && chosen + step;
    if (target === undefined || !views[target]) return;
    event.preventDefault();
    choose(target, { focus: true });
  });
  const element = h("div", { class: "graph-frame" }, svg);
  return { element, boxes, choose, width: Math.ceil(width) + 42, show: (i) => reveal(element, places.boxes[i]) };
}

/** Scroll the frame, not the page, to a box. */
function reveal(frame, place) {
  frame.scrollTo({ top: place.y - frame.clientHeight / 3, left: place.x - frame.clientWidth / 2 });
}

function edgePath(points) {
  let path = "";
  for (let i = 0; i + 1 < points.length; i += 2) {
    const [a, b] = [points[i], points[i + 1]];
    const bend = (b.y - a.y) / 2;
    path += i ? `L${at(a)}` : `M${at(a)}`;
    path += `C${at({ x: a.x, y: a.y + bend })} ${at({ x: b.x, y: b.y - bend })} ${at(b)}`;
  }
  return path;
}

function at({ x, y }) {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}

let ruler;

/** A text from a file, shortened until it takes at most `width` pixels. */
function fitted(text, width, bold = false) {
  ruler ??= h("canvas").getContext("2d");
  ruler.font = `${bold ? "650 12.5px" : "11.5px"} system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`;
  let length = [...text].length;
  let fit = shorten(text, length);
  while (length > 3 && ruler.measureText(fit).width > width) fit = shorten(text, --length);
  return fit;
}

function widthOf(text) {
  return text ? fitted(text, Infinity) && ruler.measureText(text).width + 8 : 0;
}

function boxView(box, place, share, topsOf, bytes) {
  const [first, ...inPlace] = box.layers;
  const left = place.x - place.width / 2;
  const shape = topsOf(first.key)?.[0];
  const label = [
    `${first.type} ${first.name}`, shape && `output ${shapeText(shape.slice(1))}`, bytes && bytesText(bytes),
    inPlace.length && `then ${inPlace.map(({ type }) => type).join(", ")}`,
  ].filter(Boolean).join(", ");
  const line = (x, y, text, attributes) => s("text", { x: left + x, y: place.y + y, ...attributes }, text);
  const room = place.width - 22;
  const size = bytes ? bytesText(bytes) : "";
  const extent = shape ? shape.slice(1).join("×") || "1" : "";
  return s(
    "g", {
      class: `box ${familyOf(first.type)}${first.runs ? "" : " off"}`, role: "option", tabindex: "-1",
      "aria-selected": "false", "aria-label": shown(label),
    },
    s("title", {}, label),
    s("rect", { x: left, y: place.y, width: place.width, height: place.height, rx: 7, class: "ground" }),
    s("path", { d: `M${left + 7} ${place.y}h-1a6 6 0 0 0 -6 6v${place.height - 12}a6 6 0 0 0 6 6h1z`, class: "family" }),
    line(14, 19, fitted(first.name, room - widthOf(size), true), { class: "name" }),
    size && line(place.width - 8, 19, size, { "text-anchor": "end" }),
    line(14, 34, fitted(first.type, room - widthOf(extent))),
    extent && line(place.width - 8, 34, extent, { "text-anchor": "end" }),
    inPlace.map((layer, i) => [
      s("line", {
        x1: left + 7, x2: left + place.width, y1: place.y + BOX.head + i * BOX.line,
        y2: place.y + BOX.head + i * BOX.line, class: "rule",
      }),
      line(14, BOX.head + 14 + i * BOX.line, fitted(`${layer.type} ${layer.name}`, room)),
    ]),
    share > 0 && s("rect", {
      x: left + 14, y: place.y + 40, height: 2.5, rx: 1, width: Math.max(2, share * (place.width - 22)).toFixed(1), class: "share",
    }),
  );
}
