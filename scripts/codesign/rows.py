"""What each network and order costs on each machine, as rows of `results/codesign.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from scripts.reproduction.progress import StepReport, say

from fewflips.api.optimize import optimize
from fewflips.machine import Accelerator
from fewflips.optimization.request import EnergyRequest
from fewflips.records.bill import Bill
from fewflips.records.energy import LayerEnergy
from fewflips.records.record import Record
from fewflips.simulation.run import EnergyOptions

from .machines import ORDERS, Order
from .networks import Candidate

_NS_PER_PS = 1e-3


class LayerRow(Record):
    """One layer of a row."""

    name: str
    datapath_pj: float
    data_pj: Annotated[float, Field(description="units without clock and leakage, glitches included")]
    whole_pj: float


class Row(Record):
    """One network in one order on one machine."""

    network: str
    variant: Annotated[str, Field(description="training, and the order in which weights stream")]
    training: str
    order: Literal["natural", "schedule"]
    machine: Annotated[str, Field(description="name; its YAML lies beside this file, or is built in")]
    cells: str
    accuracy_percent: Annotated[float | None, Field(description="on the test images; null where it was not measured")]
    data_pj: Annotated[float, Field(description="arithmetic units without clock and leakage, glitches included")]
    datapath_pj: Annotated[float, Field(description="arithmetic units, with clock and leakage")]
    whole_pj: Annotated[float, Field(description="with buffers")]
    ci95_percent: Annotated[float, Field(description="of the data energy")]
    area_um2: Annotated[float, Field(description="of all units of the array")]
    critical_path_ns: float
    bill: Bill
    layers: tuple[LayerRow, ...]


@dataclass(frozen=True)
class Simulation:
    """How rows are simulated.

    Parameters
    ----------
    cells : dict of str to str or Path
        Cell libraries by name.
    options : EnergyOptions
        Clock, share of the cycles, processors.
    """

    cells: dict[str, str | Path]
    options: EnergyOptions

    def rows(self, candidate: Candidate, machine: Accelerator) -> list[Row]:
        """Both orders of a network on a machine, with each library.

        Parameters
        ----------
        candidate : Candidate
            The network; all its sample inputs are simulated.
        machine : Accelerator
            With buffers.

        Returns
        -------
        list of Row
            Natural order and schedule.
        """
        found = []
        for name, cells in self.cells.items():
            say(f"simulating {candidate.network}, {candidate.training} on {machine.name} ({name})")
            request = EnergyRequest(cells, self.options)
            report = optimize(
                candidate.path,
                machine,
                mode="schedule",
                inputs=candidate.inputs,
                energy=request,
                jobs=self.options.jobs,
                progress=StepReport(),
            ).report
            if report.energy is None:
                raise AssertionError("an optimization that was asked for energy has some")
            layers = [layer.energy for layer in report.layers if layer.energy is not None]
            for order in ORDERS:
                total = _of_order(report.energy.total.baseline, report.energy.total.schedule, order)
                if total.bill is None:
                    raise AssertionError("simulated energy has a bill")
                found.append(
                    Row(
                        network=candidate.network,
                        variant=f"{candidate.training}, {order}",
                        training=candidate.training,
                        order=order,
                        machine=machine.name,
                        cells=name,
                        accuracy_percent=candidate.accuracy_percent,
                        data_pj=total.inertial.data_pj,
                        datapath_pj=total.bill.datapath_pj,
                        whole_pj=total.bill.whole_pj,
                        ci95_percent=total.ci95_percent,
                        area_um2=report.energy.datapath.area_um2 * report.energy.datapath.units,
                        critical_path_ns=report.energy.datapath.critical_path_ps * _NS_PER_PS,
                        bill=total.bill,
                        layers=_layers([_of_order(layer.baseline, layer.schedule, order) for layer in layers]),
                    )
                )
        return found


def _of_order(natural: LayerEnergy, scheduled: LayerEnergy | None, order: Order) -> LayerEnergy:
    if order == "natural":
        return natural
    if scheduled is None:
        raise AssertionError("a schedule that was asked for was simulated")
    return scheduled


def _layers(energies: Sequence[LayerEnergy]) -> tuple[LayerRow, ...]:
    return tuple(
        LayerRow(
            name=energy.name,
            datapath_pj=energy.bill.datapath_pj,
            data_pj=energy.inertial.data_pj,
            whole_pj=energy.bill.whole_pj,
        )
        for energy in energies
        if energy.bill is not None
    )
