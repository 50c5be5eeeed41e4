"""Reads and prints prototxt: protobuf's text format, with the fields of forks kept.

protobuf's own parser refuses a field that the schema lacks. This one walks the text along the
descriptors, takes what it knows into a NetParameter, and keeps every unknown field verbatim with
its place, so that it is there when the net is printed again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from cmodel.caffe.scanner import Kind, Scanner, Token
from cmodel.errors import InputError, LimitError, PrototxtError, UnsupportedError, did_you_mean
from cmodel.net import Net, UnknownField
from cmodel.proto import caffe_pb2

MAX_BYTES = 64 << 20
MAX_NESTING = 100
# Messages and unknown fields: what parsing costs in memory is bounded by this. The largest nets
# have some ten thousand.
MAX_MESSAGES = 250_000


@dataclass
class ParsedNet:
    """A NetParameter and the unknown fields met in it.

    unknown : those of the net itself.
    layer_unknown, layers_unknown : those of each entry of `layer` (V2) and `layers` (V0, V1), by
        index; their paths start inside the layer.
    type_places : line and column of each type in `layer`, by index.
    """

    message: caffe_pb2.NetParameter
    unknown: list[UnknownField] = field(default_factory=list)
    layer_unknown: dict[int, list[UnknownField]] = field(default_factory=dict)
    layers_unknown: dict[int, list[UnknownField]] = field(default_factory=dict)
    type_places: dict[int, tuple[int, int]] = field(default_factory=dict)


def read_prototxt(path: str | Path) -> ParsedNet:
    """Read a prototxt file; errors as `parse_prototxt`, and InputError where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"cannot read the prototxt: {error.strerror or error}", where=str(path)
        ) from None
    parsed = parse_prototxt(data, str(path))
    if not (parsed.message.ListFields() or parsed.unknown):
        what = "holds nothing but comments" if data.strip() else "is empty"
        raise PrototxtError(f"the file {what}", where=str(path))
    return parsed


def parse_prototxt(text: str | bytes, path: str = "<prototxt>") -> ParsedNet:
    """Parse a prototxt.

    Raises
    ------
    PrototxtError
        It does not parse; `where` is path:line:column.
    UnsupportedError
        A V1 layer has a type that Caffe's enumeration lacks.
    LimitError
        It is longer than 64 MiB, or holds more messages than any real one.
    """
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if len(data) > MAX_BYTES:
        raise LimitError(f"the prototxt is longer than {MAX_BYTES >> 20} MiB", where=path)
    parser = _Parser(Scanner(data, path))
    net = caffe_pb2.NetParameter()
    parsed = ParsedNet(net)
    parser.message(net, (), 0, None)
    parsed.type_places = {i: parser.scanner.position(at) for i, at in parser.types.items()}
    for place, unknown in parser.unknown:
        head, *rest = place or ("",)
        fields = {"layer": parsed.layer_unknown, "layers": parsed.layers_unknown}
        kind, _, index = head.partition("[")
        if kind in fields:
            entry = UnknownField(".".join(rest), unknown.text, b"", unknown.line, unknown.column)
            fields[kind].setdefault(int(index[:-1]), []).append(entry)
        else:
            parsed.unknown.append(unknown)
    return parsed


_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}
_BOOLS = {"true": True, "True": True, "t": True, "1": True}
_BOOLS |= {"false": False, "False": False, "f": False, "0": False}
_TYPE = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name["type"]
_CLOSING = {"{": "}", "<": ">"}
_REQUIRED = {
    name: [found.name for found in message.fields if found.is_required]
    for name, message in caffe_pb2.DESCRIPTOR.message_types_by_name.items()
}


