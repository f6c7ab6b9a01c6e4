"""The kernel with delays: waveforms of WIDTH consecutive cycles in 64 lanes at once.

A signal's waveform within the cycle is a list of vectors: its value at the clock edge, then one for each time step in
which it changes in any of these 64 x WIDTH cycles. The set of those time steps is a bit mask, counted from the first
step in which the signal can change at all.

A gate merges the masks of its operands and walks through the union: only there can its function change. The
differences from the previous value are kept by time step (`differences`). In a second pass the output follows: a change
at time s reaches it at s + delay, unless the function changes again before that (inertial delay, as in Verilog's
continuous assignments; IEEE 1364-2005, 6.1.3). Where the union of the differences in the intermediate time steps
(`again`) is set, the output keeps its value; elsewhere it takes the function's. A function that changes again exactly
when the output is due comes too late to stop it, as in Icarus Verilog. Both passes cost a few instructions per time
step and vector, whatever happens in the parallel cycles.

In memory, masks are separate from the vectors. The word before a mask says where the signal's last vector is.
"""

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
from fewflips.gates.switching.words import (
    WIDTH,
    address,
    any_set,
    entry,
    load,
    load_word,
    lowest_bit,
    ones,
    shifted,
    shifted_twice,
    spread,
    store,
    store_word,
    total,
)
from fewflips.kernels.compiled import compiled

KIND, FUNCTION, INVERTS, OUTPUT, MASK_OUTPUT, GIVEN, MASK_WORDS, FOLLOWING = range(8)
"""Columns of the table of steps."""
OPERANDS, MASKS, SHIFTS, LENGTHS = range(8, 24, 4)
"""First of four columns each."""
COLUMNS = 24

_GATE = int(Kind.GATE)
_CONSTANT = int(Kind.CONSTANT)
_PORT = int(Kind.PORT)
_REGISTER = int(Kind.REGISTER)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_HIGH_HALF = np.int64(32)
_LOW_HALF = np.int64(0xFFFFFFFF)
_ADVANCE = np.int64(WIDTH)


@compiled
def _mask_word(masks: int, row: int, operand: int, word: int) -> Any:
    """One word of an operand's mask, shifted to the time steps of the gate."""
    place, shift = entry(row, MASKS + operand), entry(row, SHIFTS + operand)
    if word == 0:
        return load_word(masks, place) << np.uint64(shift) if shift < 64 else _ZERO
    length = entry(row, LENGTHS + operand)
    source = word - (shift >> 6)
    low = shift & 63
    found = _ZERO
    if 0 <= source < length:
        found = load_word(masks, place + source) << np.uint64(low)
    if low > 0 and 0 < source <= length:
        found |= load_word(masks, place + source - 1) >> np.uint64(64 - low)
    return found


@compiled
def _moved(mask: Any, bit: int) -> Any:
    """Words by which to advance in a waveform at a time step: one vector if it is in the mask."""
    return np.int64((mask >> np.uint64(bit)) & _ONE) * _ADVANCE


@compiled
def _merge_one(values: int, masks: int, row: int, differences: int, changed: int) -> Any:
    """Function and differences of a one-operand gate; returns the function at the clock edge."""
    a = entry(row, OPERANDS)
    first = load(values, a)
    value = first
    for w in range(entry(row, MASK_WORDS)):
        union = _mask_word(masks, row, 0, w)
        store_word(changed, w, union)
        at = w * 64 * WIDTH
        while union != _ZERO:
            bit = lowest_bit(union)
            union &= union - _ONE
            a += _ADVANCE
            now = load(values, a)
            store(differences, at + bit * WIDTH, now ^ value)
            value = now
    return first


@compiled
def _merge_two(values: int, masks: int, row: int, differences: int, changed: int) -> Any:
    """The same for two operands."""
    function = entry(row, FUNCTION)
    a, b = entry(row, OPERANDS), entry(row, OPERANDS + 1)
    first = of_two(function, load(values, a), load(values, b))
    value = first
    for w in range(entry(row, MASK_WORDS)):
        in_a = _mask_word(masks, row, 0, w)
        in_b = _mask_word(masks, row, 1, w)
        union = in_a | in_b
        store_word(changed, w, union)
        at = w * 64 * WIDTH
        while union != _ZERO:
            bit = lowest_bit(union)
            union &= union - _ONE
            a += _moved(in_a, bit)
            b += _moved(in_b, bit)
            now = of_two(function, load(values, a), load(values, b))
            store(differences, at + bit * WIDTH, now ^ value)
            value = now
    return first


