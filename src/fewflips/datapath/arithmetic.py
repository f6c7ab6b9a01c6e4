"""What a datapath computes, cycle by cycle, in integer arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.datapath.design import Datapath, Word
from fewflips.errors import InputError
from fewflips.formats.number_formats import decode


@dataclass(frozen=True, eq=False)
class PortWords:
    """What the ports of a datapath see, cycle by cycle.

    Parameters
    ----------
    weights, activations : ndarray of uint8 or uint16, shape (T, L)
        Code of each lane in each cycle. For a chain these are the words at the ports, with lane l's operands l cycles
        after lane 0's.
    partial_sums : ndarray of int64 or uint64, shape (T,), or None
        Numbers at ``partial_sum``, with their offset, and as late as the unit expects them
        (:attr:`~fewflips.datapath.design.Datapath.partial_sum_delay`); their low `accumulator_bits` bits are used.
        Only if the unit has that port.
    clear : ndarray of bool, shape (T,), or None
        Cycles in which a mac starts a new sum with the product of the same cycle. Only for a mac.
    load : ndarray of bool, shape (T, L), or None
        Cycles in which each lane stores its weight instead of holding the one before. Only for a unit with hold flags.
    weights_invert, activations_invert : ndarray of bool, shape (T, L), or None
        Words that are their complement. Only for bus-invert ports.
    negate : ndarray of bool, shape (T,), or None
        Cycles whose products are subtracted, since their weights are negated. Only for a unit with sign flags.
    """

    weights: NDArray[np.unsignedinteger] = field(repr=False)
    activations: NDArray[np.unsignedinteger] = field(repr=False)
    partial_sums: NDArray[np.int64] | NDArray[np.uint64] | None = field(default=None, repr=False)
    clear: NDArray[np.bool_] | None = field(default=None, repr=False)
    load: NDArray[np.bool_] | None = field(default=None, repr=False)
    weights_invert: NDArray[np.bool_] | None = field(default=None, repr=False)
    activations_invert: NDArray[np.bool_] | None = field(default=None, repr=False)
    negate: NDArray[np.bool_] | None = field(default=None, repr=False)

    @property
    def cycles(self) -> int:
        """Number of cycles."""
        return len(self.weights)

    def held(self, cycles: int) -> PortWords:
        """The same words, with the last ones held for a number of further cycles."""
        rows = np.concatenate((np.arange(self.cycles), np.full(cycles, self.cycles - 1)))
        return PortWords(
            self.weights[rows],
            self.activations[rows],
            None if self.partial_sums is None else self.partial_sums[rows],
            None if self.clear is None else self.clear[rows],
            None if self.load is None else self.load[rows],
            None if self.weights_invert is None else self.weights_invert[rows],
            None if self.activations_invert is None else self.activations_invert[rows],
            None if self.negate is None else self.negate[rows],
        )


def check_words(datapath: Datapath, operands: PortWords) -> None:
    """Raise an error if words do not fit the ports.

    Parameters
    ----------
    datapath : Datapath
        The unit.
    operands : PortWords
        Words of at least one cycle.

    Raises
    ------
    InputError
        If shapes, types or widths differ from the ports', or a port's words are missing or superfluous.
    """
    shape = (operands.cycles, datapath.lanes)
    if operands.cycles == 0:
        raise InputError("operands of a datapath: expected words of at least one cycle, got none")
    for name, codes, word in (
        ("weights", operands.weights, datapath.weights),
        ("activations", operands.activations, datapath.activations),
    ):
        if codes.shape != shape:
            raise InputError(f"{name}: expected shape {shape} (cycles, lanes), got {codes.shape}")
        _check_codes(name, codes, word)
    smallest = 1 << (datapath.activations.bits - 1)
    if datapath.activation_converter and (operands.activations == smallest).any():
        raise InputError(f"activations: expected codes with a sign and a magnitude, got {smallest}, which has none")
    _check_port("partial_sums", operands.partial_sums, datapath.partial_sum_input, "iu", shape[:1])
    _check_port("clear", operands.clear, datapath.traits.accumulates, "b", shape[:1])
    _check_port("load", operands.load, datapath.hold_flags, "b", shape)
    _check_port("negate", operands.negate, datapath.sign_flags, "b", shape[:1])
    inverted = {"weights": operands.weights_invert, "activations": operands.activations_invert}
    for port, flags in inverted.items():
        _check_port(f"{port}_invert", flags, port in datapath.bus_invert_ports, "b", shape)


def products(
    datapath: Datapath,
    weight_codes: NDArray[np.unsignedinteger],
    activation_codes: NDArray[np.unsignedinteger],
) -> NDArray[np.int64]:
    """Products of codes.

    Parameters
    ----------
    datapath : Datapath
        Defines the meaning of the codes.
    weight_codes, activation_codes : ndarray of uint8 or uint16, any shapes that broadcast
        Right-aligned codes.

    Returns
    -------
    ndarray of int64
        Weight times activation.

    Raises
    ------
    InputError
        If a code is wider than its operand.

    Examples
    --------
    >>> from fewflips.datapath.design import WordFormat
    >>> unit = Datapath("multiplier", Word(WordFormat.SIGN_MAGNITUDE, 4), Word(WordFormat.UNSIGNED, 4))
    >>> products(unit, np.array([9], np.uint8), np.array([15], np.uint8)).tolist()
    [-15]
    """
    return _values("weights", weight_codes, datapath.weights) * _values(
        "activations", activation_codes, datapath.activations
    )


def expected_outputs(datapath: Datapath, operands: PortWords) -> NDArray[np.uint64]:
    """The word at the output in each cycle, just before the clock edge that ends the cycle.

    Parameters
    ----------
    datapath : Datapath
        The unit.
    operands : PortWords
        Words at the input ports, starting at cycle 0.

    Returns
    -------
    ndarray of uint64, shape (T,)
        Words of `product_bits` bits for a multiplier, else of `accumulator_bits`: numbers modulo two to that
        power. Those before :func:`first_known_output` depend on the registers' initial contents, and are 0.

    Raises
    ------
    InputError
        If the words do not fit the ports.
    """
    check_words(datapath, operands)
    weights = _decoded(operands.weights, operands.weights_invert, datapath.weights)
    activations = _decoded(operands.activations, operands.activations_invert, datapath.activations)
    terms = products(datapath, _stored(weights, operands.load), activations).astype(np.uint64)
    if datapath.traits.accumulates:
        results = _accumulated(terms[:, 0], _clear(operands))
    elif datapath.traits.skewed:
        results = _chained(terms, operands.partial_sums)
    else:
        results = terms.sum(axis=1, dtype=np.uint64) + np.uint64(datapath.tree_bias)
        if operands.negate is not None:
            negative = np.uint64(datapath.negated_bias + datapath.tree_bias) - results
            results = np.where(operands.negate, negative, results)
        if operands.partial_sums is not None:
            results += _later(operands.partial_sums.astype(np.uint64), datapath.partial_sum_delay)
    outputs = np.zeros(operands.cycles, dtype=np.uint64)
    outputs[datapath.latency :] = results[: max(operands.cycles - datapath.latency, 0)]
    outputs[: first_known_output(datapath, operands)] = 0
    return outputs & np.uint64((1 << datapath.output_bits) - 1)


def first_known_output(datapath: Datapath, operands: PortWords) -> int:
    """First cycle whose output depends only on the operands.

    Parameters
    ----------
    datapath : Datapath
        The unit.
    operands : PortWords
        Words at the input ports.

    Returns
    -------
    int
        The cycle; `operands.cycles` or more if there is none.
    """
    if datapath.traits.accumulates:
        cleared = np.flatnonzero(_clear(operands))
        return datapath.latency + int(cleared[0] if len(cleared) else operands.cycles)
    if operands.load is not None:
        loaded = operands.load.any(axis=0).all()
        return datapath.latency + int(operands.load.argmax(axis=0).max() if loaded else operands.cycles)
    return datapath.latency + datapath.skew_cycles


def _values(name: str, codes: NDArray[np.unsignedinteger], word: Word) -> NDArray[np.int64]:
    _check_codes(name, codes, word)
    return decode(codes, word.format.number_format, word.bits).astype(np.int64)


def _check_codes(name: str, codes: NDArray[np.unsignedinteger], word: Word) -> None:
    if codes.dtype.kind != "u":
        raise InputError(f"{name}: expected codes of type uint8 or uint16, got {codes.dtype}; encode the values first")
    if codes.size and int(codes.max()) >> word.bits:
        raise InputError(f"{name}: expected codes of {word.bits} bits, got {int(codes.max())}")


def _check_port(name: str, words: NDArray[np.generic] | None, wanted: bool, kinds: str, shape: tuple[int, ...]) -> None:
    if words is None and wanted:
        raise InputError(f"{name}: expected one for each cycle, got none")
    if words is None:
        return
    if not wanted:
        raise InputError(f"{name}: this datapath has no such port; leave them out")
    if words.shape != shape or words.dtype.kind not in kinds:
        what = "booleans" if kinds == "b" else "integers"
        raise InputError(f"{name}: expected {what} of shape {shape}, got {words.dtype} of shape {words.shape}")


def _decoded(
    codes: NDArray[np.unsignedinteger], invert: NDArray[np.bool_] | None, word: Word
) -> NDArray[np.unsignedinteger]:
    """Codes behind a bus-invert decoder."""
    return codes if invert is None else np.where(invert, ~codes & codes.dtype.type((1 << word.bits) - 1), codes)


def _stored(weights: NDArray[np.unsignedinteger], load: NDArray[np.bool_] | None) -> NDArray[np.unsignedinteger]:
    """What the weight registers hold one cycle later: where a lane does not load, what it last loaded."""
    if load is None:
        return weights
    cycles = np.arange(len(weights))[:, None]
    return np.take_along_axis(weights, np.maximum.accumulate(np.where(load, cycles, 0)), axis=0)


def _clear(operands: PortWords) -> NDArray[np.bool_]:
    return np.zeros(operands.cycles, dtype=np.bool_) if operands.clear is None else operands.clear


def _accumulated(terms: NDArray[np.uint64], clear: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Running sums that restart at each clear; unsigned integers wrap, so differences remain correct."""
    running = np.cumsum(terms, dtype=np.uint64)
    starts = np.maximum.accumulate(np.where(clear, np.arange(len(terms)), 0))
    return running - (running - terms)[starts]


def _later(words: NDArray[np.uint64], cycles: int) -> NDArray[np.uint64]:
    """In each cycle the word that comes some cycles later; the last word stays."""
    return words[np.minimum(np.arange(len(words)) + cycles, len(words) - 1)]


def _chained(
    terms: NDArray[np.uint64], partial_sums: NDArray[np.int64] | NDArray[np.uint64] | None
) -> NDArray[np.uint64]:
    """Sums by the port cycle of the last lane: lane l's product comes l cycles after lane 0's."""
    cycles, lanes = terms.shape
    sums = np.zeros(cycles, dtype=np.uint64)
    if partial_sums is not None:
        sums[lanes - 1 :] += partial_sums[: max(cycles - lanes + 1, 0)].astype(np.uint64)
    for lane in range(lanes):
        late = lanes - 1 - lane
        sums[late:] += terms[: max(cycles - late, 0), lane]
    return sums
