"""Short blocks of cycles: a unit's operands in them, and its energy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.phases import Phase
from fewflips.dataflows.unit_work import Part, UnitWork
from fewflips.estimation.activity import LayerActivity
from fewflips.gates.operands import OperandSequences, Windows
from fewflips.gates.power.energy import energy_of
from fewflips.gates.switching import simulate
from fewflips.simulation.run import MODES
from fewflips.simulation.toggles import DelayModel
from fewflips.simulation.unit import ArithmeticUnit
from fewflips.streams.counting import ones_shares
from fewflips.streams.flips import bit_position_flips

BLOCK_CYCLES = 512
"""Cycles of a block."""
BLOCKS_A_LAYER = 4


@dataclass(frozen=True, eq=False)
class BlockFound:
    """One block.

    Parameters
    ----------
    activity : LayerActivity
        Its flips, as one phase of one cycle.
    energies_fj : dict of str to float
        Simulated data energy per unit cycle under each delay model.
    """

    activity: LayerActivity = field(repr=False)
    energies_fj: dict[DelayModel, float]


def choose_blocks(part: Part, generator: np.random.Generator) -> Windows:
    """Blocks of a part: one at a random place in each of up to four units.

    Parameters
    ----------
    part : Part
        Units with too few cycles for a whole block are left out.
    generator : numpy.random.Generator
        Chooses units and places.

    Returns
    -------
    Windows
        Each has :data:`BLOCK_CYCLES` transitions; none if no unit has that many.
    """
    long_enough = np.flatnonzero(part.transitions >= BLOCK_CYCLES)
    count = min(BLOCKS_A_LAYER, len(long_enough))
    sequence = np.sort(generator.choice(long_enough, count, replace=False)) if count else long_enough
    room = part.transitions[sequence] - BLOCK_CYCLES
    first = part.first_transitions[sequence] + np.floor(generator.random(len(sequence)) * (room + 1)).astype(np.int64)
    return Windows(sequence, first, np.full(len(sequence), BLOCK_CYCLES, dtype=np.int64))


def simulate_blocks(
    unit: ArithmeticUnit, part: Part, work: UnitWork, held: str, generator: np.random.Generator, jobs: int
) -> Iterator[BlockFound]:
    """Simulate some blocks of a layer, each separately.

    Parameters
    ----------
    unit : ArithmeticUnit
        The unit.
    part : Part
        What the units see.
    work : UnitWork
        What they share.
    held : {"weights", "activations"}
        The operand whose ones matter.
    generator : numpy.random.Generator
        Chooses the blocks.
    jobs : int
        Threads.

    Yields
    ------
    BlockFound
        Flips and energy.
    """
    windows = choose_blocks(part, generator)
    model = unit.shared_model(work.weight_share, work.activation_share)
    for index in range(len(windows.sequence)):
        one = slice(index, index + 1)
        block = Windows(windows.sequence[one], windows.first[one], windows.transitions[one])
        energies = {}
        for mode in MODES:
            toggles = simulate(unit.circuit, part.sequences, mode, windows=block, jobs=jobs)
            energies[mode] = energy_of(model, toggles, 0.0, 0.0).data_fj / toggles.transitions
        first = int(block.first[0])
        yield BlockFound(_activity(unit, part.sequences, int(block.sequence[0]), first, work, held), energies)


def port_words(sequences: OperandSequences, port: str, sequence: int, first: int, cycles: int) -> NDArray[np.integer]:
    """The words at a port in consecutive cycles of a sequence.

    Parameters
    ----------
    sequences : OperandSequences
        Streams.
    port : str
        An input port, treated as not delayed and not skewed.
    sequence : int
        Which sequence.
    first, cycles : int
        First cycle, and how many.

    Returns
    -------
    ndarray of the port's dtype, shape (cycles, lanes)
        Words.
    """
    begin = int(sequences.first_passes[sequence])
    after = sequences.first_passes[sequence + 1 : sequence + 2]
    end = int(after[0]) if len(after) else len(sequences.lengths)
    ends = np.cumsum(sequences.lengths[begin:end])
    cycle = np.arange(first, first + cycles)
    passes = np.searchsorted(ends, cycle, side="right")
    within = cycle - (ends - sequences.lengths[begin:end])[passes]
    rows = sequences.inputs[port]
    return rows.words[rows.start[begin + passes] + rows.stride * within]


def _activity(
    unit: ArithmeticUnit, sequences: OperandSequences, sequence: int, first: int, work: UnitWork, held: str
) -> LayerActivity:
    datapath = unit.datapath
    words = {
        name: port_words(sequences, name, sequence, first - 1, BLOCK_CYCLES + 1) for name in ("weights", "activations")
    }
    used = (words["weights"].any(axis=0)) & (words["activations"].any(axis=0))
    lanes = max(1, int(used.sum()))
    rates = {
        name: bit_position_flips(np.ascontiguousarray(content[:, used]), word.bits) / (BLOCK_CYCLES * lanes)
        for (name, content), word in zip(words.items(), (datapath.weights, datapath.activations), strict=True)
    }
    adds = datapath.partial_sum_input and port_words(sequences, "partial_sum", sequence, first, BLOCK_CYCLES).any()
    bits = datapath.weights.bits if held == "weights" else datapath.activations.bits
    return LayerActivity(
        phases=(Phase(1.0, lanes, rates["weights"], rates["activations"], bool(adds)),),
        weight_share=work.weight_share,
        activation_share=work.activation_share,
        held_ones=ones_shares(words[held][:, used], bits) if used.any() else None,
    )
