"""Value changes of nets in a short window of cycles, for a VCD writer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.gates.operands import OperandSequences, Windows
from fewflips.gates.power.vcd import ValueChanges
from fewflips.gates.switching.circuit import Circuit
from fewflips.gates.switching.cutting import check_windows
from fewflips.gates.switching.engines import Propagating
from fewflips.gates.switching.lanes import Packer
from fewflips.gates.switching.layout import WaveformLayout, waveform_layout
from fewflips.gates.switching.prepared import check_ports, prepare
from fewflips.gates.switching.simulation import Mode
from fewflips.gates.switching.steps import Kind
from fewflips.gates.switching.words import WIDTH


def waveforms(
    circuit: Circuit,
    sequences: OperandSequences,
    window: Windows,
    mode: Mode,
    nets: NDArray[np.int64] | None = None,
) -> ValueChanges:
    """Value changes of nets.

    Parameters
    ----------
    circuit : Circuit
        From :func:`~fewflips.gates.switching.circuit.compile_circuit`.
    sequences : OperandSequences
        The values at its ports.
    window : Windows
        A single window. Its cycle 0 is the one into which its first transition leads.
    mode : {"zero-delay", "transport", "inertial"}
        As in :func:`~fewflips.gates.switching.simulation.simulate`.
    nets : ndarray of int64, optional
        Which nets; by default all.

    Returns
    -------
    ValueChanges
        Ordered by time, then by net. Clock nets do not change.

    Raises
    ------
    InputError
        If there is not exactly one window, or the window or the ports do not fit.
    """
    prepared = prepare(sequences)
    check_ports(circuit, sequences)
    check_windows(window, np.diff(prepared.sequence_begins))
    if len(window.sequence) != 1:
        raise InputError(f"waveforms: expected one window, got {len(window.sequence)}")
    layout = waveform_layout(circuit, shared=False)
    packer = Packer(circuit, sequences, prepared, WIDTH)
    engine = Propagating(circuit, packer, layout, inertial=mode == "inertial")
    wanted = np.zeros(circuit.signals, dtype=np.bool_)
    wanted[np.arange(len(circuit.netlist.nets)) if nets is None else nets] = True
    initial = np.zeros(len(circuit.netlist.nets), dtype=np.uint8)
    found: list[NDArray[np.int64]] = [np.empty((0, 4), dtype=np.int64)]
    begin = -(circuit.depth + 1)  # these cycles only fill the registers
    for words in packer.blocks(window, engine.memory):
        engine.block(words)
        for step in np.flatnonzero(circuit.kinds != Kind.CHECK).tolist():
            net = int(circuit.outputs[step])
            if net < len(initial):
                times, values = _waveform(engine, layout, packer.size, net, settled_only=mode == "zero-delay")
                first = -1 - begin
                if 0 <= first < WIDTH:
                    initial[net] = values[-1, first]
                if wanted[net]:
                    found.append(_changes(net, times, values, begin, int(window.transitions[0])))
        begin += WIDTH
    changes = np.concatenate(found)
    changes = changes[np.lexsort((changes[:, 2], changes[:, 1], changes[:, 0]))]
    return ValueChanges(
        int(window.transitions[0]), initial, changes[:, 0], changes[:, 1], changes[:, 2], changes[:, 3].astype(np.uint8)
    )


def _waveform(
    engine: Propagating, layout: WaveformLayout, begin: int, net: int, settled_only: bool
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Time steps of changes, shape (C,), and values before and after each, shape (C + 1, WIDTH), of the first lane."""
    mask = engine.masks[layout.mask_places[net] :][: layout.mask_lengths[net]]
    bits = np.unpackbits(mask.view(np.uint8), bitorder="little")
    times = np.flatnonzero(bits) + layout.first_times[net]
    place = begin + layout.places[net]
    rows = engine.memory[place : place + (len(times) + 1) * WIDTH].reshape(-1, WIDTH)
    values = (rows & np.uint64(1)).astype(np.uint8)
    if settled_only:
        return np.zeros(1, dtype=np.int64), values[[0, -1]]
    return times, values


def _changes(
    net: int, times: NDArray[np.int64], values: NDArray[np.uint8], begin: int, cycles: int
) -> NDArray[np.int64]:
    """Rows of cycle, time step, net and new value."""
    which, word = np.nonzero(values[1:] != values[:-1])
    inside = (begin + word >= 0) & (begin + word < cycles)
    which, word = which[inside], word[inside]
    return np.stack((begin + word, times[which], np.full(len(word), net), values[which + 1, word]), axis=1)
