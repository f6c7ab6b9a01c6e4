"""The kernel without delays: each step settles for a block of consecutive cycles at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.gates.switching.evaluation import (
    ONE_OPERAND,
    THREE_OPERANDS,
    TWO_OPERANDS,
    of_four,
    of_three,
    of_two,
)
from fewflips.gates.switching.steps import Kind
from fewflips.gates.switching.words import WIDTH, address, load, ones, shifted, spread, store, total
from fewflips.kernels.compiled import compiled

_GATE = int(Kind.GATE)
_CHECK = int(Kind.CHECK)
_PORT = int(Kind.PORT)
_REGISTER = int(Kind.REGISTER)
_ZERO = np.uint64(0)
_HIGH_HALF = np.int64(32)
_LOW_HALF = np.int64(0xFFFFFFFF)


@compiled
def _settle_one(values: int, active: int, words: int, invert: Any, last: Any, out: int, a: int) -> Any:
    """Copy or invert a signal, and count its toggles plus 2**32 times the cycles in which it is 1."""
    flips = spread(_ZERO)
    ups = spread(_ZERO)
    for i in range(0, words, WIDTH):
        word = load(values, a + i) ^ invert
        store(values, out + i, word)
        counted = load(active, i)
        flips = flips + ones((word ^ shifted(last, word)) & counted)
        ups = ups + ones(word & counted)
        last = word
    return total(flips + (ups << _HIGH_HALF))


@compiled
def _settle_two(
    values: int, active: int, words: int, invert: Any, last: Any, out: int, function: int, a: int, b: int
) -> Any:
    """The same for a function of two operands."""
    flips = spread(_ZERO)
    ups = spread(_ZERO)
    for i in range(0, words, WIDTH):
        word = of_two(function, load(values, a + i), load(values, b + i)) ^ invert
        store(values, out + i, word)
        counted = load(active, i)
        flips = flips + ones((word ^ shifted(last, word)) & counted)
        ups = ups + ones(word & counted)
        last = word
    return total(flips + (ups << _HIGH_HALF))


@compiled
def _settle_three(
    values: int, active: int, words: int, invert: Any, last: Any, out: int, function: int, a: int, b: int, c: int
) -> Any:
    """The same for a function of three operands."""
    flips = spread(_ZERO)
    ups = spread(_ZERO)
    for i in range(0, words, WIDTH):
        word = of_three(function, load(values, a + i), load(values, b + i), load(values, c + i)) ^ invert
        store(values, out + i, word)
        counted = load(active, i)
        flips = flips + ones((word ^ shifted(last, word)) & counted)
        ups = ups + ones(word & counted)
        last = word
    return total(flips + (ups << _HIGH_HALF))


@compiled
def _settle_four(
    values: int,
    active: int,
    words: int,
    invert: Any,
    last: Any,
    out: int,
    function: int,
    a: int,
    b: int,
    c: int,
    d: int,
) -> Any:
    """The same for a function of four operands."""
    flips = spread(_ZERO)
    ups = spread(_ZERO)
    for i in range(0, words, WIDTH):
        word = (
            of_four(function, load(values, a + i), load(values, b + i), load(values, c + i), load(values, d + i))
            ^ invert
        )
        store(values, out + i, word)
        counted = load(active, i)
        flips = flips + ones((word ^ shifted(last, word)) & counted)
        ups = ups + ones(word & counted)
        last = word
    return total(flips + (ups << _HIGH_HALF))


@compiled
def _settle_register(values: int, active: int, words: int, invert: Any, last: Any, out: int, data: Any, a: int) -> Any:
    """The same for a signal delayed by one cycle; `data` ends with its word before the block."""
    flips = spread(_ZERO)
    ups = spread(_ZERO)
    for i in range(0, words, WIDTH):
        now = load(values, a + i)
        word = shifted(data, now) ^ invert
        data = now
        store(values, out + i, word)
        counted = load(active, i)
        flips = flips + ones((word ^ shifted(last, word)) & counted)
        ups = ups + ones(word & counted)
        last = word
    return total(flips + (ups << _HIGH_HALF))


@compiled
def _mismatches(values: int, active: int, words: int, invert: Any, data: Any, a: int, given: int) -> Any:
    """Count where a signal delayed by one cycle differs from the given one."""
    wrong = spread(_ZERO)
    for i in range(0, words, WIDTH):
        now = load(values, a + i)
        word = shifted(data, now) ^ invert ^ load(values, given + i)
        data = now
        wrong = wrong + ones(word & load(active, i))
    return total(wrong)


@compiled
def _settle_gate(
    values: int, active: int, words: int, invert: Any, last: Any, out: int, function: int, reads: Any, step: int
) -> Any:
    """Evaluate a gate and count."""
    a = reads[step, 0]
    if function <= ONE_OPERAND:
        return _settle_one(values, active, words, invert, last, out, a)
    b = reads[step, 1]
    if function <= TWO_OPERANDS:
        return _settle_two(values, active, words, invert, last, out, function, a, b)
    c = reads[step, 2]
    if function <= THREE_OPERANDS:
        return _settle_three(values, active, words, invert, last, out, function, a, b, c)
    return _settle_four(values, active, words, invert, last, out, function, a, b, c, reads[step, 3])


@compiled
def _settle_constant(values: int, active: int, words: int, value: Any, out: int) -> Any:
    """Write a constant and count where it is 1."""
    ups = spread(_ZERO)
    for i in range(0, words, WIDTH):
        store(values, out + i, value)
        ups = ups + ones(value & load(active, i))
    return total(ups << _HIGH_HALF)


@compiled
def settle(
    kinds: NDArray[np.int64],
    functions: NDArray[np.int64],
    reads: NDArray[np.int64],
    writes: NDArray[np.int64],
    inverts: NDArray[np.uint64],
    given: NDArray[np.int64],
    values: NDArray[np.uint64],
    active: NDArray[np.uint64],
    words: int,
    before: NDArray[np.uint64],
    toggles: NDArray[np.int64],
    high: NDArray[np.int64],
) -> None:
    """Evaluate all steps for the next `words` cycles of 64 lanes and count.

    Parameters
    ----------
    kinds, functions, inverts : ndarray, shape (steps,)
        As in :class:`~fewflips.gates.switching.circuit.Circuit`.
    reads : ndarray of int64, shape (steps, 4)
        Where in `values` the words of each operand begin.
    writes : ndarray of int64, shape (steps,)
        Where the words of the result go.
    given : ndarray of int64, shape (steps,)
        Where the given words of a port or check begin; the words of the preceding cycles are in front of them.
    values : ndarray of uint64
        Words of all signals.
    active : ndarray of uint64, shape (words,)
        Lanes whose transition into the cycle is counted.
    words : int
        A multiple of WIDTH.
    before : ndarray of uint64, shape (steps, 2)
        The last word of the result, and of a register's data, in the previous block; updated.
    toggles, high : ndarray of int64, shape (steps,)
        Counts; added to. A check counts its mismatches as toggles.
    """
    memory, mask = address(values), address(active)
    for step in range(kinds.size):
        kind = kinds[step]
        invert = spread(inverts[step])
        last = spread(before[step, 0])
        data = spread(before[step, 1])
        out, a = writes[step], reads[step, 0]
        if kind == _GATE:
            counts = _settle_gate(memory, mask, words, invert, last, out, functions[step], reads, step)
        elif kind == _REGISTER:
            before[step, 1] = values[a + words - 1]  # now, as the result may overwrite the operand
            counts = _settle_register(memory, mask, words, invert, last, out, data, a)
        elif kind == _CHECK:
            before[step, 1] = values[a + words - 1]
            counts = _mismatches(memory, mask, words, invert, data, a, given[step])
        elif kind == _PORT:
            last = load(values, given[step] - WIDTH) ^ invert
            counts = _settle_one(memory, mask, words, invert, last, out, given[step])
        else:
            counts = _settle_constant(memory, mask, words, invert, out)
        before[step, 0] = values[out + words - 1]
        toggles[step] += counts & _LOW_HALF
        high[step] += counts >> _HIGH_HALF
