"""Toggles of a layer, in its units and the encoders in front of them, and what they cost machines that share them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import hypot

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.layer_operands import LayerOperands
from fewflips.dataflows.unit_work import PART_CYCLES, UnitWork
from fewflips.gates.power.attribution import PARTS, REGISTERS
from fewflips.gates.power.energy import Energy, EnergyModel, energy_of
from fewflips.machine import Accelerator
from fewflips.simulation.sampling import relative_ci95
from fewflips.simulation.toggles import DelayModel, LayerToggles, count_toggles
from fewflips.simulation.unit import ArithmeticUnit


@dataclass(frozen=True, eq=False)
class LayerData:
    """Energy of the data of a layer, in fJ.

    Parameters
    ----------
    parts_fj : ndarray of float64, shape (parts,)
        By part of the unit, in the order of :data:`fewflips.gates.power.attribution.PARTS`.
    half_width_fj : float
        Half of the 95 % confidence interval of their sum; 0 if nothing was sampled.
    """

    parts_fj: NDArray[np.float64] = field(repr=False)
    half_width_fj: float


@dataclass(frozen=True, eq=False)
class CountedLayer:
    """Toggles of a layer on one sample, under one delay model.

    Parameters
    ----------
    unit : ArithmeticUnit
        The unit.
    toggles : LayerToggles
        Of its nets.
    encoders : mapping of str to LayerToggles
        For each coded port, those of the encoders in front of it.
    """

    unit: ArithmeticUnit
    toggles: LayerToggles = field(repr=False)
    encoders: Mapping[str, LayerToggles] = field(repr=False)
    _data: dict[tuple[float, float], LayerData] = field(default_factory=dict, repr=False)

    def data(self, work: UnitWork) -> LayerData:
        """Energy of the units' data, computed once for machines whose units share the same registers."""
        shares = work.weight_share, work.activation_share
        if shares not in self._data:
            half_width_fj = _half_width_fj(self.unit.shared_model(*shares), self.toggles)
            self._data[shares] = LayerData(self.unit.data_by_part(self.toggles, work), half_width_fj)
        return self._data[shares]


def count_layer(
    unit: ArithmeticUnit,
    operands: LayerOperands,
    segments: tuple[Segment, ...],
    array: Accelerator,
    mode: DelayModel,
    *,
    share: float,
    seed: tuple[int, ...],
    jobs: int,
    on_part: Callable[[int], None] | None = None,
) -> CountedLayer:
    """Simulate the units of a layer, and the encoders of coded ports on the same share of their cycles.

    Parameters
    ----------
    unit : ArithmeticUnit
        The unit that makes up the array.
    operands : LayerOperands
        Codes of both operands.
    segments : tuple of Segment
        Lanes and order of each pass.
    array : Accelerator
        The array.
    mode : {"zero-delay", "inertial"}
        Delay model.
    share : float
        Share of the cycles to simulate.
    seed : tuple of int
        Chooses the sample.
    jobs : int
        Threads.
    on_part : callable, optional
        Called with the number of transitions of each part of the units' cycles that is finished.

    Returns
    -------
    CountedLayer
        Their toggles.
    """
    flow = dataflow_of(array)
    toggles = count_toggles(
        unit.circuit,
        flow.unit_parts(operands, segments, array, PART_CYCLES),
        mode,
        share=share,
        seed=seed,
        jobs=jobs,
        on_part=on_part,
    )
    encoders = {}
    for port, encoder in unit.encoders.items():
        of_port = (part.encoders[port] for part in flow.unit_parts(operands, segments, array, PART_CYCLES))
        encoders[port] = count_toggles(encoder.circuit, of_port, mode, share=share, seed=seed, jobs=jobs)
    return CountedLayer(unit, toggles, encoders)


@dataclass
class EnergySum:
    """Energy of a layer on a machine, summed over samples.

    Parameters
    ----------
    energy : Energy
        Of all units and encoders, in fJ.
    parts_fj : ndarray of float64, shape (parts,)
        Energy of the data by part of the unit, encoders among its registers.
    half_width_fj : float
        Half of the 95 % confidence interval of the energy of the data.
    sampled : bool
        Whether any unit was simulated in a sample of its cycles only.
    """

    energy: Energy = field(default_factory=lambda: Energy(0.0, 0.0, 0.0, 0.0))
    parts_fj: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(PARTS)))
    half_width_fj: float = 0.0
    sampled: bool = False

    def add(self, counted: CountedLayer, work: UnitWork, clock_mhz: float) -> None:
        """Add a sample.

        Parameters
        ----------
        counted : CountedLayer
            Its toggles.
        work : UnitWork
            How long the machine's units work, and what they share.
        clock_mhz : float
            The machine's clock, for leakage.
        """
        unit, data = counted.unit, counted.data(work)
        self.energy += unit.energy(counted.toggles, work, clock_mhz)
        self.parts_fj += data.parts_fj
        self.half_width_fj = hypot(self.half_width_fj, data.half_width_fj)
        self.sampled = self.sampled or bool(counted.toggles.replicates)
        for port, toggles in counted.encoders.items():
            spent = unit.encoder_energy(port, toggles, work, clock_mhz)
            self.energy += spent
            self.parts_fj[REGISTERS] += spent.data_fj  # an encoder stands in front of a register
            self.half_width_fj = hypot(self.half_width_fj, _half_width_fj(unit.encoders[port].model, toggles))


def _half_width_fj(model: EnergyModel, toggles: LayerToggles) -> float:
    """Half of the 95 % confidence interval of the energy of the data."""
    if not toggles.replicates:
        return 0.0
    estimates = [energy_of(model, part, 0.0, 0.0).data_fj / part.transitions for part in toggles.replicates]
    return relative_ci95(estimates) * (energy_of(model, toggles.sample, 0.0, 0.0).data_fj * toggles.scale)
