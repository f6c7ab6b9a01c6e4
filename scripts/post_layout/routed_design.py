"""A routed design in DEF: which pins each net connects, and where its wires run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from fewflips.errors import ToolError

from .plain_names import PlainNames

SUPPLIES = ("vdd", "gnd")


@dataclass(frozen=True)
class Wire:
    """A straight piece of wire.

    Parameters
    ----------
    layer : str
        Routing layer.
    length_um : float
        Between the centres of its ends, in um.
    width_um : float or None
        In um; None is the layer's default.
    """

    layer: str
    length_um: float
    width_um: float | None = None


@dataclass(frozen=True, eq=False)
class RoutedDesign:
    """What a DEF file says about signal nets.

    Parameters
    ----------
    cells : mapping of str to str
        Library cell of each component, fillers included.
    pins : mapping of (str, str) to str
        The net at each component's pin.
    wires : mapping of str to list of Wire
        Of each net.
    size_um : tuple of float
        Width and height of the die, in um.
    """

    cells: Mapping[str, str] = field(repr=False)
    pins: Mapping[tuple[str, str], str] = field(repr=False)
    wires: Mapping[str, list[Wire]] = field(repr=False)
    size_um: tuple[float, float]


def read_def(path: Path) -> RoutedDesign:
    """Read a routed design.

    Parameters
    ----------
    path : Path
        A DEF file as qrouter writes it.

    Returns
    -------
    RoutedDesign
        Supply nets are left out.

    Raises
    ------
    ToolError
        If the file is not a whole DEF.
    """
    try:
        text = path.read_text()
        return _design(text)
    except (OSError, ValueError, IndexError) as error:
        raise ToolError(f"{path}: expected a routed DEF file, got something else ({error}); route again") from error


def check_same_netlist(design: RoutedDesign, names: PlainNames) -> None:
    """See that the layout holds the netlist, pin by pin.

    Raises
    ------
    ToolError
        If placement or routing changed a connection, or left a cell out.
    """
    cells = {name: instance.cell for name, instance in zip(names.instances, names.netlist.instances, strict=True)}
    placed = {name: cell for name, cell in design.cells.items() if cell != "FILL"}
    if placed != cells:
        raise ToolError(f"{names.netlist.name}: expected {len(cells)} cells in the layout, got {len(placed)} or others")
    wrong = [pin for pin, net in names.pins.items() if design.pins.get(pin) != net]
    if wrong:
        cell, pin = wrong[0]
        raise ToolError(
            f"{names.netlist.name}: {len(wrong)} pins of the layout are on other nets than in the netlist, "
            f"{cell}/{pin} the first of them"
        )


def _design(text: str) -> RoutedDesign:
    if "END DESIGN" not in text:
        raise ValueError("it ends early")
    units = int(_first(r"^UNITS DISTANCE MICRONS (\d+) ;", text)[0])
    corners = [int(word) / units for word in _first(r"^DIEAREA \( (\S+) (\S+) \) \( (\S+) (\S+) \) ;", text)]
    pins: dict[tuple[str, str], str] = {}
    wires: dict[str, list[Wire]] = {}
    for section in ("NETS", "SPECIALNETS"):  # qrouter writes wires of odd width into the latter
        for statement in _statements(text, section):
            net = statement[1]
            if net in SUPPLIES:
                continue
            body = statement.index("+") if "+" in statement else len(statement)
            for at, word in enumerate(statement[:body]):
                if word == "(" and statement[at + 1] != "PIN":
                    pins[statement[at + 1], statement[at + 2]] = net
            wires.setdefault(net, []).extend(_wires(statement[body:], units))
    cells = {statement[1]: statement[2] for statement in _statements(text, "COMPONENTS")}
    return RoutedDesign(cells, pins, wires, (corners[2] - corners[0], corners[3] - corners[1]))


def _first(pattern: str, text: str) -> tuple[str, ...]:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise ValueError(f"no line {pattern}")
    return found.groups()


def _statements(text: str, section: str) -> Iterator[list[str]]:
    """The words of each statement of a section."""
    found = re.search(rf"^{section} \d+ ;$(.*?)^END {section}$", text, re.MULTILINE | re.DOTALL)
    for statement in found.group(1).split(";") if found else ():
        if words := statement.split():
            yield words


def _wires(words: list[str], units: int) -> Iterator[Wire]:
    """Pieces of wire in ``ROUTED layer [width] ( x y ) ( * y ) via NEW layer ...``."""
    starts = [at for at, word in enumerate(words) if word in ("ROUTED", "NEW")]
    for start, end in pairwise([*starts, len(words)]):
        layer = words[start + 1]
        width = int(words[start + 2]) / units if words[start + 2] != "(" else None
        x = y = None
        for at in range(start, end):
            if words[at] != "(":
                continue
            across, along = words[at + 1], words[at + 2]
            new_x = x if across == "*" else int(across)
            new_y = y if along == "*" else int(along)
            if new_x is None or new_y is None:
                raise ValueError(f"a wire on {layer} starts at ( {across} {along} )")
            if x is not None and y is not None and (new_x, new_y) != (x, y):
                yield Wire(layer, (abs(new_x - x) + abs(new_y - y)) / units, width)
            x, y = new_x, new_y
