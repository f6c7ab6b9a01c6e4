"""Reads mapped netlists: JSON from Yosys, and structural Verilog from any flow by way of Yosys."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from fewflips.errors import NetlistError
from fewflips.files.input_files import most_unpacked, read_plain, size_of
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.checks import check_left_out, check_netlist
from fewflips.gates.netlist.netlist import ONE_NET, ZERO_NET, Instance, Netlist
from fewflips.gates.netlist.yosys import Yosys, find_yosys

MOST_BYTES = 1 << 30
"""Size of the largest netlist file that is read."""

_MOST_BITS, _MOST_BITS_A_BYTE = 1 << 17, 256
"""Limit of the bits of all buses that a file names: a constant, and a further number for each byte of the file."""

_POWER = re.compile(r"(vdd|vcc|vpwr|vpb|vpp|vnw|pwr)[a-z]?\d*!?", re.IGNORECASE)
_GROUND = re.compile(r"(vss|vee|vgnd|vnb|vbb|vpw|vsubs?|gnd)[a-z]?\d*!?", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
# What makes Yosys read other files; macros can spell it. Yosys ignores carriage returns within words.
_READS_FILES = re.compile(
    rb"`\r*(?:i\r*n\r*c\r*l\r*u\r*d\r*e|d\r*e\r*f\r*i\r*n\r*e)(?![\w$])|(?<![\w$\\])\$readmem[bh](?![\w$])"
)
_RANGE = re.compile(rb"\[\s*(-?\d[\d_]{0,17})\s*:\s*(-?\d[\d_]{0,17})\s*\]")
_MODULE = re.compile(rb"(?m)^\s*module\s+(\\\S+|[A-Za-z_][\w$]*)")


_Bit = Annotated[int, Field(strict=True, ge=0, lt=2**63)] | Literal["0", "1", "x", "z"]


class _Port(BaseModel):
    direction: Literal["input", "output", "inout"]
    bits: list[_Bit]


class _Cell(BaseModel):
    hide_name: int = 0
    type: str
    connections: dict[str, list[_Bit]]


class _NetName(BaseModel):
    hide_name: int = 0
    bits: list[_Bit]
    offset: int = 0
    upto: int = 0


class _Module(BaseModel):
    attributes: dict[str, str] = {}
    ports: dict[str, _Port] = {}
    cells: dict[str, _Cell] = {}
    netnames: dict[str, _NetName] = {}


class _Design(BaseModel):
    modules: Annotated[dict[str, _Module], Field(default_factory=dict)]


def read_netlist(path: str | Path, library: CellLibrary, top: str | None = None, yosys: Yosys | None = None) -> Netlist:
    """Read and check structural Verilog from any flow.

    Hierarchy is flattened; an ``assign`` gives a net another name rather than making a cell; power pins, supply ports
    and cells without signal pins that the library does not know (fillers, taps) are left out.

    Parameters
    ----------
    path : str or Path
        Verilog of library cells, plain or gzipped.
    library : CellLibrary
        The cells.
    top : str, optional
        The top module; by default the one that no other module uses.
    yosys : Yosys, optional
        The Yosys to read it with; by default the one found.

    Returns
    -------
    Netlist
        The flat netlist, checked by :func:`~fewflips.gates.netlist.checks.check_netlist`.

    Raises
    ------
    NetlistError
        If the file cannot be read, uses macros or other files, has no such module, or cannot be simulated.
    ToolError
        If Yosys is missing, or does not understand the file.
    """
    path = Path(path)
    text = _file_content(path)
    _check_stands_alone(path, text)
    _check_widths(path, text)
    modules = {_unescaped(name.decode("utf-8", "replace")) for name in _MODULE.findall(text)}
    known = {*library.cells, *library.left_out}
    if not modules - known:
        raise NetlistError(f"{path}: expected structural Verilog, found no module in it; give a mapped netlist")
    if top is not None and top not in modules:
        raise NetlistError(f"{path}: expected a module {top}, found {_listed(sorted(modules))}; name one of these")
    if top is not None and not _PLAIN_NAME.fullmatch(top):
        raise NetlistError(f"{path}: expected a top module with a plain name, got {top!r}; rename it")
    # Models of cells that the file contains. Names become arguments of commands here, so only plain ones are passed.
    models = "".join(f"delete {name}\n" for name in sorted(modules & known) if _PLAIN_NAME.fullmatch(name))
    chosen = "-auto-top" if top is None else f"-top {top}"
    script = f"read_verilog netlist.v\n{models}hierarchy {chosen}\nproc\nflatten\nwrite_json netlist.json\n"
    written = (yosys or find_yosys()).run(script, {"netlist.v": text})
    netlist = netlist_from_json(written.get("netlist.json", b""), library, top)
    check_netlist(netlist, library)
    return netlist


def netlist_from_json(text: bytes, library: CellLibrary, top: str | None = None) -> Netlist:
    """Turn the output of Yosys' ``write_json`` for a flat design into a netlist.

    A net with several names gets that of an input port, else of an output port, else the shortest one that the author
    gave. Nets and cells with only generated names are called ``n2``, ``n3``, ... and ``u1``, ``u2``, ...

    Parameters
    ----------
    text : bytes
        The JSON text.
    library : CellLibrary
        Distinguishes supply pins from signal pins. Cells that it lacks are kept, for the check to find.
    top : str, optional
        The module; by default the one marked as top, or the only one.

    Returns
    -------
    Netlist
        Not yet checked.

    Raises
    ------
    NetlistError
        If the text is not of this format, or has no such module.
    """
    try:
        design = _Design.model_validate_json(text)
    except (ValidationError, RecursionError) as error:
        raise NetlistError("netlist: expected JSON of Yosys' write_json, got something else; write it again") from error
    name = _top_module(design, top)
    check_left_out(name, (cell.type for cell in design.modules[name].cells.values()), library)
    return _Reading(name, design.modules[name], library).netlist()


def reduced_json(text: bytes) -> bytes:
    """Reduce such a text to what :func:`netlist_from_json` reads of it; the netlist is the same.

    Parameters
    ----------
    text : bytes
        Output of Yosys' ``write_json``.

    Returns
    -------
    bytes
        JSON.
    """
    return _Design.model_validate_json(text).model_dump_json(exclude_defaults=True).encode()


class _Reading:
    """Numbers the nets of a module, and collects its cells and ports."""

    def __init__(self, name: str, module: _Module, library: CellLibrary) -> None:
        self.name, self.module, self.library = name, module, library
        self.numbers: dict[int | str, int] = {"0": ZERO_NET, "1": ONE_NET}
        self.names = ["1'b0", "1'b1"]
        self.supplies = self._supplies()
        # Nets and instances share one namespace in Verilog.
        self.taken = {name for name, net in module.netnames.items() if not net.hide_name}
        self.taken.update(name for name, cell in module.cells.items() if not cell.hide_name)

    def netlist(self) -> Netlist:
        cells = {
            name: pins for name, cell in self.module.cells.items() if (pins := self._signal_pins(cell)) is not None
        }
        self._number_and_name(self._bits_in_use(cells))
        fresh = (name for number in count(1) if (name := f"u{number}") not in self.taken)
        instances = tuple(
            Instance(
                next(fresh) if self.module.cells[name].hide_name else name,
                self.module.cells[name].type,
                {pin: self.numbers[bit] for pin, bit in pins.items()},
            )
            for name, pins in cells.items()
        )
        return Netlist(self.name, tuple(self.names), instances, self._ports("input"), self._ports("output"))

    def _supplies(self) -> dict[int | str, str]:
        """Supply ports' nets, and undriven nets that are named like supplies, with their values."""
        driven = {
            bit
            for cell in self.module.cells.values()
            for pin, bits in cell.connections.items()
            if self._direction(cell.type, pin) == "output"
            for bit in bits
        }
        driven.update(
            bit
            for name, port in self.module.ports.items()
            if port.direction == "input" and _supply_value(name) is None
            for bit in port.bits
        )
        supplies: dict[int | str, str] = {}
        for name, net in self.module.netnames.items():
            value = _supply_value(name)
            if value is not None and len(net.bits) == 1 and isinstance(net.bits[0], int) and net.bits[0] not in driven:
                supplies[net.bits[0]] = value
                self.numbers[net.bits[0]] = int(value)
        return supplies

    def _direction(self, cell: str, pin: str) -> str | None:
        known = self.library.cells.get(cell)
        found = known.pins.get(pin) if known is not None else None
        return found.direction if found is not None else None

    def _signal_pins(self, cell: _Cell) -> dict[str, int | str] | None:
        """Connected pins without supplies; None for a cell that only fills space."""
        pins: dict[str, int | str] = {}
        for pin, bits in cell.connections.items():
            known = self._direction(cell.type, pin) is not None
            if not bits or (not known and _supply_value(pin) is not None):
                continue
            if len(bits) > 1:
                raise NetlistError(
                    f"netlist {self.name}: expected one net at each pin, got {len(bits)} at pin {pin} of a "
                    f"{cell.type}; connect pins bit by bit"
                )
            if bits[0] not in ("x", "z"):
                pins[pin] = bits[0]
        return pins if pins or cell.type in self.library.cells else None

    def _bits_in_use(self, cells: Mapping[str, Mapping[str, int | str]]) -> list[int]:
        used = {bit for pins in cells.values() for bit in pins.values()}
        used.update(bit for port in self.module.ports.values() for bit in port.bits)
        return sorted(bit for bit in used if isinstance(bit, int) and bit not in self.supplies)

    def _number_and_name(self, order: list[int]) -> None:
        """Number nets after the constants, and give each its best name; names are made unique."""
        self.numbers.update((bit, number) for number, bit in enumerate(order, start=len(self.names)))
        best: dict[int | str, tuple[int, int, str]] = {}
        for name, net in self.module.netnames.items():
            if net.hide_name:
                continue
            port = self.module.ports.get(name)
            rank = 2 if port is None else 0 if port.direction == "input" else 1
            for bit, bit_name in zip(net.bits, _bit_names(name, net), strict=True):
                if bit not in self.numbers:  # nothing is connected to it
                    continue
                candidate = (rank, len(bit_name), bit_name)
                if bit not in best or candidate < best[bit]:
                    best[bit] = candidate
        used: set[str] = set()
        for bit in order:
            name = best[bit][2] if bit in best else f"n{self.numbers[bit]}"
            while name in used or (bit not in best and name in self.taken):
                name += "_"
            used.add(name)
            self.names.append(name)

    def _ports(self, direction: str) -> dict[str, tuple[int, ...]]:
        ports: dict[str, tuple[int, ...]] = {}
        for name, port in self.module.ports.items():
            if _supply_value(name) is not None and all(bit in self.supplies for bit in port.bits):
                continue
            if port.direction == "inout":
                raise NetlistError(
                    f"netlist {self.name}: expected ports that are inputs or outputs, got {name}, an inout; "
                    "only supplies may be inout"
                )
            if port.direction == direction:
                undefined = [bit for bit in port.bits if bit in ("x", "z")]
                if undefined:
                    raise NetlistError(f"netlist {self.name}: expected a driver of port {name}, got none; connect it")
                ports[name] = tuple(self.numbers[bit] for bit in port.bits)
        return ports