class _Parser:
    """Recursive descent along the descriptors."""

    def __init__(self, scanner: Scanner) -> None:
        self.scanner = scanner
        # Place of the message (names with indices), and the field.
        self.unknown: list[tuple[tuple[str, ...], UnknownField]] = []
        self.messages = 0
        # Where the types of layers (V2) stand, by index.
        self.types: dict[int, int] = {}

    def fail(self, token: Token, expected: str, hint: str | None = None) -> NoReturn:
        self.scanner.fail(token.start, f"expected {expected}, found {token.shown}", hint)

    def message(
        self, target: Message, place: tuple[str, ...], depth: int, opened: Token | None
    ) -> None:
        """Read fields into `target` up to the bracket that closes `opened`, or to the end."""
        scanner = self.scanner
        closing = _CLOSING[opened.text] if opened else None
        while True:
            token = scanner.peek
            if token.text == closing and token.kind is Kind.PUNCTUATION:
                scanner.take()
                break
            if token.kind is Kind.END and opened is None:
                break
            if token.kind is Kind.END and opened is not None:
                line, _ = scanner.position(opened.start)
                self.fail(token, f"`{closing}` for the `{opened.text}` of line {line}")
            self.field(target, place, depth)
            if scanner.peek.text in (",", ";") and scanner.peek.kind is Kind.PUNCTUATION:
                scanner.take()
        for name in _REQUIRED.get(target.DESCRIPTOR.name, ()):
            if not target.HasField(name):
                start = opened.start if opened else 0
                scanner.fail(start, f"{target.DESCRIPTOR.name} needs the field `{name}`")

    def field(self, target: Message, place: tuple[str, ...], depth: int) -> None:
        """Read one field with all of its values."""
        scanner = self.scanner
        name = scanner.peek
        descriptor = target.DESCRIPTOR
        if name.kind is Kind.PUNCTUATION and name.text == "[":
            self.skip_unknown(place, depth)
            return
        if name.kind is not Kind.WORD:
            self.fail(name, f"a field of {descriptor.name}")
        found = cast("FieldDescriptor | None", descriptor.fields_by_name.get(name.text))
        if found is None:
            self.skip_unknown(place, depth)
            return
        scanner.take()
        repeated = found.is_repeated
        if not repeated and target.HasField(found.name):
            scanner.fail(name.start, f"`{name.text}` may stand only once in {descriptor.name}")
        colon = scanner.accept(":")
        is_message = found.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE
        if not colon and not is_message:
            hint = None
            if scanner.peek.text in _CLOSING:
                hint = f"`{name.text}` is one value of type {_type_name(found)}, no message"
            self.fail(scanner.peek, f"`:` after `{name.text}`", hint)
        if repeated and scanner.accept("["):
            if scanner.accept("]"):
                return
            while True:
                self.value(target, found, place, depth)
                if scanner.accept("]"):
                    return
                if not scanner.accept(","):
                    self.fail(scanner.peek, "`,` or `]` in the list")
        else:
            self.value(target, found, place, depth)

    def value(
        self, target: Message, found: FieldDescriptor, place: tuple[str, ...], depth: int
    ) -> None:
        """Read one value of a known field."""
        if found.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            opened = self.scanner.take()
            if opened.kind is not Kind.PUNCTUATION or opened.text not in _CLOSING:
                self.fail(opened, f"`{{` after `{found.name}`")
            self.check_depth(depth + 1, opened)
            self.count(opened)
            step = found.name
            if found.is_repeated:
                items = getattr(target, found.name)
                step = f"{step}[{len(items)}]"
                inner = items.add()
            else:
                inner = getattr(target, found.name)
                inner.SetInParent()
            self.message(inner, (*place, step), depth + 1, opened)
            return
        if found == _TYPE:
            self.types[int(place[0][len("layer[") : -1])] = self.scanner.peek.start
        value = self.scalar(found)
        if found.is_repeated:
            getattr(target, found.name).append(value)
        else:
            setattr(target, found.name, value)

    def count(self, token: Token) -> None:
        self.messages += 1
        if self.messages > MAX_MESSAGES:
            raise LimitError(
                f"the prototxt holds more than {MAX_MESSAGES:,} messages",
                where=self.scanner.where(token.start),
            )

    def check_depth(self, depth: int, token: Token) -> None:
        if depth > MAX_NESTING:
            self.scanner.fail(token.start, f"messages are nested deeper than {MAX_NESTING}")

    def scalar(self, found: FieldDescriptor) -> float | str | bytes:
        """Read a number, truth value, enumeration value or string."""
        kind = found.cpp_type
        if kind == FieldDescriptor.CPPTYPE_STRING:
            return self.string(found)
        token = self.scanner.peek
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return self.enumeration(found)
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            self.scanner.take()
            value = _BOOLS.get(token.text) if token.kind in (Kind.WORD, Kind.NUMBER) else None
            if value is None:
                self.fail(token, f"`true` or `false` for `{found.name}`")
            return value
        negative = self.scanner.accept("-")
        token = self.scanner.take()
        if kind in _INTEGERS:
            return self.integer(found, token, negative)
        number = _float(token)
        if number is None:
            self.fail(token, f"a number for `{found.name}`")
        if kind == FieldDescriptor.CPPTYPE_FLOAT:
            # One rounding, beyond the range to infinity, as C++ does.
            with np.errstate(over="ignore"):
                number = float(np.float32(number))
        return -number if negative else number

    def integer(self, found: FieldDescriptor, token: Token, negative: bool) -> int:
        value = _integer(token)
        if value is None:
            self.fail(token, f"a whole number for `{found.name}`")
        value = -value if negative else value
        low, high = _INTEGERS[found.cpp_type]
        if not low <= value <= high:
            self.scanner.fail(
                token.start, f"{value} is out of range for `{found.name}` ({_type_name(found)})"
            )
        return value

    def enumeration(self, found: FieldDescriptor) -> int:
        negative = self.scanner.accept("-")
        token = self.scanner.take()
        enum = cast("EnumDescriptor", found.enum_type)
        if token.kind is Kind.WORD and not negative:
            value = enum.values_by_name.get(token.text)
        else:
            number = _integer(token)
            if number is None:
                self.fail(token, f"a value of `{found.name}`")
            value = enum.values_by_number.get(-number if negative else number)
        if value is not None:
            return int(value.number)
        hint = did_you_mean(token.text, enum.values_by_name)
        if enum.name == "LayerType":
            raise UnsupportedError(
                f"there is no V1 layer type {token.text}",
                where=self.scanner.where(token.start),
                hint=hint or 'a layer of a fork can be given as V2: layer { type: "Name" }',
            )
        choices = ", ".join(enum.values_by_name)
        self.fail(token, f"a value of `{found.name}` ({choices})", hint)

    def string(self, found: FieldDescriptor) -> str | bytes:
        token = self.scanner.peek
        if token.kind is not Kind.STRING:
            self.fail(token, f"a string in quotes for `{found.name}`")
        parts = []
        while self.scanner.peek.kind is Kind.STRING:
            parts.append(self.scanner.unquote(self.scanner.take()))
        data = b"".join(parts)
        if found.type == FieldDescriptor.TYPE_BYTES:
            return data
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.scanner.fail(token.start, f"the string of `{found.name}` is not UTF-8")

    def skip_unknown(self, place: tuple[str, ...], depth: int) -> None:
        """Take a field that the schema lacks and keep its text."""
        scanner = self.scanner
        first = scanner.peek
        self.count(first)
        self.raw_name()
        colon = scanner.accept(":")
        if not colon and scanner.peek.text not in _CLOSING:
            self.fail(scanner.peek, f"`:` or `{{` after `{first.text}`")
        self.raw_value(depth)
        text = scanner.text_between(first.start, scanner.last_end)
        line, column = scanner.position(first.start)
        entry = UnknownField(".".join(place), text, b"", line, column)
        self.unknown.append((place, entry))

    def raw_name(self) -> None:
        """Take a name, or an extension's in brackets."""
        scanner = self.scanner
        if scanner.accept("["):
            while not scanner.accept("]"):
                token = scanner.take()
                if token.kind is not Kind.WORD and token.text not in (".", "/", "-"):
                    self.fail(token, "`]` after the extension's name")
            return
        token = scanner.take()
        if token.kind is not Kind.WORD:
            self.fail(token, "a field's name")

    def raw_value(self, depth: int) -> None:
        """Take any value."""
        scanner = self.scanner
        token = scanner.take()
        if token.kind is Kind.STRING:
            scanner.unquote(token)
            while scanner.peek.kind is Kind.STRING:
                scanner.unquote(scanner.take())
        elif token.kind is Kind.PUNCTUATION and token.text in _CLOSING:
            self.check_depth(depth + 1, token)
            while not scanner.accept(_CLOSING[token.text]):
                opener = scanner.peek
                self.raw_name()
                if not scanner.accept(":") and scanner.peek.text not in _CLOSING:
                    self.fail(scanner.peek, f"`:` or `{{` after `{opener.text}`")
                self.raw_value(depth + 1)
                if not scanner.accept(","):
                    scanner.accept(";")
        elif token.kind is Kind.PUNCTUATION and token.text == "[":
            self.check_depth(depth + 1, token)
            if scanner.accept("]"):
                return
            while True:
                self.raw_value(depth + 1)
                if scanner.accept("]"):
                    return
                if not scanner.accept(","):
                    self.fail(scanner.peek, "`,` or `]` in the list")
        elif token.kind is Kind.PUNCTUATION and token.text == "-":
            token = scanner.take()
            if token.kind not in (Kind.WORD, Kind.NUMBER):
                self.fail(token, "a number")
        elif token.kind not in (Kind.WORD, Kind.NUMBER):
            self.fail(token, "a value")


