"""Standard cells as objects: pins, functions, capacitances, delays, energies, leakage.

Units are fixed: fF, ps, fJ, nW, um^2, V, degrees Celsius. Readers convert to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Table:
    """A lookup table over input slew and output load, interpolated and extrapolated bilinearly.

    Parameters
    ----------
    slews_ps : ndarray of float64, shape (S,)
        Strictly increasing; one entry if the table does not depend on the slew.
    loads_ff : ndarray of float64, shape (C,)
        Strictly increasing; one entry if the table does not depend on the load.
    values : ndarray of float64, shape (S, C)
        In ps or fJ.
    """

    slews_ps: NDArray[np.float64]
    loads_ff: NDArray[np.float64]
    values: NDArray[np.float64] = field(repr=False)

    def at(self, slew_ps: float, load_ff: float) -> float:
        """Value at one slew and load."""
        rows = _weights(self.slews_ps, slew_ps)
        columns = _weights(self.loads_ff, load_ff)
        return float(rows @ self.values @ columns)

    def on(self, slews_ps: NDArray[np.float64], loads_ff: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values at every pair of some slews and loads.

        Parameters
        ----------
        slews_ps : ndarray of float64, shape (M,)
            Slews, in any order.
        loads_ff : ndarray of float64, shape (N,)
            Loads, in any order.

        Returns
        -------
        ndarray of float64, shape (M, N)
            In ps or fJ.
        """
        return axis_weights(self.slews_ps, slews_ps) @ self.values @ axis_weights(self.loads_ff, loads_ff).T


@dataclass(frozen=True)
class TimingArc:
    """Delay and output slew from one input (or clock) pin to an output pin.

    Parameters
    ----------
    related : str
        The input pin.
    delay_rise_ps, delay_fall_ps : Table
        Delay (50 % to 50 %) to a rising or falling output.
    slew_rise_ps, slew_fall_ps : Table
        Transition time of the output, as the library defines it.
    when : str or None
        State of the other pins for which the arc holds.
    sense : {"positive_unate", "negative_unate", "non_unate"}
        How the output follows the pin.
    """

    related: str
    delay_rise_ps: Table
    delay_fall_ps: Table
    slew_rise_ps: Table
    slew_fall_ps: Table
    when: str | None = None
    sense: Literal["positive_unate", "negative_unate", "non_unate"] = "non_unate"


@dataclass(frozen=True)
class InternalEnergy:
    """Energy that a cell spends internally per transition of a pin, in addition to charging its output load.

    Parameters
    ----------
    related : str or None
        For an output pin, the input that caused the transition; None on input pins.
    rise_fj, fall_fj : Table
        Energy per rising or falling transition, in fJ.
    when : str or None
        State of the other pins for which the figures hold.
    """

    related: str | None
    rise_fj: Table
    fall_fj: Table
    when: str | None = None


