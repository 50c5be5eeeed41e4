"""Coder 4, context streams: section 10 written plainly, encoding."""

from __future__ import annotations

from collections.abc import Callable

from builder import Coded, RangeEncoder, lg, squash, varint

NEXT = [(0, 2), (5, 7), (1, 3), (6, 4), (2, 0), (4, 6), (3, 1), (7, 5)]
RATE = [32768 // (2 * n + 3) for n in range(256)]
ST = [(lg(2 * i + 1) - lg(8191 - 2 * i)) >> 1 for i in range(4096)]

Counter = list[int]


def table(contexts: int, decisions: int) -> list[list[Counter]]:
    """Counters (p, n) that nothing has been learnt by."""
    return [[[0, 0] for _ in range(decisions)] for _ in range(contexts)]


def bucket(v: int) -> int:
    """B of section 10.2."""
    e = v.bit_length() - 1
    return v if v < 4 else 2 * e + (v >> (e - 1)) % 2


def sign(x: int) -> int:
    """-1, 0 or 1."""
    return (x > 0) - (x < 0)


def third(x: int) -> int:
    """T of section 10.2."""
    return {0: 0, -1: 1, 1: 2}[sign(x)]


def clip(x: int, n: int) -> int:
    """Hold x within -n .. n."""
    return max(-n, min(n, x))


class Model:
    """Counters and weights of section 10.1, around a range encoder."""

    def __init__(self, trace: Callable[[int, int, int], None] | None = None) -> None:
        self.coder = RangeEncoder()
        self.trace = trace
        self.weights = [[13000] * 6 for _ in range(15)]
        self.tables = [table(size, 14) for size in (1, 32, 64, 64, 96, 256)]
        for d in range(14):
            self.tables[0][0][d][0] = 20000 if d % 7 else 32768
        self.signs = [table(1, size)[0] for size in (1, 9, 9, 81, 81, 81)]
        self.signs[0][0][0] = 32768
        self.e = [[32768, 0] for _ in range(15)]
        self.h = [[32768, 0] for _ in range(15)]

    def bit(self, b: int, q: int) -> None:
        """Code b."""
        self.coder.bit(b, q)
        if self.trace:
            self.trace(q, b, self.coder.range)

    @staticmethod
    def learn(counter: Counter, b: int) -> None:
        """Move a counter towards b."""
        p, n = counter
        counter[0] = p + (((65535 * b - p) * RATE[n]) >> 14)
        counter[1] = min(n + 1, 255)

    def mixed(self, w: list[int], counters: list[Counter], b: int) -> None:
        """Code b by six counters."""
        for counter in counters[1:]:
            if counter[1] == 0:
                counter[:] = [counters[0][0], 1]
        x = [ST[counter[0] >> 4] for counter in counters]
        q = squash(sum(a * c for a, c in zip(w, x, strict=True)) >> 15)
        self.bit(b, q)
        error = 65536 * b - q
        for i in range(6):
            w[i] = clip(w[i] + ((x[i] * error + 8192) >> 14), 131071)
            self.learn(counters[i], b)

    def plain(self, counter: Counter, b: int) -> None:
        """Code b by one counter."""
        self.bit(b, min(max(counter[0], 32), 65504))
        self.learn(counter, b)

    def escape(self, t: int) -> None:
        """The Exp-Golomb code of t, at least 1."""
        e = t.bit_length() - 1
        for i in range(e):
            self.plain(self.e[i], 1)
        if e < 15:
            self.plain(self.e[e], 0)
        for i in range(e - 1, -1, -1):
            self.plain(self.h[i], t >> i & 1)


def code_matrix(
    model: Model, ints: list[int], columns: int, width: int, period: int, trellis: bool
) -> None:
    """Code signed integers row by row."""
    row1, row2, column = [0] * columns, [0] * columns, [0] * columns
    cycle = period or width or 1
    for r in range(len(ints) // columns):
        mean, s = 0, 0
        row: list[int] = []
        for j in range(columns):

            def cur(i: int, row: list[int] = row) -> int:
                return row[i] if 0 <= i < len(row) else 0

            k = ints[r * columns + j]
            l1, l2, u, u2 = cur(j - 1), cur(j - 2), row1[j], row2[j]
            v = cur(j - width) if width else 0
            v2 = cur(j - 2 * width) if width else 0
            vl = cur(j - width - 1) if width else 0
            vr = cur(j - width + 1) if width else 0
            c = cur(j - period) if period else 0
            q = s % 2 if trellis else 0
            d = 7 * q
            m = [
                0,
                bucket(column[j] >> 2),
                min(abs(l1), 3) + 4 * min(abs(v), 3) + 16 * min(abs(u), 3),
                min(bucket(2 * abs(l1) + 2 * abs(v) + abs(u) + abs(c)), 31),
                j % cycle % 64,
                16 * min(bucket(column[j] >> 3), 15) + min(bucket(mean >> 3), 15),
            ]

            def counters(decision: int, m: list[int] = m) -> list[Counter]:
                return [model.tables[i][m[i]][decision] for i in range(6)]

            model.mixed(model.weights[d], counters(d), int(k != 0))
            if k:
                t = third
                places = [
                    0,
                    t(l1) + 3 * t(v),
                    t(u) + 3 * t(c),
                    t(l1) + 3 * t(u) + 9 * t(v) + 27 * t(c),
                    t(l2) + 3 * t(u2) + 9 * t(l1) + 27 * t(u),
                    t(v) + 3 * t(vl) + 9 * t(vr) + 27 * t(v2),
                ]
                signs = [model.signs[i][places[i]] for i in range(6)]
                model.mixed(model.weights[14], signs, int(k < 0))
                g = sign(k)
                m[3] = 47 + clip(g * (2 * l1 + 2 * v + u + c), 15)
                m[4] = 76 + 5 * clip(g * l1, 2) + clip(g * v, 2)
                for a in range(1, min(abs(k) + 1, 7)):
                    model.mixed(model.weights[d + a], counters(d + a), int(abs(k) > a))
                if abs(k) >= 7:
                    model.escape(abs(k) - 6)
            level = k
            if trellis:
                level = 2 * k - q * sign(k)
                s = NEXT[s][k % 2]
            row.append(level)
            y = 256 * min(abs(level), 255)
            mean += ((y - mean) * RATE[min(j + 1, 62)]) >> 14
            column[j] += ((y - column[j]) * RATE[min(r + 1, 30)]) >> 14
        row2, row1 = row1, row


def context_stream(
    values: list[int],
    rows: int,
    zero: int,
    *,
    width: int = 0,
    period: int = 0,
    trellis: bool = False,
    trace: Callable[[int, int, int], None] | None = None,
) -> bytes:
    """The stream of unsigned integers."""
    if not values:
        return b""
    stated = bool(width or period)
    head = bytes([trellis | stated << 1]) + varint(rows) + varint(zero)
    if stated:
        head += varint(width) + varint(period)
    model = Model(trace)
    columns = len(values) // rows
    code_matrix(model, [value - zero for value in values], columns, width, period, trellis)
    return head + model.coder.finish()


def context(values: list[int], rows: int, zero: int, **more: object) -> Coded:
    """Coder 4."""
    stream = context_stream(values, rows, zero, **more)  # type: ignore[arg-type]
    return varint(4) + varint(len(stream)), stream
