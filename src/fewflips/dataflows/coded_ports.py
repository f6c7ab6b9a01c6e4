"""What the units of an array and the encoders in front of them see where ports are bus-invert coded.

A port's encoder remembers what its wires hold, so that what is sent depends on everything sent before: coded words are
laid out for each unit from its first cycle on, part after part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewflips.coding.coding import Coding
from fewflips.coding.registration import coding_named
from fewflips.dataflows.unit_work import Part
from fewflips.datapath.design import OperandPort
from fewflips.formats.codes import Codes
from fewflips.gates.operands import OperandSequences, PortRows
from fewflips.machine.coding_names import BUS_INVERT


class _Sent(NamedTuple):
    """What the wires of a unit's port held, one row for each word sent, and before its first word."""

    before: NDArray[Any]
    wires: NDArray[np.unsignedinteger]
    flags: NDArray[np.uint8]

    def state_before(self, row: int) -> NDArray[Any]:
        """The encoder's state before a row."""
        if row == 0:
            return self.before
        return np.stack([self.wires[row - 1], self.flags[row - 1]]).astype(np.uint16)

    def followed_by(self, other: _Sent, repeated: int) -> _Sent:
        """These rows and `other`, which repeats the last ones; as many before them as the next part may repeat."""
        kept = len(self.wires) - repeated
        first = max(0, kept - repeated)
        return _Sent(
            self.state_before(first),
            np.concatenate([self.wires[first:kept], other.wires]),
            np.concatenate([self.flags[first:kept], other.flags]),
        )


def coded_parts(parts: Iterable[Part], ports: Iterable[OperandPort], shared: Mapping[str, bool]) -> Iterator[Part]:
    """Parts with bus-invert coded words, flags, and what encoders see.

    Parameters
    ----------
    parts : iterable of Part
        All parts of a layer, with plain words, neither delayed nor skewed.
    ports : iterable of {"weights", "activations"}
        The ports to encode.
    shared : mapping of str to bool
        Whether all units take a port's words from the same encoders: then only those of the first unit are counted,
        which works as long as any.

    Yields
    ------
    Part
        In `encoders` a part for each port, whose sequences are single lanes: inputs ``word``, and ``before``, what the
        wires and the flag (the highest bit) held in the cycle before.
    """
    coders = {port: _Port(port, shared[port]) for port in ports}
    for part in parts:
        inputs = dict(part.sequences.inputs)
        encoders: dict[str, Part] = {}
        for port, coder in coders.items():
            wires, flags, encoder = coder.send(part)
            inputs |= {port: wires, f"{port}_invert": flags}
            encoders[port] = encoder
        yield replace(part, sequences=replace(part.sequences, inputs=inputs), encoders=encoders)


@dataclass
class _Port:
    """One port of all units of an array."""

    name: OperandPort
    shared: bool
    coding: Coding = field(default_factory=lambda: coding_named(BUS_INVERT))
    sent: dict[int, _Sent] = field(default_factory=dict)

    def send(self, part: Part) -> tuple[PortRows, PortRows, Part]:
        """The words of a part on the wires, their flags, and what the encoders see."""
        rows, sequences = part.sequences.inputs[self.name], part.sequences
        words, counts, starts = _laid_out(rows, sequences)
        ends = np.cumsum(counts)
        found = {}
        for sequence, unit in enumerate(part.units):
            mine = words[ends[sequence] - counts[sequence] : ends[sequence]]
            repeated = _repeated_rows(part, sequence, rows)
            earlier = self.sent.get(int(unit))
            if earlier is None:
                state = self.coding.start(mine.shape[1], rows.bits)
            else:
                state = earlier.state_before(len(earlier.wires) - repeated)
            wires, _ = self.coding.encode(Codes(mine, rows.bits), state)
            sent = _Sent(state, wires.lanes.words, wires.side[0].words)
            found[int(unit)] = sent
            self.sent[int(unit)] = sent if earlier is None else earlier.followed_by(sent, repeated)
        coded = np.concatenate([sent.wires for sent in found.values()])
        flags = np.concatenate([sent.flags for sent in found.values()])
        plain = replace(rows, words=words, start=starts)
        encoder = _encoder_part(part, plain, coded, flags, first_only=self.shared)
        return replace(plain, words=coded), replace(plain, words=flags, bits=1), encoder


def _repeated_rows(part: Part, sequence: int, rows: PortRows) -> int:
    """How many words at the start of a sequence repeat the last ones of the part before."""
    skip = int(part.skip[sequence])
    if rows.stride:
        return skip
    first = part.sequences.first_passes[sequence]
    return int(np.searchsorted(np.cumsum(part.sequences.lengths[first:]), skip, side="right"))


def _laid_out(
    rows: PortRows, sequences: OperandSequences
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64], NDArray[np.int64]]:
    """Words in the order in which they are sent, how many each sequence sends, and each pass's first."""
    lengths = sequences.lengths if rows.stride else np.ones_like(sequences.lengths)
    starts = np.cumsum(lengths) - lengths
    places = np.repeat(rows.start - starts, lengths) + np.arange(int(lengths.sum()))
    words: NDArray[Any] = rows.words[places]
    counts = np.add.reduceat(lengths, sequences.first_passes)
    return words.astype(np.uint8 if rows.bits <= 8 else np.uint16, copy=False), counts, starts


def _encoder_part(
    part: Part,
    plain: PortRows,
    wires: NDArray[np.unsignedinteger],
    flags: NDArray[np.uint8],
    *,
    first_only: bool,
) -> Part:
    """A sequence for each lane of each unit, or of the first unit."""
    sequences, lanes = part.sequences, wires.shape[1]
    count = len(part.units)
    chosen = np.arange(1 if first_only else count)
    ends = np.append(sequences.first_passes[1:], len(sequences.lengths))
    passes = [np.arange(sequences.first_passes[one], ends[one]) for one in chosen]
    of_pass = np.concatenate([np.tile(mine, lanes) for mine in passes])
    of_lane = np.concatenate([np.repeat(np.arange(lanes), len(mine)) for mine in passes])
    start = of_lane * len(wires) + plain.start[of_pass]
    before = wires.astype(np.int32) | flags.astype(np.int32) << plain.bits
    lengths = np.repeat([len(mine) for mine in passes], lanes)
    return Part(
        OperandSequences(
            lengths=sequences.lengths[of_pass],
            first_passes=np.cumsum(lengths) - lengths,
            inputs={
                "word": PortRows(plain.words.T.reshape(-1, 1), plain.bits, start, plain.stride),
                "before": PortRows(before.T.reshape(-1, 1), plain.bits + 1, start, plain.stride, delay=1),
            },
        ),
        units=np.repeat(part.units[chosen], lanes),
        skip=np.repeat(part.skip[chosen], lanes),
    )
