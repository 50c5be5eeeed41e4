// Products of matrices, float32 in and out.

/**
 * C += A B: A is rows x depth from `at`, B depth x columns from `bt`, C has rows of `stride`
 * elements from `ct`. Two rows and four steps of the depth at once keep the numbers in registers.
 */
export function multiplyAdd(A, at, B, bt, C, ct, { rows, depth, columns, stride }) {
  let m = 0;
  for (; m + 2 <= rows; m += 2) {
    const c0 = ct + m * stride;
    const c1 = c0 + stride;
    let k = 0;
    for (; k + 4 <= depth; k += 4) {
      const a = at + m * depth + k;
      const p0 = A[a];
      const p1 = A[a + 1];
      const p2 = A[a + 2];
      const p3 = A[a + 3];
      const b = a + depth;
      const q0 = A[b];
      const q1 = A[b + 1];
      const q2 = A[b + 2];
      const q3 = A[b + 3];
      // Pruned weights come in runs.
      if (!(p0 || p1 || p2 || p3 || q0 || q1 || q2 || q3)) continue;
      const b0 = bt + k * columns;
      const b1 = b0 + columns;
      const b2 = b1 + columns;
      const b3 = b2 + columns;
      for (let n = 0; n < columns; n++) {
        const x0 = B[b0 + n];
        const x1 = B[b1 + n];
        const x2 = B[b2 + n];
        const x3 = B[b3 + n];
        C[c0 + n] += p0 * x0 + p1 * x1 + p2 * x2 + p3 * x3;
        C[c1 + n] += q0 * x0 + q1 * x1 + q2 * x2 + q3 * x3;
      }
    }
    for (; k < depth; k++) {
      addRow(A[at + m * depth + k], B, bt + k * columns, C, c0, columns);
      addRow(A[at + (m + 1) * depth + k], B, bt + k * columns, C, c1, columns);
    }
  }
  for (; m < rows; m++) {
    for (let k = 0; k < depth; k++) {
      addRow(A[at + m * depth + k], B, bt + k * columns, C, ct + m * stride, columns);
    }
  }
}

function addRow(a, B, bt, C, ct, columns) {
  if (a) for (let n = 0; n < columns; n++) C[ct + n] += a * B[bt + n];
}

/** The sum of products of `length` elements, in double precision. */
export function dot(A, at, B, bt, length) {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let k = 0;
  for (; k + 4 <= length; k += 4) {
    s0 += A[at + k] * B[bt + k];
    s1 += A[at + k + 1] * B[bt + k + 1];
    s2 += A[at + k + 2] * B[bt + k + 2];
    s3 += A[at + k + 3] * B[bt + k + 3];
  }
  for (; k < length; k++) s0 += A[at + k] * B[bt + k];
  return s0 + s1 + (s2 + s3);
}
