"""Make the built-in calibrations again, and the generated parts of docs/calibration.md.

Run from the repository root, with the models and images beside it: ``python -m scripts.calibration_tables``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from scripts.figures.__main__ import main as write_figures
from scripts.figures.calibration import MACHINES, NETWORKS, PICTURE, SHOWN, TABLES, arguments
from scripts.figures.origin import ROOT

from fewflips.cli.calibration_command import calibrate
from fewflips.estimation.calibration_files import calibration_name, datapath_of, read_calibration


def make(machine: str, network: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        calibrate.main([*arguments(machine, network), "--output", folder], standalone_mode=False)
        made = Path(folder)
        calibration = read_calibration(made / "calibration.json")
        shutil.copy(made / "calibration.json", TABLES / f"{calibration_name(datapath_of(calibration.datapath))}.json")
        if (machine, network) == SHOWN:
            shutil.copy(made / "calibration.svg", ROOT / "docs" / "images" / PICTURE)


def main() -> int:
    TABLES.mkdir(exist_ok=True)
    for network in NETWORKS:
        for machine in MACHINES:
            make(machine, network)
    return write_figures([])


if __name__ == "__main__":
    sys.exit(main())