def _type_name(found: FieldDescriptor) -> str:
    names = {getattr(FieldDescriptor, f"TYPE_{name.upper()}"): name for name in _TYPE_NAMES}
    return names.get(found.type, "number")


_TYPE_NAMES = ("int32", "int64", "uint32", "uint64", "float", "double", "bool", "string", "enum")


def _integer(token: Token) -> int | None:
    """Value of a decimal, hexadecimal or octal number, None for anything else."""
    text = token.text
    if token.kind is not Kind.NUMBER or len(text) > 64:
        return None
    try:
        if text[:2] in ("0x", "0X"):
            return int(text[2:], 16)
        if len(text) > 1 and text[0] == "0":
            return int(text, 8)
        return int(text)
    except ValueError:
        return None


def _float(token: Token) -> float | None:
    """Value of a decimal number with or without the suffix f, of inf or nan."""
    text = token.text.lower()
    if token.kind is Kind.WORD:
        return {"inf": math.inf, "infinity": math.inf, "nan": math.nan}.get(text)
    if token.kind is not Kind.NUMBER or text.startswith("0x"):
        return None
    text = text.removesuffix("f")
    if text.isdecimal() and len(text) > 1 and text[0] == "0" and text.strip("0"):
        # Octal for an integer, an error for C++'s parser here.
        return None
    try:
        return float(text)
    except ValueError:
        return None


