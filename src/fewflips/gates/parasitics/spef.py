"""Reads wire capacitances from SPEF (IEEE Std 1481-1999 and -2009), plain or gzipped.

A net's capacitance is the sum of its ``*CAP`` section: capacitances to ground, and those to neighbours, which count
once as capacitance to ground for this net. A net without such entries (a reduced or lumped net) has the total of its
``*D_NET`` line. The cells' pins on a net are those of its ``*CONN`` section. Resistances are not read.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from fewflips.errors import ParasiticsError
from fewflips.files.input_files import most_unpacked, open_plain, size_of

MOST_BYTES = 4 << 30
"""Largest SPEF text that is read."""

_LONGEST_LINE = 1 << 20
_CHUNK = 1 << 16
_FARADS = {"F": 1.0, "MF": 1e-3, "UF": 1e-6, "NF": 1e-9, "PF": 1e-12, "FF": 1e-15}
_BRACKETS = {"[": "]", "{": "}", "(": ")", "<": ">"}
_INDEX = re.compile(r"\*\d+")
_TOKEN = re.compile(r'"[^"]*"|\S+')
_NETS = ("*D_NET", "*R_NET")


@dataclass(frozen=True, eq=False)
class Spef:
    """Extracted wires of a design.

    Parameters
    ----------
    source : str
        File name.
    design : str
        The design's name in the file.
    net_ff : mapping of str to float
        Capacitance of each net's wires in fF, by the net's Verilog name: without escapes, with bits as
        ``bus[3]`` and levels of hierarchy joined by the file's own divider.
    net_pins : mapping of str to frozenset of str
        Cells' pins on each net, as ``instance:pin``, by the net's name; nets without pins are absent.
    """

    source: str
    design: str
    net_ff: Mapping[str, float] = field(repr=False)
    net_pins: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)


def read_spef(path: str | Path) -> Spef:
    """Read a SPEF file.

    Parameters
    ----------
    path : str or Path
        Plain or gzipped.

    Returns
    -------
    Spef
        The capacitance of every net, and its pins.

    Raises
    ------
    ParasiticsError
        If the file cannot be read, is truncated, or is not SPEF.
    """
    path = Path(path)
    try:
        with open_plain(path) as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            text = gzip.GzipFile(fileobj=plain) if zipped else plain
            most = most_unpacked(size_of(path), MOST_BYTES) if zipped else MOST_BYTES
            return _Reading(path).read(_statements(text, path, most))
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.strerror:
            raise ParasiticsError(f"cannot read {path}: {error.strerror}; expected a SPEF file") from error
        raise ParasiticsError(f"{path}: expected a whole gzip file, got a damaged one; write it again") from error


def _statements(stream: IO[bytes] | gzip.GzipFile, path: Path, most: int) -> Iterator[tuple[int, str]]:
    """Non-empty lines, with their numbers."""
    size, number, rest = 0, 0, b""
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if size > most:
            raise ParasiticsError(f"{path}: expected at most {most >> 20} MiB of SPEF, got more; unpack it first")
        chunk = rest + chunk
        if chunk.isspace():  # a small file may unpack to nothing but empty lines
            number += chunk.count(b"\n")
            rest = chunk[chunk.rfind(b"\n") + 1 :]
            _check_length(rest, path)
            continue
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            number += 1
            if line.strip():
                yield number, _text(line, path)
        _check_length(rest, path)
    if rest.strip():
        yield number + 1, _text(rest, path)


def _text(line: bytes, path: Path) -> str:
    _check_length(line, path)
    return line.decode("utf-8", "replace")


def _check_length(line: bytes, path: Path) -> None:
    if len(line) >= _LONGEST_LINE:
        raise ParasiticsError(f"{path}: expected lines of at most {_LONGEST_LINE} bytes of SPEF, got a longer one")


class _Reading:
    """State while a file is read line by line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 0
        self.design: str | None = None
        self.unit_ff: float | None = None
        self.bus, self.delimiter = "[]", ":"
        self.names: dict[str, str] = {}
        self.net_ff: dict[str, float] = {}
        self.net_pins: dict[str, frozenset[str]] = {}
        self.pins: set[str] = set()
        self.net: str | None = None
        self.total_ff = 0.0
        self.caps_ff: float | None = None
        self.section = ""

    def read(self, lines: Iterator[tuple[int, str]]) -> Spef:
        for line, text in lines:
            first = self.line == 0
            self.line = line
            if first and not text.lstrip("\ufeff \t").startswith(("*SPEF", "//")):
                raise self._error("expected *SPEF at its start", _shown(text))
            tokens = _TOKEN.findall(text.split("//", 1)[0] if '"' not in text else text)
            if tokens:
                self._statement(tokens)
        if self.net is not None:
            raise self._error(f"expected *END of net {self.net}", "the file's end; it is truncated")
        if self.design is None or self.unit_ff is None:
            raise self._error("expected a header with *DESIGN and *C_UNIT", "none")
        if not self.net_ff:
            raise self._error("expected nets", "none; it is truncated, or was written before routing")
        return Spef(str(self.path), self.design, self.net_ff, self.net_pins)

    def _statement(self, tokens: list[str]) -> None:
        keyword = tokens[0]
        if keyword == "*END":
            self._end_net()
        elif keyword in _NETS:
            self._begin_net(tokens)
        elif self.net is not None:
            self._net_statement(tokens)
        elif keyword == "*NAME_MAP":
            self.section = keyword
        elif self.section == "*NAME_MAP" and _INDEX.fullmatch(keyword):
            if len(tokens) < 2:
                raise self._error(f"expected a name for {keyword}", "none")
            self.names[keyword] = tokens[1]
        else:
            self._header(tokens)

    def _header(self, tokens: list[str]) -> None:
        keyword, values = tokens[0], tokens[1:]
        self.section = keyword if keyword.startswith("*") and not _INDEX.fullmatch(keyword) else self.section
        if keyword == "*DESIGN":
            self.design = " ".join(values).strip('"') or "without a name"
        elif keyword == "*C_UNIT":
            farads = _FARADS.get(values[1].upper()) if len(values) == 2 else None
            if farads is None:
                raise self._error("expected a number and a unit such as PF after *C_UNIT", _shown(" ".join(values)))
            self.unit_ff = self._number(values[0]) * farads * 1e15
        elif keyword == "*DELIMITER":
            self.delimiter = values[0] if values else ":"
        elif keyword == "*BUS_DELIMITER":
            opening = values[0] if values else ""
            closing = values[1] if len(values) > 1 else _BRACKETS.get(opening[:1], "")
            self.bus = (opening[:1] + closing[:1]) if opening and closing else ""

    def _begin_net(self, tokens: list[str]) -> None:
        if self.net is not None:
            raise self._error(f"expected *END of net {self.net}", f"another {tokens[0]}")
        if self.unit_ff is None:
            raise self._error("expected *C_UNIT before the first net", "none")
        if len(tokens) < 3:
            raise self._error(f"expected a net and its capacitance after {tokens[0]}", _shown(" ".join(tokens[1:])))
        self.net, self.pins = self._name(tokens[1]), set()
        self.total_ff, self.caps_ff, self.section = self._number(tokens[2]) * self.unit_ff, None, ""

    def _net_statement(self, tokens: list[str]) -> None:
        if tokens[0] in ("*CAP", "*CONN", "*RES", "*INDUC"):
            self.section = tokens[0]
        elif self.section == "*CAP":
            self._capacitor(tokens)
        elif self.section == "*CONN" and tokens[0] == "*I" and len(tokens) > 1:
            instance, found, pin = tokens[1].rpartition(self.delimiter)
            if found:
                self.pins.add(f"{self._name(instance)}:{pin}")

    def _capacitor(self, tokens: list[str]) -> None:
        """``1 node value`` to ground, or ``1 node other value`` to a neighbour."""
        if len(tokens) < 3 or self.unit_ff is None:
            raise self._error("expected a number, a node and a capacitance", _shown(" ".join(tokens)))
        values = [token for token in tokens[1:] if not token.startswith("*SC")]
        value = values[2] if len(values) > 2 and not _is_number(values[1]) else values[1]
        self.caps_ff = (self.caps_ff or 0.0) + self._number(value) * self.unit_ff

    def _end_net(self) -> None:
        if self.net is None:
            raise self._error("expected a net before *END", "none")
        self.net_ff[self.net] = self.total_ff if self.caps_ff is None else self.caps_ff
        if self.pins:
            self.net_pins[self.net] = frozenset(self.pins)
        self.net, self.section = None, ""

    def _name(self, token: str) -> str:
        if _INDEX.fullmatch(token):
            if token not in self.names:
                raise self._error(f"expected {token} in *NAME_MAP", "no such entry; it is damaged")
            token = self.names[token]
        if self.bus and token.endswith(self.bus[1]):
            token = re.sub(rf"{re.escape(self.bus[0])}(\d+){re.escape(self.bus[1])}$", r"[\1]", token)
        return token.replace("\\", "")

    def _number(self, token: str) -> float:
        """A value; for a triplet of corners (``min:typical:max``), the typical one."""
        corners = token.split(":")
        chosen = corners[1] if len(corners) == 3 else corners[0]
        try:
            value = float(chosen)
        except ValueError:
            raise self._error("expected a capacitance", _shown(token)) from None
        if not (math.isfinite(value) and value >= 0):
            raise self._error("expected a capacitance from 0 up", _shown(token))
        return value

    def _error(self, expected: str, got: str) -> ParasiticsError:
        return ParasiticsError(f"{self.path}: line {self.line}: {expected}, got {got}; expected SPEF (IEEE 1481)")


def _is_number(token: str) -> bool:
    try:
        float(token.split(":")[0])
    except ValueError:
        return False
    return True


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 60 else text[:57] + "...")
