// Shapes of blobs, and what a layer of the live run is refused with.

/** A layer, or an input, that the live run cannot take; the message is for the reader of the page. */
export class RunError extends Error {}

export function unsupported(message) {
  throw new RunError(message);
}

// What one blob, and all of them together, may hold: 256 MiB and 2 GiB as float32.
const MAX_BLOB = 2 ** 26;
const MAX_BLOBS = 2 ** 29;

/** Elements of a shape; refuses what would not fit in memory. */
export function sizeOf(shape) {
  let size = 1;
  for (const extent of shape) {
    if (!Number.isInteger(extent) || extent < 0) unsupported(`${byText(shape)} is no shape`);
    size *= extent;
    if (size > MAX_BLOB) unsupported(`a blob of ${byText(shape)} is too large to run here`);
  }
  return size;
}

/** Counts elements of blobs and refuses more of them than fit. */
export class Budget {
  used = 0;

  take(shape) {
    this.used += sizeOf(shape);
    if (this.used > MAX_BLOBS) unsupported("all blobs together are too large to run here");
  }
}

export function byText(shape) {
  return shape.length ? shape.join(" × ") : "a single value";
}

export function sameShape(a, b) {
  return a.length === b.length && a.every((extent, i) => extent === b[i]);
}

/** An axis from 0 on; `end` also allows the place after the last one. */
export function axisOf(axis, rank, end = false) {
  const found = axis < 0 ? axis + rank + (end ? 1 : 0) : axis;
  if (!(found >= 0 && found < rank + (end ? 1 : 0))) {
    unsupported(`there is no axis ${axis} of ${rank}`);
  }
  return found;
}

/** How many elements lie outside, on and inside of an axis. */
export function around(shape, axis) {
  return {
    outer: sizeOf(shape.slice(0, axis)),
    extent: shape[axis],
    inner: sizeOf(shape.slice(axis + 1)),
  };
}
