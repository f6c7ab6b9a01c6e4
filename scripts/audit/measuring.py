"""Figures of a network on a setup; kept by the content of what they depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts.reproduction.energies import digest_of_sources
from scripts.reproduction.progress import StepReport, say

from fewflips.api.optimize import optimize
from fewflips.errors import InputError
from fewflips.files.cache import cached, digest_of
from fewflips.formats.number_formats import NumberFormat
from fewflips.machine import Accelerator, load_accelerator
from fewflips.machine.accelerator import Operand
from fewflips.optimization.request import EnergyRequest
from fewflips.records.energy import LayerEnergy
from fewflips.records.optimization import EnergyComparison, OptimizeReport
from fewflips.records.schedule import Schedule
from fewflips.simulation.run import EnergyOptions

from .figures import OrderFigures, Run
from .memory import Traffic, layer_traffic
from .setups import UNITS, WHOLE_LIBRARIES, Order, Setup, Variant, liberty_files

ORDERS: tuple[Order, ...] = ("natural", "scheduled")


@dataclass(frozen=True)
class Sources:
    """Where networks, images and libraries lie.

    Parameters
    ----------
    models : Path
        Folder of the networks.
    inputs : Path
        Sample inputs.
    libraries : Path
        Folder of the Liberty files.
    share : float
        Share of the cycles to simulate with delays.
    jobs : int
        Processors; -1 for all.
    """

    models: Path
    inputs: Path
    libraries: Path
    share: float
    jobs: int

    def cells(self, name: str) -> str | Path:
        """Name of a built-in table, or a Liberty file."""
        return liberty_files(self.libraries)[name] if name in WHOLE_LIBRARIES else name


def machine_of(setup: Setup, weight_bits: int | None = None) -> Accelerator:
    """The accelerator of a setup, with its unit and the width of its weights."""
    machine = load_accelerator(setup.machine)
    if weight_bits is not None:
        weights = Operand(format=NumberFormat.TWOS_COMPLEMENT, bits=weight_bits)
        machine = machine.model_copy(update={"weights": weights})
    if setup.unit is None:
        return machine
    return machine.model_copy(update={"datapath": machine.datapath.model_copy(update=UNITS[setup.unit])})


def measured(variant: Variant, setup: Setup, sources: Sources) -> Run:
    """Schedule a network, simulate it in both orders, and count what it moves.

    Parameters
    ----------
    variant : Variant
        The network, and the width of its weights; both orders are measured.
    setup : Setup
        Where it runs.
    sources : Sources
        Files and sampling.

    Returns
    -------
    Run
        Of both orders.

    Raises
    ------
    FewflipsError
        If a file is missing or cannot be used.
    """
    model, machine = sources.models / f"{variant.network}.onnx", machine_of(setup, variant.weight_bits)
    cells = sources.cells(setup.cells)
    library = cells.read_bytes() if isinstance(cells, Path) else cells
    content = (model.read_bytes(), sources.inputs.read_bytes(), library, digest_of_sources())
    digest = digest_of(machine.model_dump_json(), str(sources.share), *content)
    kept = json.loads(cached("audit", digest, partial(_computed, model, machine, str(cells), sources)))
    report = OptimizeReport.model_validate(kept["report"])
    return _run(variant, setup, machine, report, kept["index_bits"])


def _computed(model: Path, machine: Accelerator, cells: str, sources: Sources) -> bytes:
    say(f"  {model.stem} on {machine.name}, {Path(cells).name}")
    found = optimize(
        model,
        machine,
        mode="schedule",
        inputs=sources.inputs,
        energy=EnergyRequest(cells, EnergyOptions(share=sources.share, jobs=sources.jobs)),
        jobs=sources.jobs,
        progress=StepReport(),
    )
    return json.dumps(
        {"report": found.report.model_dump(mode="json"), "index_bits": _index_bits(found.schedule)}
    ).encode()


def _index_bits(schedule: Schedule | None) -> dict[str, int]:
    return {layer.name: layer.index_table_bits for layer in schedule.layers} if schedule else {}


def _run(
    variant: Variant, setup: Setup, machine: Accelerator, report: OptimizeReport, index_bits: Mapping[str, int]
) -> Run:
    if report.energy is None:
        raise InputError(f"{variant.network}: expected energies in its report, got none")
    bits = report.energy.datapath.accumulator_bits
    orders = {order: _order_figures(report, report.energy.total, machine, bits, order, index_bits) for order in ORDERS}
    return Run(
        network=variant.network,
        machine=setup.machine,
        cells=setup.cells,
        unit=setup.unit,
        weight_bits=variant.weight_bits,
        model_sha256=report.model.sha256,
        cells_sha256=report.energy.cells.sha256,
        netlist_cells=report.energy.datapath.instances,
        area_um2=round(report.energy.datapath.area_um2, 1),
        samples=report.energy.settings.samples,
        layers=tuple(layer.name for layer in report.layers),
        index_table_bits=sum(index_bits.values()),
        orders=orders,
    )


def _order_figures(
    report: OptimizeReport,
    both: EnergyComparison,
    machine: Accelerator,
    accumulator_bits: int,
    order: Order,
    index_bits: Mapping[str, int],
) -> OrderFigures:
    total = _of(both, order)
    traffic = Traffic()
    for layer in report.layers:
        indices = index_bits[layer.name] if order == "scheduled" else 0
        traffic += layer_traffic(layer, machine, accumulator_bits, indices)
    return OrderFigures(
        data_pj=round(total.inertial.data_pj, 1),
        total_pj=round(total.inertial.total_pj, 1),
        ci95_percent=round(total.ci95_percent, 3),
        layer_data_pj=tuple(round(_of(layer.energy, order).inertial.data_pj, 2) for layer in report.layers),
        traffic_bits=traffic.by_name(),
    )


def _of(found: EnergyComparison | None, order: Order) -> LayerEnergy:
    energy = None if found is None else (found.schedule if order == "scheduled" else found.baseline)
    if energy is None:
        raise InputError("expected energies of both orders, got none")
    return energy