@compiled
def _merge_three(values: int, masks: int, row: int, differences: int, changed: int) -> Any:
    """The same for three operands."""
    function = entry(row, FUNCTION)
    a, b, c = entry(row, OPERANDS), entry(row, OPERANDS + 1), entry(row, OPERANDS + 2)
    first = of_three(function, load(values, a), load(values, b), load(values, c))
    value = first
    for w in range(entry(row, MASK_WORDS)):
        in_a = _mask_word(masks, row, 0, w)
        in_b = _mask_word(masks, row, 1, w)
        in_c = _mask_word(masks, row, 2, w)
        union = in_a | in_b | in_c
        store_word(changed, w, union)
        at = w * 64 * WIDTH
        while union != _ZERO:
            bit = lowest_bit(union)
            union &= union - _ONE
            a += _moved(in_a, bit)
            b += _moved(in_b, bit)
            c += _moved(in_c, bit)
            now = of_three(function, load(values, a), load(values, b), load(values, c))
            store(differences, at + bit * WIDTH, now ^ value)
            value = now
    return first


@compiled
def _merge_four(values: int, masks: int, row: int, differences: int, changed: int) -> Any:
    """The same for four operands."""
    function = entry(row, FUNCTION)
    a, b = entry(row, OPERANDS), entry(row, OPERANDS + 1)
    c, d = entry(row, OPERANDS + 2), entry(row, OPERANDS + 3)
    first = of_four(function, load(values, a), load(values, b), load(values, c), load(values, d))
    value = first
    for w in range(entry(row, MASK_WORDS)):
        in_a = _mask_word(masks, row, 0, w)
        in_b = _mask_word(masks, row, 1, w)
        in_c = _mask_word(masks, row, 2, w)
        in_d = _mask_word(masks, row, 3, w)
        union = in_a | in_b | in_c | in_d
        store_word(changed, w, union)
        at = w * 64 * WIDTH
        while union != _ZERO:
            bit = lowest_bit(union)
            union &= union - _ONE
            a += _moved(in_a, bit)
            b += _moved(in_b, bit)
            c += _moved(in_c, bit)
            d += _moved(in_d, bit)
            now = of_four(function, load(values, a), load(values, b), load(values, c), load(values, d))
            store(differences, at + bit * WIDTH, now ^ value)
            value = now
    return first


@compiled
def _again(differences: int, at: int, following: int) -> Any:
    """Union of the differences in the (one or more) time steps that follow one."""
    union = load(differences, at + WIDTH)
    if following == 1:
        return union
    if following == 2:
        return union | load(differences, at + 2 * WIDTH)
    union = union | load(differences, at + 2 * WIDTH) | load(differences, at + 3 * WIDTH)
    if following == 3:
        return union
    if following == 4:
        return union | load(differences, at + 4 * WIDTH)
    union = union | load(differences, at + 4 * WIDTH) | load(differences, at + 5 * WIDTH)
    for i in range(6, following + 1):
        union = union | load(differences, at + i * WIDTH)
    return union


@compiled
def _follow(values: int, masks: int, row: int, value: Any, counted: Any, differences: int, changed: int) -> Any:
    """Write the output's waveform; returns its toggles plus 2**32 times the number of cycles that settle at 1."""
    out = entry(row, OUTPUT)
    mask = entry(row, MASK_OUTPUT)
    following = entry(row, FOLLOWING)
    store(values, out, value)
    place = out + _ADVANCE
    nothing = spread(_ZERO)
    flips = nothing
    function = value
    for w in range(entry(row, MASK_WORDS)):
        waiting = load_word(changed, w)
        found = _ZERO
        base = w * 64 * WIDTH
        while waiting != _ZERO:
            bit = lowest_bit(waiting)
            waiting &= waiting - _ONE
            at = base + bit * WIDTH
            function = function ^ load(differences, at)
            if following == 0:
                after = function
            else:
                again = _again(differences, at, following)
                after = (value & again) | (function & ~again)
            store(differences, at, nothing)
            store(values, place, after)
            toggle = value ^ after
            value = after
            flips = flips + ones(toggle)
            hit = any_set(toggle)
            place += np.int64(hit) * _ADVANCE
            found |= hit << np.uint64(bit)
        store_word(masks, mask + w, found)
    store_word(masks, mask - 1, np.uint64(place - _ADVANCE))
    return total(flips + (ones(value & counted) << _HIGH_HALF))


