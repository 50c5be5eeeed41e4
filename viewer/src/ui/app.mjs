// The page: takes a file, shows it, checks it, runs it.

import { LIMITS } from "../../../spec/readers/js/cmodel-reader.mjs";
import { h, section, shorten, shown } from "./dom.mjs";
import { bytesView, fileView } from "./file-view.mjs";
import { bytesText, percent, plural, shortCount } from "./format.mjs";
import { graphView } from "./graph-view.mjs";
import { layerView, showOutputs } from "./layer-view.mjs";
import { Remote } from "./remote.mjs";
import { tryView } from "./try-view.mjs";

const SIGNATURE = [0x89, 0x43, 0x4d, 0x44, 0x0d, 0x0a, 0x1a, 0x0a];

const ADVICE = {
  "bad-signature": "Make a .cmodel of a Caffe network with “cmodel pack”.",
  "bad-version": "It was written by another version of cmodel than this page is of.",
  "checksum": "Bytes have changed since it was written; get the file anew. “cmodel unpack --salvage” saves what is undamaged.",
  "truncated": "It may not have been copied to its end.",
  "trailing-data": "Something was added to its end.",
  "limit-memory": "It would take more memory than a browser should give it.",
  "unknown-feature": "It needs a newer version of this page.",
};

export function startApp() {
  const app = new App();
  app.start();
}

class App {
  #remote;
  #turn = 0; // counts files, so that what comes late for an old one is dropped
  #take; // what to do with a picture that is dropped

  start() {
    const main = document.getElementById("main");
    const chooser = document.getElementById("file");
    const choose = () => chooser.click();
    document.getElementById("open").addEventListener("click", choose);
    document.getElementById("choose").addEventListener("click", choose);
    chooser.addEventListener("change", () => {
      if (chooser.files[0]) this.#openBlob(chooser.files[0]);
      chooser.value = "";
    });
    this.main = main;
    this.#listenForDrops();
    const served = document.querySelector('meta[name="cmodel-file"]');
    if (served) this.#openServed(served.content);
  }

