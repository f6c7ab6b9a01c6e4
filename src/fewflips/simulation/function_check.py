"""Checks that the gates of a unit compute its intended function."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.datapath.arithmetic import expected_outputs, first_known_output
from fewflips.datapath.design import Datapath
from fewflips.errors import NetlistError
from fewflips.gates.operands import OperandSequences, Windows
from fewflips.gates.switching import Circuit, waveforms
from fewflips.simulation.port_words import first_cycles

CHECKED_CYCLES = 256


def check_function(circuit: Circuit, datapath: Datapath, sequences: OperandSequences) -> None:
    """Compare a netlist's output with integer arithmetic.

    Parameters
    ----------
    circuit : Circuit
        The gates.
    datapath : Datapath
        Their intended function.
    sequences : OperandSequences
        Operands; the first :data:`CHECKED_CYCLES` of the first sequence are used.

    Raises
    ------
    NetlistError
        If an output word differs, or the netlist lacks the output.
    """
    port = datapath.traits.output
    nets = circuit.netlist.outputs.get(port, ())
    if len(nets) != datapath.accumulator_bits:
        raise NetlistError(
            f"netlist {circuit.netlist.name}: expected an output port {port}[{datapath.accumulator_bits}] for this "
            f"accelerator and network, got {len(nets)} bits: give the netlist of this unit"
        )
    words = first_cycles(sequences, CHECKED_CYCLES)
    expected = expected_outputs(datapath, words)
    found = _words(circuit, sequences, np.array(nets), words.cycles)
    first = first_known_output(datapath, words)
    different = np.flatnonzero(found[first:] != expected[first:])
    if len(different):
        cycle = first + int(different[0])
        raise NetlistError(
            f"netlist {circuit.netlist.name}: {port} differs from integer arithmetic in {len(different)} of "
            f"{words.cycles - first} cycles; in cycle {cycle} expected {expected[cycle]:#x}, got {found[cycle]:#x}: "
            "give the netlist of this unit"
        )


def _words(circuit: Circuit, sequences: OperandSequences, nets: NDArray[np.int64], cycles: int) -> NDArray[np.uint64]:
    """Words on some nets (least significant first) in each cycle, shape (cycles,)."""
    window = Windows(np.zeros(1, np.int64), np.ones(1, np.int64), np.array([cycles - 1]))
    changes = waveforms(circuit, sequences, window, "zero-delay", np.unique(nets))
    places = np.full(len(circuit.netlist.nets), -1)
    places[np.unique(nets)] = np.arange(len(np.unique(nets)))
    values = np.zeros((cycles, len(np.unique(nets))), dtype=np.int64)
    signs = np.where(changes.values == 1, 1, -1)
    np.add.at(values, (changes.cycles + 1, places[changes.nets]), signs)
    values[0] += changes.initial[np.unique(nets)]
    bits = np.cumsum(values, axis=0)[:, places[nets]].astype(np.uint64)
    return np.asarray((bits << np.arange(len(nets), dtype=np.uint64)).sum(axis=1, dtype=np.uint64))
