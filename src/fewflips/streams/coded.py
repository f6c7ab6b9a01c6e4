"""Counting the flips of a port: of its wires, coded or plain, and of the words behind the decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewflips.coding.coding import Coding
from fewflips.coding.registration import coding_of
from fewflips.coding.sending import send
from fewflips.errors import AcceleratorError
from fewflips.formats.codes import Codes
from fewflips.machine.accelerator import Operand
from fewflips.streams.counting import FlipCount, count_flips
from fewflips.streams.flips import bit_position_flips
from fewflips.streams.stream import Stream


@dataclass(frozen=True)
class PortCount:
    """Flips of one port.

    Parameters
    ----------
    wires : FlipCount
        On the wires.
    decoded : FlipCount
        Of the words that arithmetic units see; the same object where the port is plain.
    """

    wires: FlipCount
    decoded: FlipCount


def count_port(stream: Stream, operand: Operand) -> PortCount:
    """Count the flips of a port.

    Parameters
    ----------
    stream : Stream
        The codes that the port takes.
    operand : Operand
        Its coding.

    Returns
    -------
    PortCount
        On the wires, and behind the decoder.

    Raises
    ------
    AcceleratorError
        If the coding does not give the words back.
    """
    decoded = count_flips(stream)
    return PortCount(count_coded_flips(stream, coding_of(operand)) if operand.is_coded else decoded, decoded)


def count_coded_flips(stream: Stream, coding: Coding) -> FlipCount:
    """Count the flips of a stream on coded wires, pass after pass as one inference sends them.

    What the wires hold may depend on what was sent before, so that a pass that repeats need not have the same flips
    each time: all its occurrences are counted.

    Parameters
    ----------
    stream : Stream
        The codes that a port takes.
    coding : Coding
        How they are sent.

    Returns
    -------
    FlipCount
        `within`, `bit_positions` and `transitions` of all passes of one inference, so that `repeats` is 1. Positions
        of the lanes' bits come first, then those of the side lanes. `bits` is the width of a code and `transitions`
        are those of codes, so that the normalized Hamming distance compares with that of plain wires.

    Raises
    ------
    AcceleratorError
        If the coding does not give the words back, or has other wires in one pass than in another.
    """
    lanes = stream.words.shape[1]
    port = _Port(stream, coding)
    state = coding.start(lanes, stream.bits)
    seams, positions, last = 0, np.zeros(stream.bits, dtype=np.int64), None
    for number, backwards in stream.sendings():
        sent = port.send(number, backwards, state)
        if last is None:
            positions = np.zeros(len(sent.positions), dtype=np.int64)
        else:
            seams += _flips_between(last, sent.first)
        positions += sent.positions
        last, state = sent.last, sent.state
    return FlipCount(
        within=int(positions.sum()),
        seams=seams,
        bit_positions=tuple(int(flips) for flips in positions),
        transitions=(len(stream.words) - len(stream.pass_starts)) * lanes * stream.times_in_all,
        bits=stream.bits,
        repeats=1,
        hops=stream.hops,
    )


_Row = tuple[NDArray[np.unsignedinteger], ...]
"""What all wires hold in one cycle: lanes first, then the side lanes."""


class _SentPass(NamedTuple):
    """One pass on the wires: its flips by position, its ends, and the state after it."""

    positions: NDArray[np.int64]
    first: _Row
    last: _Row
    state: NDArray[Any]


class _Port:
    """A port that sends passes, each once from the same state."""

    def __init__(self, stream: Stream, coding: Coding) -> None:
        self._passes = np.split(stream.words, stream.pass_starts[1:])
        self._bits, self._coding = stream.bits, coding
        self._repeats = stream.times_in_all > 1
        self._sent: dict[tuple[int, bool, bytes], _SentPass] = {}
        self._layout: list[tuple[int, int]] | None = None

    def send(self, number: int, backwards: bool, state: NDArray[Any]) -> _SentPass:
        """Send a pass, or look up what it was when it was last sent in this direction from this state."""
        if not self._repeats:
            return self._send(number, backwards, state)
        key = number, backwards, state.tobytes()
        if key not in self._sent:
            self._sent[key] = self._send(number, backwards, state)
        return self._sent[key]

    def _send(self, number: int, backwards: bool, state: NDArray[Any]) -> _SentPass:
        words = np.ascontiguousarray(self._passes[number][::-1]) if backwards else self._passes[number]
        wires, after = send(self._coding, Codes(words, self._bits), state)
        layout = [(part.words.shape[1], part.bits) for part in wires.parts]
        self._layout = self._layout or layout
        if layout != self._layout:
            raise AcceleratorError(
                f"coding {self._coding.name}: expected the same wires in every pass of a layer (lanes, bits: "
                f"{self._layout}), got {layout}"
            )
        return _SentPass(
            np.concatenate([bit_position_flips(*part) for part in wires.parts]),
            tuple(part.words[0].copy() for part in wires.parts),
            tuple(part.words[-1].copy() for part in wires.parts),
            after,
        )


def _flips_between(before: _Row, after: _Row) -> int:
    return sum(int(np.bitwise_count(one ^ other).sum(dtype=np.int64)) for one, other in zip(before, after, strict=True))