def print_prototxt(net: Net) -> str:
    """Return a net as prototxt: header, then layers; fields of forks at their places.

    Parameters are left out (`write_caffemodel` writes them), and so are unknown fields that came
    from a binary file: text has no form for them. Parsing the text gives the same tree.
    """
    lines: list[str] = []
    _print_message(lines, net.header, _by_path(net.unknown), "", "")
    for layer in net.layers:
        lines.append("layer {")
        _print_message(lines, layer.param, _by_path(layer.unknown), "", "  ")
        lines.append("}")
    return "\n".join(lines) + "\n" if lines else ""


def _by_path(unknown: Iterable[UnknownField]) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for entry in unknown:
        if entry.text:
            texts.setdefault(entry.path, []).append(entry.text)
    return texts


def _print_message(
    lines: list[str], message: Message, unknown: dict[str, list[str]], path: str, indent: str
) -> None:
    for found, value in message.ListFields():
        for i, item in enumerate(value if found.is_repeated else (value,)):
            if found.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE:
                lines.append(f"{indent}{found.name}: {_scalar(found, item)}")
                continue
            step = f"{found.name}[{i}]" if found.is_repeated else found.name
            inner = f"{path}.{step}" if path else step
            lines.append(f"{indent}{found.name} {{")
            _print_message(lines, item, unknown, inner, indent + "  ")
            lines.append(f"{indent}}}")
    lines += [indent + text for text in unknown.get(path, ())]


def _scalar(found: FieldDescriptor, value: Any) -> str:
    kind = found.cpp_type
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return str(cast("EnumDescriptor", found.enum_type).values_by_number[value].name)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return "true" if value else "false"
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return quote(value)
    if kind == FieldDescriptor.CPPTYPE_FLOAT:
        return str(np.float32(value)).removesuffix(".0")
    if kind == FieldDescriptor.CPPTYPE_DOUBLE:
        return repr(value).removesuffix(".0")
    return str(value)


_ESCAPES = {0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}


def quote(value: str | bytes) -> str:
    """Return a string or bytes as a quoted prototxt string."""
    if isinstance(value, str):
        return '"' + "".join(_escape(ord(c)) if ord(c) < 128 else c for c in value) + '"'
    return '"' + "".join(map(_escape, value)) + '"'


def _escape(code: int) -> str:
    return _ESCAPES.get(code) or (chr(code) if 32 <= code < 127 else f"\\{code:03o}")