  #listenForDrops() {
    const over = (on) => document.body.classList.toggle("over", on);
    addEventListener("dragover", (event) => {
      event.preventDefault();
      over(true);
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) over(false);
    });
    addEventListener("drop", async (event) => {
      event.preventDefault();
      over(false);
      const [file] = event.dataTransfer.files;
      if (!file) return;
      const isPicture = file.type.startsWith("image/") && !(await isContainer(file));
      if (isPicture && this.#take) await this.#take(file);
      else await this.#openBlob(file);
    });
    addEventListener("paste", (event) => {
      const picture = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
      if (picture && this.#take) this.#take(picture);
    });
  }

  async #openServed(name) {
    const turn = this.#begin(name);
    let bytes;
    try {
      const answer = await fetch("model");
      if (!answer.ok) throw new Error(`the answer is ${answer.status}`);
      bytes = await answer.arrayBuffer();
    } catch (error) {
      this.#refused(name, { name: "input", message: `cmodel view does not give the file any more: ${error.message}` });
      return;
    }
    await this.#open(turn, bytes, name);
  }

  async #openBlob(file) {
    const turn = this.#begin(file.name);
    let bytes;
    try {
      if (file.size > LIMITS.maxMemory) throw new RangeError(`${bytesText(file.size)} are more than a reader takes`);
      bytes = await file.arrayBuffer();
    } catch (error) {
      this.#refused(file.name, { name: "input", message: `the file cannot be read: ${error.message}` });
      return;
    }
    await this.#open(turn, bytes, file.name);
  }

  #begin(name) {
    this.#remote?.stop();
    this.#remote = undefined;
    this.#take = undefined;
    document.body.classList.add("opened");
    document.title = `${shown(name)} – cmodel view`;
    document.getElementById("name").textContent = shorten(name, 48);
    this.main.replaceChildren(h("p", { class: "hint", role: "status" }, `Reading ${shorten(name, 60)} …`));
    return ++this.#turn;
  }

  async #open(turn, bytes, name) {
    const remote = await Remote.start();
    if (turn !== this.#turn) return remote.stop();
    this.#remote = remote;
    try {
      const facts = await remote.call("open", [new Uint8Array(bytes)], [bytes]);
      if (turn === this.#turn) await this.#show(turn, facts, name);
    } catch (error) {
      if (turn === this.#turn) this.#refused(name, error);
    }
  }

  #refused(name, error) {
    this.main.replaceChildren(h(
      "section", { class: "refused", role: "alert" },
      h("h1", {}, shorten(name, 60)),
      h("p", { class: "bad" }, h("b", {}, `${error.name}: `), error.message),
      ADVICE[error.name] && h("p", {}, ADVICE[error.name]),
    ));
  }

  async #show(turn, facts, name) {
    const model = {
      facts,
      tensors: new Map(facts.tensors.map((tensor) => [tensor.name, tensor])),
      results: new Map(),
    };
    const remote = this.#remote;
    const integrity = h("span", {}, "…");
    const zeros = h("b", {}, "…");
    const damage = h("div", { class: "damage", role: "alert" });
    const detail = h("div", { class: "detail", id: "detail", tabindex: "-1", "aria-live": "off" });
    let shownBox;
    const show = (box) => {
      shownBox = box;
      detail.replaceChildren(layerView(model, box));
      showOutputs(detail, (key) => remote.call("output", [key]));
    };
    const layers = [
      ...facts.bareInputs.map(({ name: input }) => ({
        index: -1, key: input, name: input, type: "Input", bottoms: [], tops: [input], parameters: [], runs: true, settings: [],
      })),
      ...facts.layers,
    ];
    const bytesByLayer = new Map();
    for (const { layer, bytes } of facts.tensors) bytesByLayer.set(layer, (bytesByLayer.get(layer) ?? 0) + bytes);
    const bytesOf = (box) => box.layers.reduce((sum, { index }) => sum + (bytesByLayer.get(index) ?? 0), 0);
    const topsOf = (key) => facts.run.tops.get(key)
      ?? facts.bareInputs.filter((input) => input.name === key && input.shape).map(({ shape }) => [1, ...shape.slice(1)]);
    const graph = graphView({ layers, bytesOf, topsOf, onChoose: show });
    const chooseLayer = (layer) => {
      const index = graph.boxes.findIndex((box) => box.layers.includes(layer));
      graph.choose(index);
      graph.show?.(index);
      if (!graph.show) show(graph.boxes[index]);
      document.getElementById("network").scrollIntoView({ block: "start" });
    };
    const live = tryView(facts, (picture) => remote.call("run", [picture], [picture.data.buffer]), () => {
      if (shownBox) showOutputs(detail, (key) => remote.call("output", [key]));
    });
    this.#take = live.take;
    const columns = h("div", { class: "columns" }, graph.element, detail);
    // The graph takes the room that it needs, and what is known of a layer the rest.
    columns.style.setProperty("--graph", `${graph.width ?? 300}px`);
    this.main.replaceChildren(
      h("h1", {}, facts.name || shorten(name, 60), facts.name && h("span", { class: "soft" }, shorten(name, 60))),
      tiles(facts, integrity, zeros),
      damage,
      section("run", "Try it", live.element),
      section("network", "The network", columns),
      section("bytes", "Where the bytes are", bytesView(facts, chooseLayer)),
      section("about", "The file", fileView(facts)),
    );
    const largest = graph.boxes.reduce((best, box, i) => (bytesOf(box) > bytesOf(graph.boxes[best]) ? i : best), 0);
    graph.choose(largest, { quiet: true });
    graph.show?.(largest);
    if (graph.boxes.length) show(graph.boxes[largest]);
    await this.#check(turn, model, { integrity, zeros, damage }, (tensor) => {
      if (shownBox?.layers.some(({ parameters }) => parameters.includes(tensor))) show(shownBox);
    });
  }

  /** Check every section and every tensor, and say so. */
  async #check(turn, model, { integrity, zeros, damage }, onTensor) {
    const remote = this.#remote;
    const { tensors } = model.facts;
    const say = (text, kind) => {
      integrity.className = kind;
      integrity.textContent = text;
    };
    say("checking…", "");
    const sections = await remote.call("checkSections");
    let [none, weights] = [0, 0];
    for (let i = 0; i < tensors.length; i++) {
      const result = await remote.call("tensor", [tensors[i].name]);
      if (turn !== this.#turn) return;
      model.results.set(result.name, result);
      if (result.statistics && !tensors[i].mean) {
        none += result.statistics.zeros;
        weights += result.statistics.count;
      }
      say(`checking ${i + 1} of ${tensors.length}`, "");
      onTensor(result.name);
    }
    zeros.textContent = weights ? percent(none / weights) : "–";
    const bad = [...model.results.values()].filter(({ error }) => error);
    if (sections.ok && !bad.length) {
      say(`✓ intact: every CRC of ${plural(tensors.length, "tensor")}`, "good");
      return;
    }
    say(bad.length ? `✕ damaged: ${bad.length} of ${plural(tensors.length, "tensor")}` : "✕ damaged", "bad");
    const reasons = [...new Set(bad.map(({ error }) => `${error.name}: ${error.message}`))];
    if (!sections.ok && !reasons.length) reasons.push(`${sections.error.name}: ${sections.error.message}`);
    damage.append(
      h("p", {}, h("b", {}, "The file is damaged. "), ADVICE[(bad[0]?.error ?? sections.error).name] ?? ""),
      h("ul", {}, reasons.slice(0, 8).map((reason) => h("li", {}, reason))),
      bad.length > 0 && h("p", {}, `Not to be had: ${bad.slice(0, 40).map((entry) => entry.name).join(", ")}.`),
    );
  }
}

function tiles(facts, integrity, zeros) {
  const weights = facts.tensors.reduce((sum, { elements }) => sum + elements, 0);
  const tile = (value, what) => h("div", { class: "tile" }, h("b", {}, value), h("span", {}, what));
  const bits = facts.parameters ? ((8 * facts.size) / facts.parameters).toFixed(2) : "–";
  return h(
    "div", { class: "tiles" },
    tile(bytesText(facts.size), integrity),
    tile(facts.parameters ? `${((4 * facts.parameters) / facts.size).toFixed(1)}×` : "–", "smaller than float32"),
    tile(bits, "bits a weight, whole file"),
    tile(shortCount(weights), `weights in ${plural(facts.layers.length, "layer")}`),
    h("div", { class: "tile" }, zeros, h("span", {}, "of the weights are zero")),
  );
}

async function isContainer(file) {
  const head = new Uint8Array(await file.slice(0, 8).arrayBuffer());
  return SIGNATURE.every((byte, i) => head[i] === byte);
}
