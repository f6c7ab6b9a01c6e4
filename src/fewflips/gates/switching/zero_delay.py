"""The kernel without delays: each step settles for a block of consecutive cycles at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.compiled import compiled
from fewflips.gates.switching.evaluation import (
    ONE_OPERAND,
    THREE_OPERANDS,
    TWO_OPERANDS,
    of_four,
    of_three,
    of_two,
)
from fewflips.gates.switching.steps import Kind
from fewflips.gates.switching.words import WIDTH, load, ones, shifted, spread, store, total

_GATE = int(Kind.GATE)
_CONSTANT = int(Kind.CONSTANT)
_PORT = int(Kind.PORT)
_REGISTER = int(Kind.REGISTER)


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
        Where the given words of a port or check begin; the words of the cycles before stand in front of them.
    values : ndarray of uint64
        Words of all signals.
    active : ndarray of uint64, shape (words,)
        Lanes whose transition into the cycle counts.
    words : int
        A multiple of WIDTH.
    before : ndarray of uint64, shape (steps, 2)
        The last word of the result, and of a register's data, from the block before; updated.
    toggles, high : ndarray of int64, shape (steps,)
        Counts; added to. A check counts its mismatches as toggles.
    """
    for step in range(kinds.size):
        kind = kinds[step]
        invert = spread(inverts[step])
        last = spread(before[step, 0])
        out = writes[step]
        a = reads[step, 0]
        flips = spread(np.uint64(0))
        ups = spread(np.uint64(0))
        if kind == _GATE:
            function = functions[step]
            b, c, d = reads[step, 1], reads[step, 2], reads[step, 3]
            if function <= ONE_OPERAND:
                for i in range(0, words, WIDTH):
                    word = load(values, a + i) ^ invert
                    store(values, out + i, word)
                    counted = load(active, i)
                    flips = flips + ones((word ^ shifted(last, word)) & counted)
                    ups = ups + ones(word & counted)
                    last = word
            elif function <= TWO_OPERANDS:
                for i in range(0, words, WIDTH):
                    word = of_two(function, load(values, a + i), load(values, b + i)) ^ invert
                    store(values, out + i, word)
                    counted = load(active, i)
                    flips = flips + ones((word ^ shifted(last, word)) & counted)
                    ups = ups + ones(word & counted)
                    last = word
            elif function <= THREE_OPERANDS:
                for i in range(0, words, WIDTH):
                    word = of_three(function, load(values, a + i), load(values, b + i), load(values, c + i)) ^ invert
                    store(values, out + i, word)
                    counted = load(active, i)
                    flips = flips + ones((word ^ shifted(last, word)) & counted)
                    ups = ups + ones(word & counted)
                    last = word
            else:
                for i in range(0, words, WIDTH):
                    word = (
                        of_four(
                            function,
                            load(values, a + i),
                            load(values, b + i),
                            load(values, c + i),
                            load(values, d + i),
                        )
                        ^ invert
                    )
                    store(values, out + i, word)
                    counted = load(active, i)
                    flips = flips + ones((word ^ shifted(last, word)) & counted)
                    ups = ups + ones(word & counted)
                    last = word
            before[step, 0] = values[out + words - 1]
        elif kind == _REGISTER:
            data = spread(before[step, 1])
            for i in range(0, words, WIDTH):
                now = load(values, a + i)
                word = shifted(data, now) ^ invert
                data = now
                if i + WIDTH >= words:
                    before[step, 1] = values[a + words - 1]  # the result may take the operand's place
                store(values, out + i, word)
                counted = load(active, i)
                flips = flips + ones((word ^ shifted(last, word)) & counted)
                ups = ups + ones(word & counted)
                last = word
            before[step, 0] = values[out + words - 1]
        elif kind == _PORT:
            source = given[step]
            last = load(values, source - WIDTH) ^ invert
            for i in range(0, words, WIDTH):
                word = load(values, source + i) ^ invert
                store(values, out + i, word)
                counted = load(active, i)
                flips = flips + ones((word ^ shifted(last, word)) & counted)
                ups = ups + ones(word & counted)
                last = word
        elif kind == _CONSTANT:
            for i in range(0, words, WIDTH):
                store(values, out + i, invert)
                ups = ups + ones(invert & load(active, i))
        else:
            source = given[step]
            data = spread(before[step, 1])
            before[step, 1] = values[a + words - 1]
            for i in range(0, words, WIDTH):
                now = load(values, a + i)
                word = shifted(data, now) ^ invert ^ load(values, source + i)
                data = now
                flips = flips + ones(word & load(active, i))
        toggles[step] += total(flips)
        high[step] += total(ups)
