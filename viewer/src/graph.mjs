// The network as a graph that goes down the page: which boxes there are and where they stand.
//
// Layers in rows by longest path (Sugiyama's way): long edges get a place in every row they cross,
// rows are ordered by the mean place of their neighbours, and places are the least-squares ones
// that keep their distance.

export const BOX = { width: 188, head: 47, line: 20, gapX: 16, gapY: 30 };
const SLIM = 10; // what an edge that passes a row takes of it
const SWEEPS = 12;
const MAX_PLACES = 40000; // of boxes, and of rows that edges cross

/**
 * Boxes and edges. A layer that works in place stands in the box of the layer that it changes.
 * layers: [{ key, type, bottoms, tops }]. Returns { boxes: [{ layers: [index] }], edges: [[from, to]] }.
 */
export function buildGraph(layers) {
  const boxes = [];
  const edges = new Map();
  const maker = new Map(); // blob -> box
  const readers = new Map(); // blob -> whether another box has read it already
  layers.forEach((layer, index) => {
    const [blob] = layer.tops;
    const inPlace = layer.tops.length === 1 && layer.bottoms.length === 1 && layer.bottoms[0] === blob;
    if (inPlace && maker.has(blob) && !readers.get(blob)) {
      boxes[maker.get(blob)].layers.push(index);
      return;
    }
    const box = boxes.push({ layers: [index] }) - 1;
    for (const bottom of layer.bottoms) {
      const from = maker.get(bottom);
      readers.set(bottom, true);
      if (from !== undefined) edges.set(`${from} ${box}`, [from, box]);
    }
    for (const top of layer.tops) {
      maker.set(top, box);
      readers.set(top, false);
    }
  });
  return { boxes, edges: [...edges.values()] };
}

/**
 * Places: { boxes: [{ x, y, width, height }] (x is the centre), edges: [[{ x, y }...]],
 * width, height }; undefined where there are too many to be drawn.
 */
export function placeGraph({ boxes, edges }) {
  const ranks = ranksOf(boxes.length, edges);
  const crossed = edges.reduce((sum, [from, to]) => sum + ranks[to] - ranks[from], 0);
  if (boxes.length + crossed > MAX_PLACES) return undefined;
  const rows = [];
  const nodes = boxes.map((box, i) => ({
    rank: ranks[i], width: BOX.width, height: BOX.head + BOX.line * (box.layers.length - 1), up: [], down: [],
  }));
  const chains = edges.map(([from, to]) => {
    const chain = [nodes[from]];
    for (let rank = ranks[from] + 1; rank < ranks[to]; rank++) {
      const pass = { rank, width: SLIM, height: 0, up: [], down: [] };
      nodes.push(pass);
      chain.push(pass);
    }
    chain.push(nodes[to]);
    for (let i = 1; i < chain.length; i++) {
      chain[i - 1].down.push(chain[i]);
      chain[i].up.push(chain[i - 1]);
    }
    return chain;
  });
  for (const node of nodes) (rows[node.rank] ??= []).push(node);
  order(rows);
  const width = spread(rows);
  let y = 0;
  for (const row of rows) {
    const height = row.reduce((most, node) => Math.max(most, node.height), 0);
    for (const node of row) node.y = y;
    y += height + BOX.gapY;
    for (const node of row) node.bottom = y - BOX.gapY;
  }
  return {
    boxes: nodes.slice(0, boxes.length).map(({ x, y: top, width: w, height: h }) => ({ x, y: top, width: w, height: h })),
    edges: chains.map(pathOf),
    width,
    height: Math.max(y - BOX.gapY, 0),
  };
}

/** Points of an edge, in pairs: where it leaves a row and where it enters the next one. */
function pathOf(chain) {
  const points = [];
  chain.forEach((node, i) => {
    if (i > 0) points.push({ x: node.x, y: node.y });
    if (i === 0) points.push({ x: node.x, y: node.y + node.height });
    else if (i < chain.length - 1) points.push({ x: node.x, y: node.bottom });
  });
  return points;
}

function ranksOf(count, edges) {
  const ranks = new Array(count).fill(0);
  const outgoing = Array.from({ length: count }, () => []);
  for (const [from, to] of edges) outgoing[from].push(to);
  // Boxes come in the order in which they run, so each edge goes up in numbers.
  for (let i = 0; i < count; i++) for (const to of outgoing[i]) ranks[to] = Math.max(ranks[to], ranks[i] + 1);
  const incoming = new Set(edges.map(([, to]) => to));
  for (let i = 0; i < count; i++) {
    if (!incoming.has(i) && outgoing[i].length) ranks[i] = outgoing[i].reduce((least, to) => Math.min(least, ranks[to]), Infinity) - 1;
  }
  return ranks;
}

function order(rows) {
  const number = () => rows.forEach((row) => row.forEach((node, i) => (node.order = i)));
  number();
  const mean = (nodes, usual) =>
    nodes.length ? nodes.reduce((sum, node) => sum + node.order, 0) / nodes.length : usual;
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const down = sweep % 2 === 0;
    for (const row of down ? rows : [...rows].reverse()) {
      for (const node of row) node.wish = mean(down ? node.up : node.down, node.order);
      row.sort((a, b) => a.wish - b.wish || a.order - b.order);
      row.forEach((node, i) => (node.order = i));
    }
  }
}

/** Set x of all nodes; return the width of all. */
function spread(rows) {
  for (const row of rows) {
    let x = 0;
    for (const node of row) {
      node.x = x + node.width / 2;
      x += node.width + BOX.gapX;
    }
    for (const node of row) node.x -= (x - BOX.gapX) / 2;
  }
  const mean = (nodes) => nodes.reduce((sum, node) => sum + node.x, 0) / nodes.length;
  for (let sweep = 0; sweep < 3 * SWEEPS; sweep++) {
    const ways = [["up"], ["down"], ["up", "down"]][sweep % 3];
    for (const row of sweep % 3 === 1 ? [...rows].reverse() : rows) {
      for (const node of row) {
        const near = ways.flatMap((way) => node[way]);
        node.wish = near.length ? mean(near) : node.x;
      }
      settle(row);
    }
  }
  const edge = (side) => rows.flat().map((node) => node.x + (side * node.width) / 2);
  const left = edge(-1).reduce((a, b) => Math.min(a, b), 0);
  const right = edge(1).reduce((a, b) => Math.max(a, b), 0);
  for (const node of rows.flat()) node.x -= left;
  return right - left;
}

/** Give a row the places nearest to its wishes that keep order and distance: isotonic regression. */
function settle(row) {
  let shift = 0;
  const blocks = [];
  row.forEach((node, i) => {
    if (i) shift += (row[i - 1].width + node.width) / 2 + BOX.gapX;
    node.shift = shift;
    let block = { sum: node.wish - shift, count: 1 };
    while (blocks.length && blocks.at(-1).sum / blocks.at(-1).count > block.sum / block.count) {
      const before = blocks.pop();
      block = { sum: before.sum + block.sum, count: before.count + block.count };
    }
    blocks.push(block);
  });
  let at = 0;
  for (const { sum, count } of blocks) {
    for (let k = 0; k < count; k++, at++) row[at].x = sum / count + row[at].shift;
  }
}