def _bit_names(name: str, net: _NetName) -> Iterator[str]:
    """Names of a net's bits, least significant first; Yosys does not distinguish a one-bit bus from a single net."""
    width = len(net.bits)
    if width == 1 and not net.offset:
        yield name
        return
    for position in range(width):
        index = width - 1 - position if net.upto else position
        yield f"{name}[{net.offset + index}]"


def _top_module(design: _Design, top: str | None) -> str:
    if top is not None and top in design.modules:
        return top
    marked = [name for name, module in design.modules.items() if "top" in module.attributes]
    candidates = marked or list(design.modules)
    if top is not None or len(candidates) != 1:
        raise NetlistError(
            f"netlist: expected {'one module' if top is None else f'a module {top}'}, "
            f"found {_listed(sorted(design.modules))}; name the top module"
        )
    return candidates[0]


def _supply_value(name: str) -> str | None:
    """Logic value of a supply by its usual names, or None."""
    if _POWER.fullmatch(name):
        return "1"
    return "0" if _GROUND.fullmatch(name) else None


def _file_content(path: Path) -> bytes:
    try:
        if size_of(path) > MOST_BYTES:
            raise NetlistError(f"{path}: expected a netlist of at most {MOST_BYTES >> 20} MiB, got a larger file")
        content = read_plain(path)
        if content[:2] == b"\x1f\x8b":
            most = most_unpacked(len(content), MOST_BYTES)
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
                content = stream.read(most + 1)
            if len(content) > most:
                raise NetlistError(
                    f"{path}: expected a netlist of at most {most >> 20} MiB unpacked, got more: unpack it first"
                )
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a whole gzip file"
        raise NetlistError(f"cannot read the netlist {path}: {reason}; expected structural Verilog") from error
    return content


