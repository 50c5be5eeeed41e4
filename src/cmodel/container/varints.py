"""Numbers of section table and tensor directory: shortest LEB128 varints, zigzag, fixed words."""

from __future__ import annotations

from cmodel.errors import BadManifest, InputError

# Sizes and offsets stay exact in every language.
MAX_VARINT = 1 << 53


class ByteWriter:
    """Appends numbers to a byte string."""

    def __init__(self) -> None:
        self._data = bytearray()

    def bytes(self) -> bytes:
        """Return what was written."""
        return bytes(self._data)

    def append(self, other: ByteWriter) -> None:
        """Append what another writer holds."""
        self._data += other._data

    def varint(self, value: int) -> None:
        """Append an unsigned integer."""
        while value > 127:
            self._data.append(value & 127 | 128)
            value >>= 7
        self._data.append(value)

    def zigzag(self, value: int) -> None:
        """Append a signed integer: 0, -1, 1, -2 become 0, 1, 2, 3."""
        self.varint(2 * value if value >= 0 else -2 * value - 1)

    def byte(self, value: int) -> None:
        """Append one byte."""
        self._data.append(value)

    def word(self, value: int) -> None:
        """Append a 32-bit word, little-endian."""
        self._data += value.to_bytes(4, "little")


class ByteReader:
    """Reads numbers from a byte string.

    Every method raises `error` where the string ends too early or a number is out of range; `what`
    is the string's name in it.
    """

    def __init__(
        self,
        data: bytes,
        what: str = "the tensor directory",
        error: type[InputError] = BadManifest,
    ) -> None:
        self._data = data
        self._what = what
        self._error = error
        self._position = 0

    @property
    def at_end(self) -> bool:
        """Whether everything was read."""
        return self._position == len(self._data)

    @property
    def left(self) -> int:
        """Bytes that were not read yet."""
        return len(self._data) - self._position

    def byte(self) -> int:
        """Read one byte."""
        if self.at_end:
            raise self._error(f"{self._what} ends too early")
        self._position += 1
        return self._data[self._position - 1]

    def varint(self, limit: int = MAX_VARINT) -> int:
        """Read an unsigned integer of at most `limit`."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
            if shift > 56:
                raise self._error(f"a number in {self._what} is too long")
        if shift and not byte:
            raise self._error(f"a number in {self._what} is not in its shortest form")
        if value > limit:
            raise self._error(f"a number in {self._what} is {value}, at most {limit}")
        return value

    def zigzag(self, limit: int) -> int:
        """Read a signed integer of at most `limit` in magnitude."""
        value = self.varint(2 * limit)
        return -(value + 1) // 2 if value & 1 else value // 2

    def word(self) -> int:
        """Read a 32-bit word."""
        return int.from_bytes(bytes(self.byte() for _ in range(4)), "little")
