"""Tokens of protobuf's text format, each with its place."""

from __future__ import annotations

import re
from bisect import bisect_right
from enum import Enum, auto
from typing import NamedTuple, NoReturn

from cmodel.errors import LimitError, PrototxtError

# What a walk costs in time is bounded by this. The largest nets have some 200,000.
MAX_TOKENS = 2_000_000


class Kind(Enum):
    """What a token is."""

    WORD = auto()
    NUMBER = auto()
    STRING = auto()
    PUNCTUATION = auto()
    END = auto()


class Token(NamedTuple):
    """A token: `text` as it stands (a string with its quotes), from character `start`."""

    kind: Kind
    text: str
    start: int

    @property
    def shown(self) -> str:
        """How an error message names it."""
        if self.kind is Kind.END:
            return "the end of the file"
        return f"`{self.text if len(self.text) <= 40 else self.text[:37] + '...'}`"


_TOKEN = re.compile(
    r"""
    (?P<WORD> [A-Za-z_][A-Za-z0-9_]* )
  | (?P<NUMBER> 0[xX][0-9A-Fa-f]+
              | (?: [0-9]+ (?:\.[0-9]*)? | \.[0-9]+ ) (?:[eE][+-]?[0-9]+)? [fF]? )
  | (?P<STRING> " [^"\\\n]*+ (?: \\. [^"\\\n]*+ )*+ " | ' [^'\\\n]*+ (?: \\. [^'\\\n]*+ )*+ ' )
  | (?P<PUNCTUATION> [][{}<>:;,./-] )
    """,
    re.VERBOSE,
)
_SKIP = re.compile(r"(?:[ \t\r\n\f\v]++|\#[^\n]*+)*+")
_ESCAPE = re.compile(
    rb"\\(?:([0-7]{1,3})|[xX]([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL
)
_SIMPLE = dict(zip(b"abfnrtv\\'\"?", b"\a\b\f\n\r\t\v\\'\"?", strict=True))


class Scanner:
    """Gives the tokens of a text one after another, with one token of look-ahead."""

    def __init__(self, data: bytes, path: str) -> None:
        self.path = path
        # Comments in old encodings are common; a string that is not UTF-8 is found when it is read.
        self.text = data.removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape")
        self.last_end = 0
        self._at = 0
        self._tokens = 0
        self._line_starts: list[int] | None = None
        if b"\0" in data[:512]:
            self.fail(0, "this is a binary file, not a prototxt", "weights are given after the net")
        if "\0" in self.text:
            self.fail(self.text.index("\0"), "the text holds a NUL character")
        if data.startswith(b"version https://git-lfs"):
            self.fail(
                0, "this is a Git LFS pointer, not the file itself", "fetch it with `git lfs pull`"
            )
        self.peek = self._next()

    def take(self) -> Token:
        """Return the next token and go on."""
        token = self.peek
        self.last_end = token.start + len(token.text)
        if token.kind is not Kind.END:
            self.peek = self._next()
        return token

    def accept(self, punctuation: str) -> bool:
        """Take the next token if it is this one."""
        if self.peek.kind is Kind.PUNCTUATION and self.peek.text == punctuation:
            self.take()
            return True
        return False

    def _next(self) -> Token:
        skipped = _SKIP.match(self.text, self._at)
        start = skipped.end() if skipped else self._at
        if start == len(self.text):
            self._at = start
            return Token(Kind.END, "", start)
        found = _TOKEN.match(self.text, start)
        if found is None or found.lastgroup is None:
            char = self.text[start]
            if char in "\"'":
                self.fail(start, "the string has no end", f"close it with {char} on the same line")
            self.fail(start, f"the character {char!r} has no meaning here")
        self._at = found.end()
        self._tokens += 1
        if self._tokens > MAX_TOKENS:
            raise LimitError(
                f"the prototxt has more than {MAX_TOKENS:,} words, numbers and signs",
                where=self.where(start),
                hint="weights belong into a caffemodel",
            )
        if found.lastgroup == "NUMBER" and self._at < len(self.text):
            following = self.text[self._at]
            if following == "_" or (following.isascii() and following.isalnum()):
                self.fail(start, f"the number {found.group()!r} runs into {following!r}")
        return Token(Kind[found.lastgroup], found.group(), start)

    def unquote(self, token: Token) -> bytes:
        """Return the bytes of a string token."""

        def replace(match: re.Match[bytes]) -> bytes:
            octal, hexadecimal, short, long, char = match.groups()
            if octal:
                value = int(octal, 8)
            elif hexadecimal:
                value = int(hexadecimal, 16)
            elif char:
                if char[0] not in _SIMPLE:
                    self.fail(token.start, f"the string has the unknown escape \\{chr(char[0])}")
                value = _SIMPLE[char[0]]
            else:
                point = int(short or long, 16)
                try:
                    return chr(point).encode()
                except (ValueError, UnicodeEncodeError):
                    self.fail(token.start, f"there is no character U+{point:04X}")
            if value > 255:
                self.fail(token.start, f"the string has the escape \\{octal.decode()} above 255")
            return bytes((value,))

        body = token.text[1:-1].encode(errors="surrogateescape")
        return _ESCAPE.sub(replace, body) if b"\\" in body else body

    def text_between(self, start: int, end: int) -> str:
        """Return a piece of the text, which has to be UTF-8."""
        text = self.text[start:end]
        for i, char in enumerate(text) if not text.isascii() else ():
            if "\ud800" <= char <= "\udfff":
                self.fail(start + i, "an unknown field holds a byte that is not UTF-8")
        return text

    def position(self, at: int) -> tuple[int, int]:
        """Line and column of a character, both from 1."""
        if self._line_starts is None:
            self._line_starts = [0, *(m.end() for m in re.finditer("\n", self.text))]
        line = bisect_right(self._line_starts, at)
        return line, at - self._line_starts[line - 1] + 1

    def where(self, at: int) -> str:
        """Return path:line:column."""
        line, column = self.position(at)
        return f"{self.path}:{line}:{column}"

    def fail(self, at: int, what: str, hint: str | None = None) -> NoReturn:
        """Raise a PrototxtError about the text at a character."""
        raise PrototxtError(what, where=self.where(at), hint=hint)
