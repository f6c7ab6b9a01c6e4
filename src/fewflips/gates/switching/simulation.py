"""Counts the toggles of every net of a circuit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError, NetlistError
from fewflips.gates.operands import OperandSequences, Toggles, Windows
from fewflips.gates.switching.circuit import Circuit
from fewflips.gates.switching.cutting import check_windows, cut_windows, pieces
from fewflips.gates.switching.engines import Evaluator, Propagating, Settling
from fewflips.gates.switching.lanes import Packer
from fewflips.gates.switching.layout import waveform_layout
from fewflips.gates.switching.packing import LANES
from fewflips.gates.switching.prepared import Prepared, check_ports, prepare
from fewflips.gates.switching.steps import Kind
from fewflips.parallel.tasks import Stop, run_all
from fewflips.progress import Progress

Mode = Literal["zero-delay", "transport", "inertial"]
"""Delays of gates: none; every change passes; changes shorter than the delay are swallowed."""

_Counts = tuple[NDArray[np.int64], NDArray[np.int64]]

BLOCK_WORDS = 128
"""Cycles of each lane in a block: few enough for all signals of a block to stay in the processor's cache."""


def simulate(
    circuit: Circuit,
    sequences: OperandSequences,
    mode: Mode,
    *,
    windows: Windows | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    check_registers: bool = True,
) -> Toggles:
    """Count the toggles of every net.

    Windows are cut into pieces of nearly equal length; 64 pieces are simulated side by side, one in each bit of a
    word, with the words of consecutive cycles side by side in vectors.

    Parameters
    ----------
    circuit : Circuit
        From :func:`~fewflips.gates.switching.circuit.compile_circuit`.
    sequences : OperandSequences
        The values at its ports.
    mode : {"zero-delay", "transport", "inertial"}
        Without delays; with transport delays (every pulse passes; for verification, not for energy); with inertial
        delays.
    windows : Windows, optional
        Transitions to count; by default all transitions of every sequence.
    jobs : int
        Threads.
    progress : Progress, optional
        Called with the transitions simulated.
    check_registers : bool
        Whether to check that the given contents of registers are what the netlist computes.

    Returns
    -------
    Toggles
        Counts of every net; clock nets have none.

    Raises
    ------
    InputError
        If ports are missing or do not fit, windows lie outside their sequences, or there is nothing to count.
    NetlistError
        If a register does not hold what the netlist computes, or a cycle takes too many time steps.
    """
    if mode not in ("zero-delay", "transport", "inertial"):
        raise InputError(f"mode: expected zero-delay, transport or inertial, got {mode}")
    if jobs < 1:
        raise InputError(f"jobs: expected at least 1 thread, got {jobs}")
    prepared = prepare(sequences)
    check_ports(circuit, sequences)
    parts = _parts(prepared, windows, jobs)
    transitions = int(parts.transitions.sum())
    report = _Report(progress, mode, transitions)
    groups = _groups(parts)
    shares = [groups[first::jobs] for first in range(min(jobs, len(groups)))]

    def run(share: list[Windows]) -> _Counts:
        packer = Packer(circuit, sequences, prepared, BLOCK_WORDS)
        return _run(_evaluator(circuit, packer, mode), share, report, stop)

    stop = Stop()
    finished = run_all(run, shares, jobs=jobs, in_this_process=True, stop=stop)
    toggles = np.sum([counted[0] for counted in finished], axis=0)
    high = np.sum([counted[1] for counted in finished], axis=0)
    if check_registers:
        _check_registers(circuit, toggles)
    return _by_net(circuit, toggles, high, transitions)


