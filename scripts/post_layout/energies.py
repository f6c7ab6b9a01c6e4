"""Energy of a network on the laid-out column: stored order against schedule, with each estimate of the wires."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import fewflips
from fewflips.api.energy import energy
from fewflips.files.cache import digest_of
from fewflips.progress import Progress
from fewflips.records.energy import EnergyReport
from fewflips.simulation.run import EnergyOptions

from .comparison import Comparison
from .qflow import CELLS

ACCELERATOR = "edge4"
CLOCK_MHZ = 100.0
"""For leakage; the column runs at about 150 MHz in this technology."""


@dataclass(frozen=True)
class Setting:
    """What is simulated, but for the wires.

    Parameters
    ----------
    model : Path
        The network.
    schedule : Path
        Its optimized orders.
    photos : Path
        Folder of one photo.
    netlist : Path
        The column.
    share : float
        Part of the cycles to simulate.
    """

    model: Path
    schedule: Path
    photos: Path
    netlist: Path
    share: float


def compare(setting: Setting, spef: Path | None, kept: Path, progress: Progress | None = None) -> Comparison:
    """Simulate both orders, or take what is kept of the same simulation.

    Parameters
    ----------
    setting : Setting
        What to simulate.
    spef : Path or None
        Wires; None: by fanout.
    kept : Path
        Folder of reports.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    Comparison
        Of all layers.
    """
    kept.mkdir(parents=True, exist_ok=True)
    return Comparison(
        baseline=_report(setting, None, spef, kept, progress),
        optimized=_report(setting, setting.schedule, spef, kept, progress),
    )


def _report(
    setting: Setting, schedule: Path | None, spef: Path | None, kept: Path, progress: Progress | None
) -> EnergyReport:
    files = [setting.model, *sorted(setting.photos.iterdir()), setting.netlist, CELLS, *_sources()]
    files += [path for path in (schedule, spef) if path]
    settings = f"{ACCELERATOR} {CLOCK_MHZ} {setting.share} {schedule is None} {spef is None}"
    path = kept / f"{digest_of(settings, *(file.read_bytes() for file in files))}.json"
    if path.exists():
        return EnergyReport.model_validate_json(path.read_text())
    report = energy(
        setting.model,
        ACCELERATOR,
        schedule=schedule,
        inputs=setting.photos,
        cells=CELLS,
        options=EnergyOptions(clock_mhz=CLOCK_MHZ, share=setting.share),
        netlist=setting.netlist,
        spef=spef,
        progress=progress,
    )
    path.write_text(report.model_dump_json())
    return report


def _sources() -> list[Path]:
    """The code that simulates: energies of another version are not kept."""
    package = Path(fewflips.__file__).parent
    return sorted(path for part in ("gates", "dataflows", "simulation") for path in (package / part).rglob("*.py"))
