"""Energy that cells spend internally, per toggle of one of their pins.

The figures are the ``internal_power`` groups of the library, looked up at the slew of the related pin and the load
of the output, as in static power analysis; the slew is that of the edge which causes the output's. Each toggle
takes the mean of the figures for rising and falling edges.

If an output has figures for several related pins and states, they are weighted by how often the pin toggles while
the state holds (assuming independent pins), relative to all. If an input pin has figures for several states, each
counts for its share of the time, and one without a state covers the rest. OpenSTA has used these weights since 2020;
its version 2.0.17 adds the figures for both edges, and those of all related pins, without taking a mean.

Negative figures are kept: they correct the 1/2 C V^2 of the net in front of the cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fewflips.gates.liberty.cells import InternalEnergy, Pin
from fewflips.gates.liberty.lookup import values_at
from fewflips.gates.netlist.cell_groups import OPEN, CellGroup
from fewflips.gates.netlist.netlist import ONE_NET
from fewflips.gates.operands import Toggles
from fewflips.gates.power.states import condition_probability, sensitized_probability
from fewflips.gates.timing import Timing

_EdgeSlews = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Slews of rising and falling edges, each of shape (I,)."""


class Activity:
    """How often nets toggle, relative to one another, and the share of time for which they are 1.

    Parameters
    ----------
    clock_nets : ndarray of bool, shape (nets,)
        Clock nets, which toggle twice per cycle.
    observed : Toggles or None
        Toggles of a stream; by default all nets toggle equally often and are 1 half of the time.
    holds : mapping of int to int
        Flip-flops with gated clocks, see :class:`fewflips.gates.netlist.netlist.Netlist`.
    """

    def __init__(
        self, clock_nets: NDArray[np.bool_], observed: Toggles | None, holds: Mapping[int, int] | None = None
    ) -> None:
        self.holds = holds or {}
        nets = len(clock_nets)
        if observed is None or observed.transitions == 0:
            self.toggles, self.duties = np.ones(nets), np.full(nets, 0.5)
        else:
            self.toggles = observed.toggles.astype(np.float64)
            self.duties = observed.high / observed.transitions
            self.toggles[clock_nets] = 2.0 * observed.transitions
        self.duties[clock_nets] = 0.5
        self.toggles[: ONE_NET + 1] = 0.0
        self.duties[: ONE_NET + 1] = 0.0, 1.0

    def toggles_at(self, group: CellGroup, pin: str) -> NDArray[np.float64]:
        """Toggles of a pin, float64 (I,); 0 if it is not connected."""
        nets = group.nets[pin]
        return np.where(nets == OPEN, 0.0, self.toggles[nets])

    def duty(self, group: CellGroup, variable: str) -> NDArray[np.float64]:
        """Share of time that an input pin, or the stored bit of a flip-flop, is 1; float64 (I,)."""
        if variable in group.nets:
            shares = self._duty_at(group.nets[variable])
            return self._gated(group, shares) if self.holds and group.cell.pins[variable].is_clock else shares
        shares = np.full(len(group.instances), 0.5)
        if group.cell.flip_flop is not None:
            for pin in group.cell.outputs:
                nets = group.nets[pin.name]
                inverted = pin.function is not None and group.cell.flip_flop.inverted_state in pin.function
                share = self._duty_at(nets)
                shares = np.where(nets == OPEN, shares, 1 - share if inverted else share)
        return shares

    def _gated(self, group: CellGroup, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shares of time that clocks are 1, where held ones rest at 1."""
        held = np.array([self.holds.get(index, OPEN) for index in group.instances.tolist()], dtype=np.int64)
        return np.where(held == OPEN, shares, 1 - (1 - self._duty_at(held)) * (1 - shares))

    def _duty_at(self, nets: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where(nets == OPEN, 0.5, self.duties[nets])


def input_energy_fj(group: CellGroup, pin: Pin, timing: Timing, activity: Activity) -> NDArray[np.float64]:
    """Internal energy per toggle of an input pin.

    Parameters
    ----------
    group : CellGroup
        I instances of a cell.
    pin : Pin
        One of its input pins.
    timing : Timing
        Slews.
    activity : Activity
        Weights of the states.

    Returns
    -------
    ndarray of float64, shape (I,)
        In fJ, the mean of rising and falling edges.

    Raises
    ------
    CellLibraryError
        If a condition of the library is malformed.
    """
    nets = group.nets[pin.name]
    shares = _state_shares(group, pin.internal, np.ones(len(nets)), activity)
    slews = _slews(nets, timing)
    no_load = np.zeros(len(nets))
    total = np.zeros(len(nets))
    for entry, share in zip(pin.internal, shares, strict=True):
        total += share * _mean_of_edges(entry, slews, no_load)
    return total


def output_energy_fj(group: CellGroup, pin: Pin, timing: Timing, activity: Activity) -> NDArray[np.float64]:
    """Internal energy per toggle of an output pin; parameters and result as for :func:`input_energy_fj`."""
    nets = group.nets[pin.name]
    loads = np.where(nets == OPEN, 0.0, timing.loads_ff[nets])
    energies: list[NDArray[np.float64]] = []
    weights: list[NDArray[np.float64]] = []
    for name in _related_pins(group, pin):
        of_pin = tuple(entry for entry in pin.internal if entry.related == name)
        sensitized, toggles = np.ones(len(nets)), np.ones(len(nets))
        if name is not None:
            toggles = activity.toggles_at(group, name)
            found = sensitized_probability(group.cell, pin.function or "", name, partial(activity.duty, group))
            sensitized = sensitized if found is None else found
        slews = _slews(nets if name is None else group.nets[name], timing)
        energies += [_mean_of_edges(entry, _causing(pin, entry, slews), loads) for entry in of_pin]
        weights += [toggles * share for share in _state_shares(group, of_pin, sensitized, activity)]
    total = np.zeros(len(nets))
    for energy, weight in zip(energies, _normalized(weights), strict=True):
        total += weight * energy
    return total


def _slews(nets: NDArray[np.int64], timing: Timing) -> _EdgeSlews:
    """Slews of rising and falling edges at a pin; 0 if it is open."""
    rise, fall = (np.where(nets == OPEN, 0.0, slews[nets]) for slews in (timing.rise_slews_ps, timing.fall_slews_ps))
    return rise, fall


def _causing(pin: Pin, entry: InternalEnergy, slews: _EdgeSlews) -> _EdgeSlews:
    """Slews of the input edges that cause a rising and a falling edge of an output; their mean where either may."""
    rise, fall = slews
    arcs = [arc for arc in pin.arcs if arc.related == entry.related]
    senses = {arc.sense for arc in arcs if arc.when == entry.when} or {arc.sense for arc in arcs}
    if senses == {"positive_unate"}:
        return rise, fall
    if senses == {"negative_unate"}:
        return fall, rise
    return (rise + fall) / 2, (rise + fall) / 2


def _mean_of_edges(entry: InternalEnergy, slews: _EdgeSlews, loads: NDArray[np.float64]) -> NDArray[np.float64]:
    return (values_at(entry.rise_fj, slews[0], loads) + values_at(entry.fall_fj, slews[1], loads)) / 2


def _related_pins(group: CellGroup, pin: Pin) -> list[str | None]:
    """Pins that cause transitions of an output; for flip-flops only the clock, since controls are constant."""
    related = [entry.related for entry in pin.internal]
    known = [name for name in dict.fromkeys(related) if name is None or name in group.nets]
    clocks = [name for name in known if name is not None and group.cell.pins[name].is_clock]
    return [*clocks] if clocks else known


def _state_shares(
    group: CellGroup, entries: tuple[InternalEnergy, ...], whole: NDArray[np.float64], activity: Activity
) -> list[NDArray[np.float64]]:
    """Share of time of each entry's state; entries without one share the rest of `whole`."""
    shares = [
        None if entry.when is None else condition_probability(group.cell, entry.when, partial(activity.duty, group))
        for entry in entries
    ]
    unconditional = sum(share is None for share in shares)
    rest = np.maximum(whole - sum(share for share in shares if share is not None), 0.0)
    return [rest / unconditional if share is None else share + np.zeros_like(whole) for share in shares]


def _normalized(weights: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Weights that add up to 1; equal ones if nothing toggles."""
    if not weights:
        return []
    total = sum(weights, np.zeros_like(weights[0]))
    silent = total <= 0.0
    return [np.where(silent, 1 / len(weights), weight / np.where(silent, 1.0, total)) for weight in weights]
