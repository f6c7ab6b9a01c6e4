"""The functions that kernels evaluate directly, and how every other truth table is composed of them.

Kernels support a few functions without inversions. A gate whose truth table is one of them, up to the order of its
inputs and an inversion of its output, is one step. Any other gate takes several steps: inverters at the inputs, or a
multiplexer between the two halves of its table (Shannon's expansion).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from itertools import permutations, product


class Function(IntEnum):
    """What a step of the program computes from its operands a, b, c, d."""

    COPY = 0
    AND2 = 1
    OR2 = 2
    XOR2 = 3
    AND3 = 4
    OR3 = 5
    XOR3 = 6
    MAJORITY = 7
    MULTIPLEX = 8  # c ? b : a
    AND_OR = 9  # (a and b) or c
    OR_AND = 10  # (a or b) and c
    AND4 = 11
    OR4 = 12
    AND2_OR2 = 13  # (a and b) or (c and d)
    OR2_AND2 = 14  # (a or b) and (c or d)
    AND_OR3 = 15  # (a and b) or c or d
    OR_AND3 = 16  # (a or b) and c and d


def _columns(count: int) -> list[int]:
    """Truth table of each input by itself."""
    return [sum(1 << i for i in range(1 << count) if i >> j & 1) for j in range(count)]


def _tables() -> dict[Function, tuple[int, int]]:
    """Inputs and truth table of every function."""
    (a1,) = _columns(1)
    a2, b2 = _columns(2)
    a, b, c = _columns(3)
    p, q, r, s = _columns(4)
    return {
        Function.COPY: (1, a1),
        Function.AND2: (2, a2 & b2),
        Function.OR2: (2, a2 | b2),
        Function.XOR2: (2, a2 ^ b2),
        Function.AND3: (3, a & b & c),
        Function.OR3: (3, a | b | c),
        Function.XOR3: (3, a ^ b ^ c),
        Function.MAJORITY: (3, a & b | a & c | b & c),
        Function.MULTIPLEX: (3, a & ~c | b & c),
        Function.AND_OR: (3, a & b | c),
        Function.OR_AND: (3, (a | b) & c),
        Function.AND4: (4, p & q & r & s),
        Function.OR4: (4, p | q | r | s),
        Function.AND2_OR2: (4, p & q | r & s),
        Function.OR2_AND2: (4, (p | q) & (r | s)),
        Function.AND_OR3: (4, p & q | r | s),
        Function.OR_AND3: (4, (p | q) & r & s),
    }


@dataclass(frozen=True)
class Match:
    """How a truth table corresponds to one of the functions.

    Parameters
    ----------
    function : Function
        The function.
    inputs : tuple of int
        For each operand of the function, the truth table's input.
    inverted : tuple of bool
        For each operand, whether it is inverted.
    inverts : bool
        Whether the result is inverted.
    """

    function: Function
    inputs: tuple[int, ...]
    inverted: tuple[bool, ...]
    inverts: bool


@cache
def _matches(count: int) -> dict[int, Match]:
    """Every truth table of `count` inputs that one function computes, with the fewest inverted operands."""
    matches: dict[int, Match] = {}
    everything = (1 << (1 << count)) - 1
    for inverted in sorted(product((False, True), repeat=count), key=sum):
        for function, (inputs, table) in _tables().items():
            if inputs != count:
                continue
            for order in permutations(range(count)):
                moved = _rearranged(table, count, order, inverted)
                matches.setdefault(moved, Match(function, order, inverted, False))
                matches.setdefault(moved ^ everything, Match(function, order, inverted, True))
    return matches


def _rearranged(table: int, count: int, order: tuple[int, ...], inverted: tuple[bool, ...]) -> int:
    """The table over inputs when operand j takes input ``order[j]``, inverted or not."""
    result = 0
    for row in range(1 << count):
        operands = sum(((row >> order[j] & 1) ^ inverted[j]) << j for j in range(count))
        result |= (table >> operands & 1) << row
    return result


def match(table: int, count: int) -> Match | None:
    """The function that computes a truth table of `count` inputs, or None.

    Examples
    --------
    >>> match(0b0111, 2)
    Match(function=<Function.AND2: 1>, inputs=(0, 1), inverted=(False, False), inverts=True)
    """
    return _matches(count).get(table) if 1 <= count <= 4 else None


def reduced(table: int, count: int) -> tuple[int, tuple[int, ...]]:
    """The table without the inputs that it does not depend on, and the indices of those that remain.

    Examples
    --------
    >>> reduced(0b1100, 2)
    (2, (1,))
    """
    kept = tuple(j for j in range(count) if cofactor(table, count, j, 0) != cofactor(table, count, j, 1))
    result = 0
    for row in range(1 << len(kept)):
        source = sum((row >> position & 1) << j for position, j in enumerate(kept))
        result |= (table >> source & 1) << row
    return result, kept


def cofactor(table: int, count: int, variable: int, value: int) -> int:
    """The table over the other inputs when one is fixed.

    Examples
    --------
    >>> cofactor(0b1000, 2, 0, 1)  # a and b, where a is 1
    2
    """
    result = 0
    position = 0
    for row in range(1 << count):
        if (row >> variable & 1) == value:
            result |= (table >> row & 1) << position
            position += 1
    return result
