// The live run: a canvas to draw on or a picture of one's own, and what the network says to it.

import { h, shorten, shown } from "./dom.mjs";
import { numberText, percent, plural, shapeText, shortCount } from "./format.mjs";

const BOARD = 280; // pixels of the canvas that is drawn on
const BEST = 5;
const LIVE_MACS = 2e7; // up to here it answers while one draws
const MAX_SIDE = 4096;

/**
 * facts: those of the file. `run(picture)` gives { scores, ms, input } or { error }; `onRun()` is
 * called after each run. Returns { element, take(blob) }.
 */
export function tryView(facts, run, onRun) {
  const { run: plan, labels } = facts;
  if (plan.why) {
    const left = plan.left.filter(({ cause }) => cause);
    const why = left.length
      ? [`The live run does not know ${left.length === 1 ? "this layer" : "these layers"}: `,
        left.slice(0, 8).map(({ key, type, why: reason }) => h("li", {}, `${key} (${type}): ${reason}`))]
      : [`There is no live run: ${plan.why}.`];
    return { element: h("div", { class: "no-run" }, h("p", {}, why[0]), why[1] && h("ul", {}, why[1])) };
  }
  const [, channels, height, width] = plan.input.shape;
  const gray = channels === 1 || facts.transform?.channelOrder === "GRAY";
  const board = h("canvas", {
    width: BOARD, height: BOARD, class: "board", role: "img", id: "board",
    "aria-label": "Canvas to draw on; without a pointer, choose a picture instead",
  });
  const pen = board.getContext("2d", { willReadFrequently: true });
  const seen = h("canvas", { width, height, class: "seen", role: "img", "aria-label": "What the network sees" });
  const answer = h("div", { class: "answer", "aria-live": "polite" }, hint(gray));
  const state = { busy: false, again: false, picture: undefined, ground: gray ? "#000" : "#fff" };

  function clear() {
    state.picture = undefined;
    pen.fillStyle = state.ground;
    pen.fillRect(0, 0, BOARD, BOARD);
    seen.getContext("2d").clearRect(0, 0, width, height);
    answer.replaceChildren(hint(gray));
  }

  async function classify() {
    if (state.busy) {
      state.again = true;
      return;
    }
    state.busy = true;
    try {
      const result = await run(pictureFor(state.picture ?? board, plan.size));
      if (result.error) answer.replaceChildren(h("p", { class: "bad" }, result.error.message));
      else {
        answer.replaceChildren(answerView(result, plan, labels));
        drawInput(seen, result.input, plan.input.shape, facts.transform);
        onRun();
      }
    } finally {
      state.busy = false;
      if (state.again) {
        state.again = false;
        classify();
      }
    }
  }

  drawing(board, pen, {
    start: () => {
      if (state.picture) clear();
      pen.strokeStyle = state.ground === "#000" ? "#fff" : "#000";
    },
    moved: () => plan.macs <= LIVE_MACS && classify(),
    done: classify,
  });

  async function take(blob) {
    try {
      // The pixels as they are in the file, turned as it says.
      state.picture = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    } catch {
      answer.replaceChildren(h("p", { class: "bad" }, "This is not a picture that the browser can read."));
      return;
    }
    showOn(pen, state.picture, state.ground);
    await classify();
  }

  const chooser = h("input", {
    type: "file", accept: "image/*", class: "hidden", id: "picture", "aria-label": "Picture to classify",
    onchange: () => {
      if (chooser.files[0]) take(chooser.files[0]);
      chooser.value = "";
    },
  });
  const invert = () => {
    state.ground = state.ground === "#000" ? "#fff" : "#000";
    clear();
  };
  clear();
  const fit = plan.size.stated
    ? `A picture is scaled to ${plan.size.height} × ${plan.size.width}, as the file says.`
    : `A picture of another shape is cut to its middle and scaled to ${plan.size.height} × ${plan.size.width}.`;
  const element = h(
    "div", { class: "try" },
    h(
      "div", { class: "try-left" }, board,
      h(
        "div", { class: "buttons" },
        h("button", { type: "button", onclick: () => chooser.click() }, "Open picture…"),
        h("button", { type: "button", onclick: clear }, "Clear"),
        h("button", { type: "button", onclick: invert, title: "Swap black and white" }, "Invert"),
        chooser,
      ),
    ),
    h("div", { class: "try-right" }, answer),
    h(
      "div", { class: "try-seen" }, h("figure", {}, seen, h("figcaption", {}, `What it sees: ${shapeText(plan.input.shape.slice(1))}`)),
      h("p", { class: "note" }, `${fit} ${shortCount(plan.macs)} products, computed by this page; nothing is uploaded.`),
      plan.left.some(({ cause }) => cause) && h("p", { class: "warn" }, `Left out, as the live run does not know them: ${
        plan.left.filter(({ cause }) => cause).map(({ key, type }) => `${key} (${type})`).join(", ")}.`),
    ),
  );
  return { element, take };
}

