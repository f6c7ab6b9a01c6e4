"""Probabilities of the states for which a library gives figures: ``when`` conditions, and sensitized pins.

Pins are assumed independent, each 1 for its share of the time. A flip-flop's stored bit is a variable like an input
pin, and its outputs follow from it, so that Q and QN are never equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from fewflips.gates.liberty.cells import Cell
from fewflips.gates.liberty.functions import check_length, names_in, truth_table

Duties = Callable[[str], NDArray[np.float64]]
"""Gives the share of time, float64 (I,), that a variable (an input pin or the stored bit) is 1 in each instance."""

_NAME = re.compile(r"[A-Za-z_]\w*")


def condition_probability(cell: Cell, when: str, duties: Duties) -> NDArray[np.float64]:
    """Share of time in which a ``when`` condition holds, float64 (I,) for I instances.

    Raises
    ------
    CellLibraryError
        If the condition is malformed or uses names that are not pins.
    """
    return _probability(*_tabulated(over_variables(cell, when)), duties)


def sensitized_probability(cell: Cell, function: str, pin: str, duties: Duties) -> NDArray[np.float64] | None:
    """Share of time in which a change of an input pin changes an output: the Boolean difference of its function.

    Returns
    -------
    ndarray of float64, shape (I,), or None
        None if the function does not use the pin; a register's function does not use its clock, for example.

    Raises
    ------
    CellLibraryError
        If the function is malformed or uses names that are not pins.
    """
    names, table = _tabulated(over_variables(cell, function))
    if pin not in names:
        return None
    others = tuple(name for name in names if name != pin)
    table = truth_table(over_variables(cell, function), (*others, pin))
    half = 1 << len(others)
    difference = (table >> half) ^ (table & ((1 << half) - 1))
    return _probability(others, difference, duties)


def over_variables(cell: Cell, expression: str) -> str:
    """An expression with output pins replaced by their functions, and the inverted state by the stored bit.

    Examples
    --------
    >>> from fewflips.gates.liberty.cells import FlipFlop, Pin
    >>> pins = {"D": Pin("D", "input"), "QN": Pin("QN", "output", function="IQN")}
    >>> over_variables(Cell("DFF", 1.0, 1.0, pins, FlipFlop("IQ", "IQN", "CK", "D")), "D & !QN")
    'D & !((!IQ))'
    """
    functions = {
        pin.name: f"({pin.function})"
        for pin in cell.pins.values()
        if pin.direction == "output" and pin.function is not None
    }
    states = {} if cell.flip_flop is None else {cell.flip_flop.inverted_state: f"(!{cell.flip_flop.state})"}
    for replacements in (functions, states):
        check_length(expression)
        names = (name.group() for name in _NAME.finditer(expression))
        added = sum(len(replacements[name]) - len(name) for name in names if name in replacements)
        check_length(expression, added)
        expression = _NAME.sub(partial(_replaced, replacements), expression)
    return expression


def _replaced(replacements: Mapping[str, str], name: re.Match[str]) -> str:
    return replacements.get(name.group(), name.group())


@lru_cache(maxsize=4096)
def _tabulated(expression: str) -> tuple[tuple[str, ...], int]:
    names = names_in(expression)
    return names, truth_table(expression, names)


def _probability(names: tuple[str, ...], table: int, duties: Duties) -> NDArray[np.float64]:
    """Probability that a truth table gives 1."""
    ones = np.array([(table >> row) & 1 for row in range(1 << len(names))], dtype=np.float64)
    if not names:
        return ones
    values: NDArray[np.float64] = ones[None, :]
    for name in reversed(names):  # the last name is the highest bit of a row's number
        duty = duties(name)[:, None]
        half = values.shape[1] // 2
        values = values[:, :half] * (1 - duty) + values[:, half:] * duty
    return values[:, 0]
