// Numbers as people read them.

/** KB = 1000 bytes, MB = 10^6, as the commands print them. */
export function bytesText(size) {
  if (size < 1000) return `${size} B`;
  if (size < 1e6) return `${(size / 1000).toFixed(1)} KB`;
  return `${(size / 1e6).toFixed(2)} MB`;
}

export function countText(n) {
  return Math.round(n).toLocaleString("en-US");
}

/** Large counts in short: 61.7 K, 1.24 M. */
export function shortCount(n) {
  if (n < 10000) return countText(n);
  const [unit, size] = n < 1e6 ? ["K", 1e3] : n < 1e9 ? ["M", 1e6] : ["G", 1e9];
  return `${(n / size).toPrecision(3)} ${unit}`;
}

export function percent(share, digits = 1) {
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  return `${(100 * share).toFixed(digits)} %`;
}

export function shapeText(shape) {
  if (!shape) return "?";
  return shape.length ? shape.join(" × ") : "scalar";
}

/** A number with three digits that count. */
export function numberText(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(3)));
}

export function hex(crc) {
  return crc.toString(16).padStart(8, "0");
}

export function plural(n, one, many = `${one}s`) {
  return `${countText(n)} ${n === 1 ? one : many}`;
}