function hint(gray) {
  const what = gray ? "Draw something" : "Choose or drop a picture";
  return h("p", { class: "hint" }, `${what}, and the network answers here.`);
}

/** Let a pointer draw on the canvas. */
function drawing(board, pen, { start, moved, done }) {
  let last;
  const place = (event) => {
    const box = board.getBoundingClientRect();
    const scale = BOARD / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  };
  const lineTo = (to) => {
    pen.lineWidth = BOARD / 13;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(last.x, last.y);
    pen.lineTo(to.x, to.y);
    pen.stroke();
    last = to;
  };
  board.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    board.setPointerCapture(event.pointerId);
    start();
    last = place(event);
    lineTo({ x: last.x + 0.1, y: last.y });
  });
  board.addEventListener("pointermove", (event) => {
    if (!last) return;
    lineTo(place(event));
    moved();
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    board.addEventListener(kind, () => {
      if (last) done();
      last = undefined;
    });
  }
}

function showOn(pen, picture, ground) {
  const scale = Math.min(BOARD / picture.width, BOARD / picture.height);
  const [w, h2] = [picture.width * scale, picture.height * scale];
  pen.fillStyle = ground;
  pen.fillRect(0, 0, BOARD, BOARD);
  pen.imageSmoothingEnabled = scale < 1;
  pen.drawImage(picture, (BOARD - w) / 2, (BOARD - h2) / 2, w, h2);
  pen.imageSmoothingEnabled = true;
}

/** The pixels that are sent to the run: in the size that the network needs, or as they are. */
function pictureFor(source, size) {
  let [width, height] = [source.width, source.height];
  let part = [0, 0, width, height];
  if (size.stated) {
    const shrink = Math.min(1, MAX_SIDE / Math.max(width, height));
    [width, height] = [Math.max(1, Math.round(width * shrink)), Math.max(1, Math.round(height * shrink))];
  } else {
    // The largest part of the middle that has the right proportions.
    const fit = Math.min(width / size.width, height / size.height);
    const [w, h2] = [size.width * fit, size.height * fit];
    part = [(width - w) / 2, (height - h2) / 2, w, h2];
    [width, height] = [size.width, size.height];
  }
  const canvas = h("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = part[2] !== width || part[3] !== height;
  context.imageSmoothingQuality = "high";
  context.drawImage(source, ...part, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  return { width, height, data };
}

/** The input of the network as a picture: from its least value to its greatest. */
function drawInput(canvas, input, [, channels, height, width], transform) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  let [low, high] = [Infinity, -Infinity];
  for (const v of input) {
    low = Math.min(low, v);
    high = Math.max(high, v);
  }
  const size = width * height;
  const order = channels === 1 ? [0, 0, 0] : transform?.channelOrder === "RGB" ? [0, 1, 2] : [2, 1, 0];
  for (let i = 0; i < size; i++) {
    order.forEach((c, k) => (image.data[4 * i + k] = (255 * (input[c * size + i] - low)) / (high - low || 1)));
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

function answerView({ scores, ms }, { scores: { probabilities } }, labels) {
  const order = Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a]).slice(0, BEST);
  const [top, bottom] = [scores[order[0]], scores.reduce((a, b) => Math.min(a, b))];
  const time = ms < 100 ? `${Math.max(ms, 0.1).toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`;
  return h(
    "div", {},
    h("ol", { class: "best", "data-scores": Array.from(scores.subarray(0, 4096)).join(" ") }, order.map((k) => {
      const share = probabilities ? scores[k] : (scores[k] - bottom) / (top - bottom || 1);
      const bar = h("span", { class: "fill" });
      bar.style.setProperty("width", `${(100 * Math.max(share, 0)).toFixed(2)}%`);
      const name = labels?.[k] ?? `class ${k}`;
      return h(
        "li", { "data-class": String(k), "data-score": String(scores[k]) },
        h("span", { class: "label", title: shown(name) }, shorten(name, 40)),
        h("span", { class: "score" }, probabilities ? percent(scores[k]) : numberText(scores[k])),
        h("span", { class: "track" }, bar),
      );
    })),
    h("p", { class: "note" }, `${plural(scores.length, "class", "classes")}, answered in ${time}`, probabilities ? "." : "; scores, not probabilities."),
  );
}
