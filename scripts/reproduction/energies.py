"""Flips and energy of a network in natural and scheduled order; kept by the content of what they depend on."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import fewflips
from fewflips.api.optimize import optimize
from fewflips.errors import InputError
from fewflips.files.cache import cached, digest_of
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.optimization.request import EnergyRequest
from fewflips.progress import Progress
from fewflips.records.energy import LayerEnergy
from fewflips.records.optimization import EnergyComparison, EnergyResult, LayerResult, OptimizeReport
from fewflips.simulation.run import EnergyOptions

from .figures import Energies, LayerFigures

LIBRARIES = ("nangate45", "sky130hd")
"""Built-in cells; ratios of the headline are those of the first."""
_SOURCES = ("dataflows", "datapath", "formats", "gates", "machine", "network", "ordering", "simulation", "streams")
_KINDS = (".py", ".v", ".j2", ".yaml")
_DECIMALS = 4  # of a picojoule


@dataclass(frozen=True)
class Setting:
    """What is simulated, but for the network.

    Parameters
    ----------
    accelerator : Accelerator
        The machine.
    inputs : Path
        Sample inputs.
    share : float
        Share of the cycles to simulate with delays.
    jobs : int
        Processors; -1 for all.
    """

    accelerator: Accelerator
    inputs: Path
    share: float
    jobs: int = -1


@dataclass(frozen=True)
class NetworkReports:
    """A network with its schedule, in the cells of each library.

    Parameters
    ----------
    reports : dict of str to OptimizeReport
        By cell library.
    seconds : float
        What it took to compute them.
    """

    reports: dict[str, OptimizeReport]
    seconds: float

    def energy(self, library: str) -> EnergyResult:
        """Totals and settings of a library's simulation."""
        energy = self.reports[library].energy
        if energy is None:
            raise InputError(f"{self.reports[library].model.file}: expected energies in its report, got none")
        return energy

    def layers(self, *, scheduled: bool) -> tuple[LayerFigures, ...]:
        """Figures of all layers, in natural or in scheduled order."""
        first = next(iter(self.reports.values()))
        return tuple(
            LayerFigures(
                name=layer.name,
                macs=layer.macs,
                depthwise=layer.groups > 1,
                flips=_flips(layer, scheduled),
                seam_flips=_seam_flips(layer, scheduled),
                energies={
                    library: _energies(layer.name, report.layers[index].energy, scheduled)
                    for library, report in self.reports.items()
                },
            )
            for index, layer in enumerate(first.layers)
        )

    def total(self, *, scheduled: bool) -> dict[str, Energies]:
        """Energies of all layers together, by library."""
        return {library: _energies("total", self.energy(library).total, scheduled) for library in self.reports}


def network_reports(model: Path, setting: Setting, progress: Progress | None = None) -> NetworkReports:
    """Find the schedule of a network and simulate it beside the natural order.

    Parameters
    ----------
    model : Path
        An ONNX file.
    setting : Setting
        Machine, inputs and sampling.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    NetworkReports
        For each of `LIBRARIES`.

    Raises
    ------
    FewflipsError
        If the network, the inputs or the machine cannot be used.
    """
    reports, seconds = {}, 0.0
    for library in LIBRARIES:
        compute = partial(_computed, model, library, setting, progress)
        kept = json.loads(cached("reproduction", _digest(model, library, setting), compute))
        reports[library] = OptimizeReport.model_validate(kept["report"])
        seconds += kept["seconds"]
    return NetworkReports(reports, seconds)


def _computed(model: Path, library: str, setting: Setting, progress: Progress | None) -> bytes:
    began = time.monotonic()
    found = optimize(
        model,
        setting.accelerator,
        mode="schedule",
        inputs=setting.inputs,
        energy=EnergyRequest(library, EnergyOptions(share=setting.share, jobs=setting.jobs)),
        jobs=setting.jobs,
        progress=progress,
    )
    seconds = time.monotonic() - began
    return json.dumps({"seconds": seconds, "report": found.report.model_dump(mode="json")}).encode()


def _digest(model: Path, library: str, setting: Setting) -> str:
    machine = setting.accelerator.model_dump_json()
    content = (model.read_bytes(), setting.inputs.read_bytes(), load_cells(library).sha256)
    return digest_of(machine, str(setting.share), *content, digest_of_sources())


@cache
def digest_of_sources() -> str:
    """Digest of the code that the figures depend on: those of another version are not taken."""
    package = Path(fewflips.__file__).parent
    files = [path for part in _SOURCES for path in (package / part).rglob("*") if path.suffix in _KINDS]
    return digest_of(*(path.read_bytes() for path in sorted(files + list(package.glob("*.py")))))


def _flips(layer: LayerResult, scheduled: bool) -> int:
    port = layer.weights
    return (port.optimized_flips if scheduled else port.baseline_flips) * port.repeats


def _seam_flips(layer: LayerResult, scheduled: bool) -> int:
    return layer.weights.optimized_seam_flips if scheduled else layer.weights.baseline_seam_flips


def _energies(name: str, found: EnergyComparison | None, scheduled: bool) -> Energies:
    energy: LayerEnergy | None = None
    if found is not None:
        energy = found.schedule if scheduled else found.baseline
    if energy is None or min(energy.zero_delay.data_pj, energy.inertial.data_pj) <= 0:
        raise InputError(f"layer {name}: expected energy above 0 pJ, got none: no ratio can be taken of it")
    return Energies(
        zero_delay_data_pj=round(energy.zero_delay.data_pj, _DECIMALS),
        zero_delay_total_pj=round(energy.zero_delay.total_pj, _DECIMALS),
        inertial_data_pj=round(energy.inertial.data_pj, _DECIMALS),
        inertial_total_pj=round(energy.inertial.total_pj, _DECIMALS),
        ci95_percent=round(energy.ci95_percent, _DECIMALS),
    )
