"""Operand streams: what one port of the array sees, cycle by cycle, and how often it repeats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import AcceleratorError
from fewflips.flips import bit_position_flips, row_flips, stream_flips
from fewflips.formats import MAX_BITS, NumberFormat, StorageType, encode, value_range, width_for

if TYPE_CHECKING:
    from fewflips.accelerator.machine import Operand
    from fewflips.network.layer import Layer


@dataclass(frozen=True, eq=False)
class Stream:
    """The words that one operand port sees in one inference.

    A pass is a run of cycles over which the same lanes are used for the same purpose (one segment in
    activation-stationary streaming). Each pass is sent `pass_repeats` times in a row, then the next one
    follows; the whole sequence is sent `repeats` times.

    Parameters
    ----------
    port : {"weights", "activations"}
        The operand.
    words : ndarray of uint8 or uint16, shape (T, L)
        Code on each lane in each cycle; idle lanes hold zero.
    pass_starts : ndarray of int64, shape (P,)
        First cycle of each pass; the first entry is 0.
    bits : int
        Width of a word.
    repeats : int
        How often the whole sequence is sent in one inference.
    pass_repeats : int
        How often each pass is sent before the next.
    hops : int
        Registers that one word toggles on its way through the array.
    """

    port: Literal["weights", "activations"]
    words: NDArray[np.unsignedinteger] = field(repr=False)
    pass_starts: NDArray[np.int64] = field(repr=False)
    bits: int
    repeats: int = 1
    pass_repeats: int = 1
    hops: int = 1


@dataclass(frozen=True)
class FlipCount:
    """Flips of one operand port, counted exactly.

    Parameters
    ----------
    within : int
        Flips between consecutive cycles of a pass, summed over all passes, each taken once.
    seams : int
        Flips between the end of one pass and the start of the next, whichever it is, in one inference.
    bit_positions : tuple of int
        `within`, by position of the bit, least significant first.
    transitions : int
        Word transitions (lane x cycle pairs) behind `within`.
    bits : int
        Width of a word.
    repeats : int
        How often each pass occurs in one inference.
    hops : int
        Registers that one word toggles on its way.
    """

    within: int
    seams: int
    bit_positions: tuple[int, ...]
    transitions: int
    bits: int
    repeats: int
    hops: int

    @property
    def total(self) -> int:
        """Flips in one inference at one register: passes as often as they occur, and all seams."""
        return self.within * self.repeats + self.seams

    @property
    def nhd(self) -> float:
        """Normalized Hamming distance within passes: 0.5 for random words."""
        return self.within / (self.transitions * self.bits) if self.transitions else 0.0


def count_flips(stream: Stream) -> FlipCount:
    """Count the flips of a stream.

    Parameters
    ----------
    stream : Stream
        What a port sees.

    Returns
    -------
    FlipCount
        Flips within passes and, apart from them, at the seams.
    """
    words, starts = stream.words, stream.pass_starts
    ends = np.append(starts[1:], len(words)) - 1
    between = row_flips(words, starts[1:])
    positions = bit_position_flips(words, stream.bits) if len(words) else np.zeros(stream.bits, dtype=np.int64)
    if len(starts) > 1:
        positions = positions - _bit_positions_at(words, starts[1:], stream.bits)
    pass_wraps = _pair_flips(words, ends, starts) if stream.pass_repeats > 1 else 0
    stream_wrap = _pair_flips(words, ends[-1:], starts[:1]) if stream.repeats > 1 else 0
    seams = stream.repeats * (between + (stream.pass_repeats - 1) * pass_wraps) + (stream.repeats - 1) * stream_wrap
    return FlipCount(
        within=stream_flips(words) - between,
        seams=seams,
        bit_positions=tuple(int(flips) for flips in positions),
        transitions=(len(words) - len(starts)) * words.shape[1],
        bits=stream.bits,
        repeats=stream.repeats * stream.pass_repeats,
        hops=stream.hops,
    )


def add_counts(counts: list[FlipCount]) -> FlipCount:
    """Counts of several samples of the same port, as one count of their mean sample.

    Parameters
    ----------
    counts : list of FlipCount
        One count a sample; same stream shape, so the same repeats, bits and hops.

    Returns
    -------
    FlipCount
        Flips rounded to the nearest integer of the mean.
    """
    first, samples = counts[0], len(counts)
    sums = np.array([count.bit_positions for count in counts], dtype=np.int64).sum(axis=0)
    rounded = np.rint(np.cumsum(sums) / samples).astype(np.int64)  # so that the positions sum to the whole
    return FlipCount(
        within=int(rounded[-1]),
        seams=round(sum(count.seams for count in counts) / samples),
        bit_positions=tuple(int(flips) for flips in np.diff(rounded, prepend=0)),
        transitions=first.transitions,
        bits=first.bits,
        repeats=first.repeats,
        hops=first.hops,
    )


def weight_codes(layer: Layer, operand: Operand) -> tuple[NDArray[np.unsignedinteger], int]:
    """Codes of a layer's weights on the wires.

    Parameters
    ----------
    layer : Layer
        The layer.
    operand : Operand
        Number format and width.

    Returns
    -------
    codes : ndarray of uint8 or uint16, shape (N, K)
        Right-aligned codes.
    bits : int
        Their width.

    Raises
    ------
    AcceleratorError
        If a value does not fit the width that the accelerator gives.
    """
    zero_points = layer.weight_zero_points.reshape(-1, 1)
    return _operand_codes(layer.weights, layer.weight_type, zero_points, operand, f"weights of {layer}")


def activation_codes(
    layer: Layer, rows: NDArray[np.integer], operand: Operand
) -> tuple[NDArray[np.unsignedinteger], int]:
    """Codes of a layer's activations on the wires.

    Parameters
    ----------
    layer : Layer
        The layer; its activation type and zero point are used.
    rows : ndarray of int8, uint8 or int16, shape (G, M, K)
        Lowered activations.
    operand : Operand
        Number format and width.

    Returns
    -------
    codes : ndarray of uint8 or uint16, shape (G, M, K)
        Right-aligned codes.
    bits : int
        Their width.

    Raises
    ------
    AcceleratorError
        If the layer's activations are not known as integers, or do not fit the width.
    """
    if layer.activation_type is None:
        raise AcceleratorError(f"{layer}: its activations are not integers in the file")
    if layer.activation_zero_point is None and operand.format is not NumberFormat.AS_STORED:
        raise AcceleratorError(
            f"{layer}: its zero point is chosen at run time, so that {operand.format.value} activations are not "
            "known; use as-stored"
        )
    zero_point = np.int32(layer.activation_zero_point or 0)
    return _operand_codes(rows, layer.activation_type, zero_point, operand, f"activations of {layer}")


def operand_width(storage: StorageType, number_format: NumberFormat, low: int, high: int, what: str) -> int:
    """Width of an operand's words where the accelerator gives none.

    Parameters
    ----------
    storage : StorageType
        Its type in the file: no word is narrower.
    number_format : NumberFormat
        Any but ``as-stored``.
    low, high : int
        Smallest and largest value.
    what : str
        The operand, for messages.

    Returns
    -------
    int
        Bits.

    Raises
    ------
    AcceleratorError
        If no word is wide enough.
    """
    bits = max(storage.bits, width_for(number_format, low, high))
    if bits > MAX_BITS:
        raise AcceleratorError(
            f"{what}: values from {low} to {high} take {bits} bits as {number_format.value}, words have at most "
            f"{MAX_BITS}: use as-stored"
        )
    return bits


def _operand_codes(
    stored: NDArray[np.integer],
    storage: StorageType,
    zero_point: NDArray[np.int32] | np.int32,
    operand: Operand,
    what: str,
) -> tuple[NDArray[np.unsignedinteger], int]:
    number_format = operand.format
    if number_format is NumberFormat.AS_STORED:
        bits = operand.bits or storage.bits
        if bits < storage.bits:
            raise AcceleratorError(f"{what}: stored as {storage.name}, the accelerator has {bits} bits: give it more")
        return encode(stored, number_format, bits), bits
    if number_format is NumberFormat.UNSIGNED:
        values = stored.astype(np.int32) - storage.low
    else:
        values = stored.astype(np.int32) - zero_point
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    bits = operand.bits or operand_width(storage, number_format, low, high, what)
    lowest, highest = value_range(number_format, bits)
    if low < lowest or high > highest:
        raise AcceleratorError(
            f"{what}: values from {low} to {high} do not fit {number_format.value} with {bits} bits "
            f"({lowest} to {highest}); {_advice(width_for(number_format, low, high))}"
        )
    return encode(values, number_format, bits), bits


def _advice(bits: int) -> str:
    return f"set bits to {bits} or leave it out" if bits <= MAX_BITS else "use as-stored"


def _pair_flips(words: NDArray[np.unsignedinteger], left: NDArray[np.int64], right: NDArray[np.int64]) -> int:
    return int(np.bitwise_count(words[left] ^ words[right]).sum(dtype=np.int64))


def _bit_positions_at(words: NDArray[np.unsignedinteger], rows: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    changed = words[rows - 1] ^ words[rows]
    return np.array([((changed >> bit) & 1).sum(dtype=np.int64) for bit in range(bits)], dtype=np.int64)