def _check_stands_alone(path: Path, text: bytes) -> None:
    """Refuse anything that makes Yosys read other files, even in comments: versions differ in where comments end."""
    if b"\0" in text:
        raise NetlistError(f"{path}: expected structural Verilog, got binary data; give a mapped netlist")
    found = _READS_FILES.search(text)
    if found is not None:
        line = 1 + text.count(b"\n", 0, found.start())
        shown = found.group().replace(b"\r", b"").decode()
        raise NetlistError(
            f"{path}: line {line}: expected a netlist without macros and other files, got {shown}; write it out by a "
            "preprocessor, and remove such words from comments too"
        )


def _check_widths(path: Path, text: bytes) -> None:
    """Refuse short files that declare millions of nets, which Yosys would write out one by one."""
    bits = sum(abs(int(left) - int(right)) + 1 for left, right in _RANGE.findall(text))
    if bits > _MOST_BITS + _MOST_BITS_A_BYTE * len(text):
        raise NetlistError(
            f"{path}: expected the buses of a mapped netlist, got {bits} bits of them in {len(text)} bytes; give "
            "a netlist without unused buses"
        )


def _unescaped(name: str) -> str:
    return name[1:] if name.startswith("\\") else name


def _listed(names: list[str]) -> str:
    return "none" if not names else ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
