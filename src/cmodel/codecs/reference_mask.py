"""The mask coder once more in plain Python: slow, obvious, and held to the kernel by tests.

`ValueError` stands for every fault of a stream.
"""

from __future__ import annotations

from math import floor, log2

from cmodel.codecs.reference import check, read_varint, varint

UNIT = 1 << 14
LOGS = [round(256 * log2(1 + f / 64)) for f in range(64)]
LOGISTIC = [min(65535, floor(65536 / (1 + 2 ** (-i / 2)) + 0.5)) for i in range(33)]


class RangeWriter:
    """A range encoder; the code is an integer that may grow without end."""

    def __init__(self) -> None:
        self.low, self.range, self.bytes = 0, (1 << 32) - 1, 0

    def bit(self, q: int, bit: bool) -> bool:
        """Write a bit that is 1 with probability q / 65536; return it."""
        bound = self.range * q // 65536
        if not bit:
            self.low += bound
        self.range = bound if bit else self.range - bound
        while self.range < 1 << 24:
            self.range *= 256
            self.low *= 256
            self.bytes += 1
        return bit

    def finish(self) -> bytes:
        """Return the shortest code within the range: one byte more than were shifted out."""
        return ((self.low + (1 << 24) - 1) >> 24).to_bytes(self.bytes + 1, "big")


class RangeReader:
    """A range decoder."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 4
        self.code = int.from_bytes((data + bytes(4))[:4], "big")
        self.range = (1 << 32) - 1

    def bit(self, q: int, _: bool) -> bool:
        """Read a bit that is 1 with probability q / 65536."""
        check(self.at - 3 <= len(self.data), "end")
        bound = self.range * q // 65536
        bit = self.code < bound
        if not bit:
            self.code -= bound
        self.range = bound if bit else self.range - bound
        while self.range < 1 << 24:
            self.range *= 256
            self.code = self.code * 256 + (self.data[self.at] if self.at < len(self.data) else 0)
            self.at += 1
        return bit


class _Writer(RangeWriter):
    """One that knows the positions of ones."""

    def __init__(self, positions: list[int]) -> None:
        super().__init__()
        self.ones = set(positions)


def encode(positions: list[int], rows: int, columns: int, period: int) -> bytes:
    """Positions of ones to a stream."""
    if len(positions) in (0, rows * columns):
        return b""
    writer = _Writer(positions)
    _run(writer, rows, columns, len(positions), period)
    return varint(period) + writer.finish()


def decode(data: bytes, rows: int, columns: int, count: int) -> list[int]:
    """Return the positions of the `count` ones."""
    if count in (0, rows * columns):
        check(not data, "end")
        return list(range(count))
    period, at = read_varint(data, 0)
    check(period <= columns, "period")
    reader = RangeReader(data[at:])
    check(reader.code < 0xFFFFFFFF, "code")
    positions = _run(reader, rows, columns, count, period)
    check(reader.at - 3 == len(reader.data), "end")
    return positions


def log(v: int) -> int:
    """256 log2 v, by a table."""
    e = v.bit_length() - 1
    return 256 * e + LOGS[(v * 64 >> e) - 64]


def squash(x: int) -> int:
    """The probability in 1/65536 of a logit in 1/256 octave."""
    a = min(abs(x), 4095)
    i, f = divmod(a, 128)
    p = LOGISTIC[i] + ((LOGISTIC[i + 1] - LOGISTIC[i]) * f >> 7)
    return p if x >= 0 else 65536 - p


def _run(
    coder: _Writer | RangeReader, rows: int, columns: int, count: int, period: int
) -> list[int]:
    """Code all elements; the writer knows them, the reader learns them."""
    known = coder.ones if isinstance(coder, _Writer) else set()
    prior1 = 1 + count * (UNIT - 2) // (rows * columns)
    prior0 = UNIT - prior1

    def stretch(ones: int, zeros: int, strength: int) -> int:
        return log(ones * UNIT + strength * prior1) - log(zeros * UNIT + strength * prior0)

    bias = log(prior1) - log(prior0)
    weights = [-32768, 40960, 32768, 24576]
    column = [0] * columns
    above, above2 = [0] * columns, [0] * columns
    context_ones, context_all = [0] * 64, [0] * 64
    used_rows = used = empty = 0
    positions: list[int] = []
    for row in range(rows):
        if len(positions) == count:
            break
        first = row * columns
        q = squash(log(used * UNIT + UNIT // 2) - log(empty * UNIT + UNIT // 2))
        if coder.bit(q, any(first + j in known for j in range(columns))):
            used += 1
            before = len(positions)
            current = [0] * columns
            ones = seen = 0
            for j in range(columns):
                if len(positions) == count:
                    break
                left = [current[j - d] if 0 < d <= j else 0 for d in (1, 2, period, 2 * period)]
                c = left[0] + 2 * left[1] + 4 * above[j] + 8 * above2[j] + 16 * left[2]
                c += 32 * left[3]
                x = [bias, stretch(column[j], used_rows - column[j], 1)]
                x += [stretch(ones, seen - ones, 24)]
                x += [stretch(context_ones[c], context_all[c] - context_ones[c], 1)]
                q = squash(sum(w * v for w, v in zip(weights, x, strict=True)) >> 16)
                bit = int(coder.bit(q, first + j in known))
                error = 65536 * bit - q
                for i in range(4):
                    weight = weights[i] + ((x[i] * error + 32768) >> 16)
                    weights[i] = max(-524288, min(524288, weight))
                if bit:
                    positions.append(first + j)
                current[j] = bit
                column[j] += bit
                ones += bit
                seen += 1
                if seen == 65535:
                    seen, ones = seen >> 1, ones >> 1
                context_ones[c] += bit
                context_all[c] += 1
                if context_all[c] == 1024:
                    context_all[c], context_ones[c] = 512, context_ones[c] >> 1
            check(len(positions) > before, "used row")
            above, above2 = current, above
            used_rows += 1
            if used_rows == 65535:
                used_rows >>= 1
                column = [ones >> 1 for ones in column]
        else:
            empty += 1
        if used + empty == 65535:
            used, empty = used >> 1, empty >> 1
    check(len(positions) == count, "count")
    return positions
