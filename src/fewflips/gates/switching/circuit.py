"""Compiling a netlist into the tables that drive the kernels."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError, NetlistError
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.switching.steps import EvaluationProgram, EvaluationStep, GivenPort, Kind, netlist_steps

MOST_TIME_STEPS = 4096
"""Maximum number of time steps in which a cycle has to settle."""

_WORD_BITS = 64


@dataclass(frozen=True, eq=False)
class Circuit:
    """A netlist, ready to be simulated.

    Parameters
    ----------
    netlist : Netlist
        The netlist it was made from.
    step_ps : float
        Length of a time step.
    ports : tuple of GivenPort
        Input ports except the clock, and output ports that show registers with feedback.
    kinds, functions : ndarray of int64, shape (steps,)
        :class:`~fewflips.gates.switching.steps.Kind` and function of each step, in order of evaluation.
    operands : ndarray of int64, shape (steps, 4)
        Signals that a step reads; absent ones repeat the first.
    outputs : ndarray of int64, shape (steps,)
        The signal that a step computes.
    inverts : ndarray of uint64, shape (steps,)
        All ones if the result is inverted, else 0.
    bits : ndarray of int64, shape (steps,)
        Index of the given bit that a step takes, or -1.
    instances : ndarray of int64, shape (steps,)
        The cell that a step belongs to, or -1.
    delays : ndarray of int64, shape (steps,)
        In time steps: at least 1 at nets that cells drive, 0 at ports and inside cells.
    signals : int
        Nets, and signals inside cells.
    depth : int
        Number of cycles after which every register without feedback has forgotten its initial contents.
    """

    netlist: Netlist = field(repr=False)
    step_ps: float
    ports: tuple[GivenPort, ...]
    kinds: NDArray[np.int64] = field(repr=False)
    functions: NDArray[np.int64] = field(repr=False)
    operands: NDArray[np.int64] = field(repr=False)
    outputs: NDArray[np.int64] = field(repr=False)
    inverts: NDArray[np.uint64] = field(repr=False)
    bits: NDArray[np.int64] = field(repr=False)
    instances: NDArray[np.int64] = field(repr=False)
    delays: NDArray[np.int64] = field(repr=False)
    signals: int
    depth: int

    @property
    def given_bits(self) -> int:
        """Total number of bits of all ports."""
        return sum(port.width for port in self.ports)

    @cached_property
    def last_uses(self) -> NDArray[np.int64]:
        """For each signal, the last step that reads it, or the one that computes it."""
        last = np.zeros(self.signals, dtype=np.int64)
        numbers = np.arange(len(self.kinds))
        last[self.outputs] = numbers
        np.maximum.at(last, self.operands.ravel(), numbers.repeat(self.operands.shape[1]))
        return last

    @cached_property
    def event_times(self) -> tuple[int, ...]:
        """For each signal, the time steps at which it can change within a cycle, as bits of an integer.

        Raises
        ------
        NetlistError
            If a cycle takes more than :data:`MOST_TIME_STEPS` to settle.
        """
        times = [0] * self.signals
        for kind, output, operands, delay in zip(
            self.kinds.tolist(), self.outputs.tolist(), self.operands.tolist(), self.delays.tolist(), strict=True
        ):
            if kind == Kind.GATE:
                merged = 0
                for operand in operands:
                    merged |= times[operand]
                times[output] = merged << delay
            elif kind in (Kind.PORT, Kind.REGISTER):
                times[output] = 1 << delay
            if times[output].bit_length() > MOST_TIME_STEPS:
                raise NetlistError(
                    f"netlist {self.netlist.name}: expected a cycle to settle within {MOST_TIME_STEPS} time steps of "
                    f"{self.step_ps:g} ps, but {self._name(output)} changes later; take a coarser step"
                )
        return tuple(times)

    def _name(self, signal: int) -> str:
        nets = self.netlist.nets
        return nets[signal] if signal < len(nets) else "a signal inside a cell"


def compile_circuit(
    netlist: Netlist,
    library: CellLibrary,
    delays_ps: NDArray[np.float64] | None = None,
    step_ps: float = 10.0,
) -> Circuit:
    """Prepare a netlist for simulation.

    Parameters
    ----------
    netlist : Netlist
        A netlist that :func:`fewflips.gates.netlist.checks.check_netlist` accepts.
    library : CellLibrary
        Its cells.
    delays_ps : ndarray of float64, shape (nets,), optional
        Delay of the cell output that drives each net; for registers, from the clock. Rounded to time steps, at least
        one. By default every cell takes one time step.
    step_ps : float
        Length of a time step, in ps.

    Returns
    -------
    Circuit
        For :func:`~fewflips.gates.switching.simulate`.

    Raises
    ------
    NetlistError
        If no output port shows a register with feedback.
    InputError
        If the delays or the time step are not usable.
    """
    nets = len(netlist.nets)
    if not 0 < step_ps < np.inf:
        raise InputError(f"step_ps: expected a time step above 0 ps, got {step_ps}")
    if delays_ps is None:
        delays_ps = np.zeros(nets)
    if delays_ps.shape != (nets,) or not np.isfinite(delays_ps).all() or (delays_ps < 0).any():
        raise InputError(
            f"delays_ps: expected {nets} finite delays of at least 0 ps, one a net, got shape {delays_ps.shape}"
            + (f" with {delays_ps.min()} to {delays_ps.max()} ps" if delays_ps.size else "")
        )
    in_steps = np.maximum(1.0, np.rint(delays_ps / step_ps))
    if in_steps.max(initial=0.0) >= MOST_TIME_STEPS:
        slowest = int(in_steps.argmax())
        raise InputError(
            f"delays_ps: expected delays below {MOST_TIME_STEPS} time steps of {step_ps:g} ps, got "
            f"{delays_ps[slowest]:g} ps at {netlist.nets[slowest]}; take a coarser step"
        )
    return _circuit(netlist, netlist_steps(netlist, library), in_steps.astype(np.int64), step_ps)


def _circuit(netlist: Netlist, steps: EvaluationProgram, net_delays: NDArray[np.int64], step_ps: float) -> Circuit:
    program = steps.steps
    delays = [
        int(net_delays[step.output]) if step.instance >= 0 and step.output < len(net_delays) else 0 for step in program
    ]
    everything = np.iinfo(np.uint64).max
    return Circuit(
        netlist=netlist,
        step_ps=step_ps,
        ports=steps.ports,
        kinds=np.array([step.kind for step in program], dtype=np.int64),
        functions=np.array([step.function for step in program], dtype=np.int64),
        operands=np.array([_four(step) for step in program], dtype=np.int64).reshape(-1, 4),
        outputs=np.array([step.output for step in program], dtype=np.int64),
        inverts=np.array([everything if step.inverts else 0 for step in program], dtype=np.uint64),
        bits=np.array([step.bit for step in program], dtype=np.int64),
        instances=np.array([step.instance for step in program], dtype=np.int64),
        delays=np.array(delays, dtype=np.int64),
        signals=steps.signals,
        depth=_depth(program, steps.signals),
    )


def _four(step: EvaluationStep) -> tuple[int, int, int, int]:
    """Operands, with absent ones replaced by the first (a step's own output if it has none)."""
    first = step.operands[0] if step.operands else step.output
    a, b, c, d = (*step.operands, first, first, first, first)[:4]
    return a, b, c, d


def _depth(program: tuple[EvaluationStep, ...], signals: int) -> int:
    """Largest number of registers without feedback on a path."""
    depth = [0] * signals
    for step in program:
        before = max((depth[operand] for operand in step.operands), default=0)
        depth[step.output] = before + (step.kind == Kind.REGISTER)
    return max(depth)