@compiled
def _source(values: int, masks: int, row: int, before: Any, now: Any, counted: Any) -> Any:
    """Write the waveform of a port or register, which changes once; returns the same counts."""
    out = entry(row, OUTPUT)
    toggle = (before ^ now) & counted  # cycles that are not counted have no toggles
    store(values, out, now ^ toggle)
    store(values, out + WIDTH, now)
    changes = any_set(toggle)
    mask = entry(row, MASK_OUTPUT)
    store_word(masks, mask, changes)
    store_word(masks, mask - 1, np.uint64(out + np.int64(changes) * _ADVANCE))
    return total(ones(toggle) + (ones(now & counted) << _HIGH_HALF))


@compiled
def _stored(values: int, masks: int, data: int, step: int, mask: int) -> Any:
    """What a register's data settled at in the previous block, and in this one, which is kept for the next."""
    previous = load(data, step * _ADVANCE)
    current = load(values, np.int64(load_word(masks, mask - 1)))
    store(data, step * _ADVANCE, current)
    return previous, current


@compiled
def propagate(
    table: NDArray[np.int32],
    values: NDArray[np.uint64],
    masks: NDArray[np.uint64],
    active: NDArray[np.uint64],
    words: int,
    data: NDArray[np.uint64],
    differences: NDArray[np.uint64],
    changed: NDArray[np.uint64],
    toggles: NDArray[np.int64],
    high: NDArray[np.int64],
) -> None:
    """Evaluate all steps for the next `words` cycles of 64 lanes and count.

    Parameters
    ----------
    table : ndarray of int32, shape (steps, COLUMNS)
        Each step: kind, function, whether its result is inverted; places of its waveform, its mask and its given
        words; words of its mask; time steps after a change in which the next one swallows it; for each operand the
        places of its waveform and mask, the time steps between the first of the gate and its own, and the words of
        its mask.
    values : ndarray of uint64
        Waveforms and given words.
    masks : ndarray of uint64
        Masks of waveforms.
    active : ndarray of uint64, shape (words,)
        Lanes whose transition into the cycle is counted.
    words : int
        A multiple of WIDTH.
    data : ndarray of uint64, shape (steps * WIDTH,)
        What the data of registers settled at in the previous block; updated.
    differences : ndarray of uint64
        Zeros, one vector per time step; left as zeros.
    changed : ndarray of uint64
        Scratch space for a mask.
    toggles, high : ndarray of int64, shape (steps,)
        Counts; added to. A check counts its mismatches as toggles.
    """
    kept, signals, bits = address(data), address(values), address(masks)
    scratch, events = address(differences), address(changed)
    for block in range(0, words, WIDTH):
        counted = load(active, block)
        for step in range(table.shape[0]):
            row = address(table) + step * (COLUMNS * table.itemsize)
            kind = entry(row, KIND)
            invert = spread(_ALL if entry(row, INVERTS) else _ZERO)
            if kind == _GATE:
                function = entry(row, FUNCTION)
                if function <= ONE_OPERAND:
                    value = _merge_one(signals, bits, row, scratch, events)
                elif function <= TWO_OPERANDS:
                    value = _merge_two(signals, bits, row, scratch, events)
                elif function <= THREE_OPERANDS:
                    value = _merge_three(signals, bits, row, scratch, events)
                else:
                    value = _merge_four(signals, bits, row, scratch, events)
                counts = _follow(signals, bits, row, value ^ invert, counted, scratch, events)
            elif kind == _PORT:
                source = entry(row, GIVEN) + block
                now, before = load(values, source), load(values, source - 1)
                counts = _source(signals, bits, row, before ^ invert, now ^ invert, counted)
            elif kind == _REGISTER:
                previous, current = _stored(signals, bits, kept, step, entry(row, MASKS))
                now, before = shifted(previous, current), shifted_twice(previous, current)
                counts = _source(signals, bits, row, before ^ invert, now ^ invert, counted)
            elif kind == _CONSTANT:
                counts = _source(signals, bits, row, invert, invert, counted)
            else:
                previous, current = _stored(signals, bits, kept, step, entry(row, MASKS))
                given = load(values, entry(row, GIVEN) + block)
                wrong = shifted(previous, current) ^ invert ^ given
                counts = total(ones(wrong & counted))
            toggles[step] += counts & _LOW_HALF
            high[step] += counts >> _HIGH_HALF