def simulate_groups(
    circuit: Circuit,
    sequences: OperandSequences,
    mode: Mode,
    groups: Sequence[Windows],
    coefficients: NDArray[np.float64],
    *,
    jobs: int = 1,
) -> NDArray[np.float64]:
    """Weighted sums of the toggles of each group of windows for itself.

    Parameters
    ----------
    circuit : Circuit
        From :func:`~fewflips.gates.switching.circuit.compile_circuit`.
    sequences : OperandSequences
        The values at its ports.
    mode : {"zero-delay", "transport", "inertial"}
        As for :func:`simulate`.
    groups : sequence of Windows
        Up to 64 windows each, of similar length: they are simulated side by side.
    coefficients : ndarray of float64, shape (sums, nets)
        What a toggle of each net counts in each sum.
    jobs : int
        Threads.

    Returns
    -------
    ndarray of float64, shape (groups, sums)
        Sums over all transitions of a group; they do not depend on the other groups.

    Raises
    ------
    InputError
        If ports are missing or do not fit, windows lie outside their sequences, or a group has more than 64 windows.
    NetlistError
        If a register does not hold what the netlist computes, or a cycle takes too many time steps.
    """
    prepared = prepare(sequences)
    check_ports(circuit, sequences)
    cycles = np.diff(prepared.sequence_begins)
    for group in groups:
        check_windows(group, cycles)
        if len(group.sequence) > LANES:
            raise InputError(f"group of windows: expected at most {LANES}, got {len(group.sequence)}")
    by_step = _coefficients_by_step(circuit, coefficients)
    quiet, shares = _Report(None, mode, 0), [groups[first::jobs] for first in range(min(jobs, len(groups)))]

    def run(share: Sequence[Windows]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        engine = _evaluator(circuit, Packer(circuit, sequences, prepared, BLOCK_WORDS), mode)
        sums = np.zeros((len(share), len(coefficients)))
        for place, group in enumerate(share):
            if stop():
                break
            before = engine.toggles.copy()
            _run(engine, [group], quiet, stop)
            sums[place] = by_step @ (engine.toggles - before)
        return sums, engine.toggles

    stop = Stop()
    finished = run_all(run, shares, jobs=jobs, in_this_process=True, stop=stop)
    found = np.zeros((len(groups), len(coefficients)))
    for first, (sums, toggles) in enumerate(finished):
        _check_registers(circuit, toggles)
        found[first::jobs] = sums
    return found


def _evaluator(circuit: Circuit, packer: Packer, mode: Mode) -> Evaluator:
    if mode == "zero-delay":
        return Settling(circuit, packer)
    return Propagating(circuit, packer, waveform_layout(circuit), inertial=mode == "inertial")


class _Report:
    """Adds up the threads' progress and reports it to the caller."""

    def __init__(self, progress: Progress | None, mode: str, total: int) -> None:
        self._progress = progress
        self._phase = f"simulating switching ({mode})"
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def add(self, transitions: int) -> None:
        """Count transitions as done."""
        if self._progress is not None:
            with self._lock:
                self._done += transitions
                self._progress(self._phase, self._done, self._total)


def _parts(prepared: Prepared, windows: Windows | None, jobs: int) -> Windows:
    """Pieces of windows for all lanes of all threads."""
    cycles = np.diff(prepared.sequence_begins)
    if windows is None:
        if (cycles < 2).all():
            raise InputError(
                f"operand sequences: expected at least one of two cycles or more, got at most {cycles.max()}; "
                "a toggle needs a cycle before it"
            )
        return cut_windows(cycles, jobs * LANES)
    check_windows(windows, cycles)
    return pieces(windows, jobs * LANES)


def _groups(parts: Windows) -> list[Windows]:
    """Group windows of similar length, 64 at a time."""
    order = np.argsort(-parts.transitions, kind="stable")
    return [
        Windows(parts.sequence[some], parts.first[some], parts.transitions[some])
        for some in (order[begin : begin + LANES] for begin in range(0, len(order), LANES))
    ]


def _run(engine: Evaluator, groups: list[Windows], report: _Report, stop: Stop) -> _Counts:
    """Counts by step over some groups; fewer once it is to stop."""
    for group in groups:
        total, length = int(group.transitions.sum()), int(group.transitions.max())
        words = told = 0
        for block in engine.packer.blocks(group, engine.memory):
            if stop():
                return engine.toggles, engine.high
            engine.block(block)
            words += block
            done = min(total, total * words // length)
            report.add(done - told)
            told = done
    return engine.toggles, engine.high


def _check_registers(circuit: Circuit, toggles: NDArray[np.int64]) -> None:
    """Raise an error if a check has counted mismatches."""
    wrong = np.where(circuit.kinds == Kind.CHECK, toggles, 0)
    if wrong.any():
        step = int(wrong.argmax())
        name = circuit.netlist.instances[int(circuit.instances[step])].name
        port = next(p.name for p in circuit.ports if p.first_bit <= circuit.bits[step] < p.first_bit + p.width)
        raise NetlistError(
            f"netlist {circuit.netlist.name}: the register {name} (shown at {port}) does not hold what the netlist "
            f"computes in {int(wrong[step])} cycles; give the contents that belong to these operands"
        )


def _coefficients_by_step(circuit: Circuit, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a toggle counted in each step counts, from what one of each net counts; shape (sums, steps)."""
    shown = _shows_a_net(circuit)
    by_step = np.zeros((len(coefficients), len(circuit.kinds)))
    by_step[:, shown] = coefficients[:, circuit.outputs[shown]]
    return by_step


def _shows_a_net(circuit: Circuit) -> NDArray[np.bool_]:
    """Steps whose counts are those of a net."""
    return (circuit.outputs < len(circuit.netlist.nets)) & (circuit.kinds != Kind.CHECK)


def _by_net(circuit: Circuit, toggles: NDArray[np.int64], high: NDArray[np.int64], transitions: int) -> Toggles:
    """Counts per net from counts per step."""
    nets = len(circuit.netlist.nets)
    shown = _shows_a_net(circuit)
    by_net = np.zeros((2, nets), dtype=np.int64)
    by_net[0, circuit.outputs[shown]] = toggles[shown]
    by_net[1, circuit.outputs[shown]] = high[shown]
    return Toggles(by_net[0], by_net[1], transitions)
