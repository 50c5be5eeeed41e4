"""The context coder once more in plain Python: slow, obvious, and held to the kernel by tests.

`ValueError` stands for every fault of a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cmodel.codecs.reference import check, read_varint, varint
from cmodel.codecs.reference_mask import RangeReader, RangeWriter, log, squash

RATES = [32768 // (2 * n + 3) for n in range(256)]
STRETCHED = [(log(2 * i + 1) - log(8191 - 2 * i)) >> 1 for i in range(4096)]
NEXT = ((0, 2), (5, 7), (1, 3), (6, 4), (2, 0), (4, 6), (3, 1), (7, 5))
ESCAPES = 15


class _Counter:
    """A probability that follows the bits it sees."""

    def __init__(self, p: int = 0) -> None:
        self.p, self.n = p, 0

    def learn(self, bit: bool) -> None:
        self.p += ((65535 * bit - self.p) * RATES[self.n]) >> 14
        self.n = min(self.n + 1, 255)


def _bucket(v: int) -> int:
    """Two steps an octave."""
    if v < 4:
        return v
    e = v.bit_length() - 1
    return 2 * e + (v >> (e - 1)) % 2


def _third(x: int) -> int:
    return 2 if x > 0 else int(x < 0)


def _clip(x: int, limit: int) -> int:
    return max(-limit, min(x, limit))


class _Model:
    """Counters and weights, the same in both directions: the reader ignores the bits given."""

    def __init__(self, coder: RangeReader | RangeWriter) -> None:
        self.coder = coder
        self.weights = [[13000] * 6 for _ in range(15)]
        self.counters: dict[tuple[int, ...], _Counter] = {}
        self.exponents = [_Counter(32768) for _ in range(ESCAPES)]
        self.mantissas = [_Counter(32768) for _ in range(ESCAPES)]

    def _counter(self, table: int, context: int, decision: int) -> _Counter:
        first = 32768 if decision % 7 == 0 or decision == 14 else 20000
        return self.counters.setdefault((table, context, decision), _Counter(first))

    def mixed(self, decision: int, contexts: Sequence[int], bit: bool) -> bool:
        """Code a bit by six counters; decision 14 is the sign."""
        inputs = [self._counter(i, context, decision) for i, context in enumerate(contexts)]
        for one in inputs[1:]:
            if not one.n:
                one.p, one.n = inputs[0].p, 1
        weights = self.weights[decision]
        x = [STRETCHED[one.p >> 4] for one in inputs]
        q = squash(sum(w * logit for w, logit in zip(weights, x, strict=True)) >> 15)
        bit = self.coder.bit(q, bit)
        error = 65536 * bit - q
        for i, one in enumerate(inputs):
            weights[i] = _clip(weights[i] + ((x[i] * error + 8192) >> 14), 131071)
            one.learn(bit)
        return bit

    def plain(self, one: _Counter, bit: bool) -> bool:
        bit = self.coder.bit(min(max(one.p, 32), 65504), bit)
        one.learn(bit)
        return bit

    def escape(self, value: int) -> int:
        """Code an integer from 1 on."""
        e = 0
        while e < ESCAPES and self.plain(self.exponents[e], value >> (e + 1) > 0):
            e += 1
        result = 1
        for i in reversed(range(e)):
            result = 2 * result + self.plain(self.mantissas[i], bool(value >> i & 1))
        return result


def encode(
    ints: list[int], rows: int, zero: int, width: int = 0, period: int = 0, trellis: bool = False
) -> bytes:
    """Unsigned integers to a stream."""
    if not ints:
        return b""
    stated = width > 0 or period > 0
    head = bytes([trellis | stated << 1]) + varint(rows) + varint(zero)
    if stated:
        head += varint(width) + varint(period)
    writer = RangeWriter()
    given = iter(ints)
    _run(
        _Model(writer),
        (rows, len(ints) // rows),
        (width, period),
        trellis,
        lambda: next(given) - zero,
    )
    return head + writer.finish()


def decode(data: bytes, count: int, bits: int) -> list[int]:
    """Return the `count` integers of `bits` bits."""
    if not count:
        check(not data, "end")
        return []
    check(len(data) > 0 and data[0] < 4, "flags")
    rows, at = read_varint(data, 1)
    zero, at = read_varint(data, at)
    width, period = 0, 0
    check(rows > 0 and count % rows == 0 and zero < 1 << bits, "head")
    columns = count // rows
    if data[0] & 2:
        width, at = read_varint(data, at)
        period, at = read_varint(data, at)
        check(max(width, period) > 0 and max(width, period) <= columns, "distances")
    reader = RangeReader(data[at:])
    check(reader.code < 0xFFFFFFFF, "code")
    found: list[int] = []

    def keep(k: int) -> None:
        check(0 <= zero + k < 1 << bits, "range")
        found.append(zero + k)

    model = _Model(reader)
    _run(model, (rows, columns), (width, period), bool(data[0] & 1), None, keep)
    check(reader.at - 3 == len(reader.data), "end")
    return found


def _run(
    model: _Model,
    shape: tuple[int, int],
    distances: tuple[int, int],
    trellis: bool,
    take: Callable[[], int] | None,
    keep: Callable[[int], None] | None = None,
) -> None:
    """Code a matrix: `take` gives the next integer when encoding, `keep` gets it when decoding."""
    rows, columns = shape
    width, period = distances
    cycle = period or width or 1
    above, above2, means = [0] * columns, [0] * columns, [0] * columns
    for r in range(rows):
        row: list[int] = []
        mean, state = 0, 0
        for j in range(columns):

            def back(distance: int, row: list[int] = row) -> int:
                """Return the level so far to the left."""
                return row[-distance] if 0 < distance <= len(row) else 0

            k = take() if take else 0
            left, left2, up, up2 = back(1), back(2), above[j], above2[j]
            over, over2 = (back(width), back(2 * width)) if width else (0, 0)
            over_left, over_right = (back(width + 1), back(width - 1)) if width else (0, 0)
            channel = back(period) if period else 0
            quantizer = state % 2 if trellis else 0
            contexts = [
                0,
                _bucket(means[j] >> 2),
                min(abs(left), 3) + 4 * min(abs(over), 3) + 16 * min(abs(up), 3),
                min(_bucket(2 * (abs(left) + abs(over)) + abs(up) + abs(channel)), 31),
                j % cycle % 64,
                16 * min(_bucket(means[j] >> 3), 15) + min(_bucket(mean >> 3), 15),
            ]
            decision = 7 * quantizer
            if model.mixed(decision, contexts, k != 0):
                tl, tv, tu, tc = (_third(x) for x in (left, over, up, channel))
                signs = [
                    0,
                    tl + 3 * tv,
                    tu + 3 * tc,
                    tl + 3 * tu + 9 * tv + 27 * tc,
                    _third(left2) + 3 * _third(up2) + 9 * tl + 27 * tu,
                    tv + 3 * _third(over_left) + 9 * _third(over_right) + 27 * _third(over2),
                ]
                sign = -1 if model.mixed(14, signs, k < 0) else 1
                contexts[3] = 47 + _clip(sign * (2 * (left + over) + up + channel), 15)
                contexts[4] = 76 + 5 * _clip(sign * left, 2) + _clip(sign * over, 2)
                size = 1
                while size < 7 and model.mixed(decision + size, contexts, abs(k) > size):
                    size += 1
                if size == 7:
                    size = 6 + model.escape(max(abs(k) - 6, 1))
                k = sign * size
            else:
                k = 0
            if keep:
                keep(k)
            level = k
            if trellis:
                level = 2 * k - quantizer * ((k > 0) - (k < 0))
                state = NEXT[state][k % 2]
            row.append(level)
            target = 256 * min(abs(level), 255)
            mean += ((target - mean) * RATES[min(j + 1, 62)]) >> 14
            means[j] += ((target - means[j]) * RATES[min(r + 1, 30)]) >> 14
        above2, above = above, row