@dataclass(frozen=True)
class Pin:
    """A pin of a cell.

    Parameters
    ----------
    name : str
        As in netlists.
    direction : {"input", "output"}
        Internal pins and supplies are left out.
    capacitance_ff : float
        Load that an input pin puts on its net; 0 for outputs.
    function : str or None
        Liberty boolean expression of an output over input pins, or over the state names of a flip-flop (``IQ``).
    is_clock : bool
        Whether the pin clocks the cell.
    arcs : tuple of TimingArc
        Combinational and clock-to-output arcs; setup, hold and the like are left out.
    internal : tuple of InternalEnergy
        Energies of transitions of this pin.
    """

    name: str
    direction: Literal["input", "output"]
    capacitance_ff: float = 0.0
    function: str | None = None
    is_clock: bool = False
    arcs: tuple[TimingArc, ...] = field(default=(), repr=False)
    internal: tuple[InternalEnergy, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class FlipFlop:
    """State of an edge-triggered cell.

    Parameters
    ----------
    state, inverted_state : str
        Names that output functions use, such as ``IQ`` and ``IQN``.
    clocked_on : str
        Liberty expression of the active clock edge: ``CK``, ``!CKN``.
    next_state : str
        Liberty expression of the value stored, over input pins.
    clear, preset : str or None
        Asynchronous controls.
    """

    state: str
    inverted_state: str
    clocked_on: str
    next_state: str
    clear: str | None = None
    preset: str | None = None


@dataclass(frozen=True)
class Cell:
    """A standard cell.

    Parameters
    ----------
    name : str
        As in netlists.
    area_um2 : float
        Area.
    leakage_nw : float
        Leakage power; the mean over the cell's states if the library gives several.
    pins : mapping of str to Pin
        Signal pins.
    flip_flop : FlipFlop or None
        For edge-triggered cells.
    is_latch : bool
        Level-sensitive cells cannot be simulated here.
    dont_use : bool
        Whether the library excludes the cell from synthesis.
    """

    name: str
    area_um2: float
    leakage_nw: float
    pins: Mapping[str, Pin] = field(repr=False)
    flip_flop: FlipFlop | None = None
    is_latch: bool = False
    dont_use: bool = False

    @property
    def inputs(self) -> tuple[Pin, ...]:
        """Input pins, clock included."""
        return tuple(pin for pin in self.pins.values() if pin.direction == "input")

    @property
    def outputs(self) -> tuple[Pin, ...]:
        """Output pins."""
        return tuple(pin for pin in self.pins.values() if pin.direction == "output")


@dataclass(frozen=True)
class Reduction:
    """How a reduced table of cells was distilled, and how far its figures are from the library's.

    Parameters
    ----------
    source, sha256 : str
        The Liberty file's name, and the digest of its content.
    method : str
        How the figures were made, in a sentence.
    slews_ps, loads_ff : tuple of float
        Range of input slews and output loads in which the errors hold.
    delay_error_percent, energy_error_percent : tuple of float
        Mean, 99th percentile and maximum of the difference from the library's tables within that range, in percent of a
        table's mean. Energies are the mean of a rise and a fall, in percent of a whole transition including the energy
        in the load.
    delay_spread_percent, energy_spread_percent : tuple of float
        The same for the deviation of the library's state-dependent figures from their mean, which the reduced table
        holds.
    """

    source: str
    sha256: str
    method: str
    slews_ps: tuple[float, float]
    loads_ff: tuple[float, float]
    delay_error_percent: tuple[float, float, float]
    energy_error_percent: tuple[float, float, float]
    delay_spread_percent: tuple[float, float, float]
    energy_spread_percent: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class CellLibrary:
    """Cells at one corner.

    Parameters
    ----------
    name : str
        The library's own name.
    source : str
        File name, or name of a built-in table.
    sha256 : str
        Digest of the file's content.
    corner : str
        Name of the operating conditions, such as ``typical`` or ``tt_025C_1v80``.
    voltage_v : float
        Supply.
    temperature_c : float
        Temperature.
    cells : mapping of str to Cell
        By name.
    notice : str
        Copyright and licence lines of the file's header; empty if it has none.
    reduction : Reduction or None
        For reduced tables: how they were distilled.
    left_out : mapping of str to str
        Cells of the file that cannot be read, such as memories with buses among the standard cells, and why. A
        netlist that uses one is refused.
    """

    name: str
    source: str
    sha256: str
    corner: str
    voltage_v: float
    temperature_c: float
    cells: Mapping[str, Cell] = field(repr=False)
    notice: str = field(default="", repr=False)
    reduction: Reduction | None = None
    left_out: Mapping[str, str] = field(default_factory=dict, repr=False)


def axis_weights(axis: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of an axis' points at other points, in linear interpolation or extrapolation.

    Parameters
    ----------
    axis : ndarray of float64, shape (S,)
        Strictly increasing.
    points : ndarray of float64, shape (M,)
        Where to evaluate the weights.

    Returns
    -------
    ndarray of float64, shape (M, S)
        Each row sums to 1.

    Examples
    --------
    >>> axis_weights(np.array([0.0, 10.0]), np.array([4.0]))
    array([[0.6, 0.4]])
    """
    return np.array([_weights(axis, point) for point in points.tolist()]).reshape(len(points), len(axis))


def _weights(axis: NDArray[np.float64], value: float) -> NDArray[np.float64]:
    """Weights of the axis' points in linear interpolation or extrapolation."""
    weights = np.zeros(len(axis))
    if len(axis) == 1:
        weights[0] = 1.0
        return weights
    left = int(np.clip(np.searchsorted(axis, value) - 1, 0, len(axis) - 2))
    fraction = (value - axis[left]) / (axis[left + 1] - axis[left])
    weights[left], weights[left + 1] = 1 - fraction, fraction
    return weights
