"""Make the built-in calibrations again, and the generated parts of docs/calibration.md.

Run from the repository root, with the models and images beside it: ``python scripts/calibration_tables.py``.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from fewflips.calibration.files import calibration_name, datapath_of, read_calibration
from fewflips.calibration.model import Calibration
from fewflips.cli.calibration_command import calibrate
from fewflips.report.calibration_words import as_fit
from fewflips.report.markdown import inline

MACHINES = ("edge16", "edge8", "edge4", "tpu16", "os16")
NETWORKS = {
    "../shared/models/mobilenet_v2_1.0_224_quant.tflite": "../shared/images",
    "../shared/models/mlperf_tiny_resnet8_int8.tflite": "../shared/images",
    "src/fewflips/data/mobilenet_v2_cifar10_int8.onnx": "src/fewflips/data/cifar10_samples.npz",
}
"""A network for each kind of words, with its sample inputs."""
SHOWN = ("edge16", next(iter(NETWORKS)))
"""Whose tables and picture stand in the documentation."""

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "src/fewflips/calibration/tables"
PAGE = ROOT / "docs/calibration.md"
PICTURE = ROOT / "docs/images/calibration-edge16.svg"


def arguments(machine: str, network: str) -> list[str]:
    return [network, "--accelerator", machine, "--inputs", NETWORKS[network], "--samples", "2", "--time-limit", "60"]


def make(machine: str, network: str) -> Calibration:
    with tempfile.TemporaryDirectory() as folder:
        calibrate.main([*arguments(machine, network), "--output", folder], standalone_mode=False)
        made = Path(folder)
        calibration = read_calibration(made / "calibration.json")
        shutil.copy(made / "calibration.json", TABLES / f"{calibration_name(datapath_of(calibration.datapath))}.json")
        if (machine, network) == SHOWN:
            shutil.copy(made / "calibration.svg", PICTURE)
            fill("tables", tables((made / "calibration.md").read_text()))
    return calibration


def tables(markdown: str) -> str:
    """The comparison as part of the page: headings one level lower, the picture from where it is kept."""
    start = markdown.index("## Data energy")
    text = re.sub("^##", "###", markdown[start:], flags=re.MULTILINE)
    command = shlex.join(["fewflips", "calibrate", *arguments(*SHOWN), "--output", "out"])
    return f"`{command}`\n\n{text.replace('(calibration.svg)', f'(images/{PICTURE.name})').strip()}"


def row(calibration: Calibration) -> str:
    network = calibration.network
    if network is None:
        raise SystemExit(f"{calibration.settings.command}: nothing was compared")
    zero_delay, inertial = network.orders[0].accuracy.zero_delay, network.orders[0].accuracy.inertial
    return (
        f"| `{calibration_name(datapath_of(calibration.datapath))}` | {inline(calibration.accelerator.name)} "
        f"| {inline(network.model.file)} | {as_fit(zero_delay.r2)} / {as_fit(inertial.r2)} "
        f"| {zero_delay.median_error_percent:.1f} / {inertial.median_error_percent:.1f} "
        f"| {zero_delay.worst_error_percent:.0f} / {inertial.worst_error_percent:.0f} |"
    )


def fill(name: str, content: str) -> None:
    """Replace what stands between the marks of a part of the page."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    page = PAGE.read_text()
    before, after = page.index(begin) + len(begin), page.index(end)
    PAGE.write_text(f"{page[:before]}\n\n{content}\n\n{page[after:]}")


def main() -> int:
    TABLES.mkdir(exist_ok=True)
    PICTURE.parent.mkdir(exist_ok=True)
    made = [make(machine, network) for network in NETWORKS for machine in MACHINES]
    fill("commands", "\n".join(["```sh", *(calibration.settings.command for calibration in made), "```"]))
    heading = (
        "| file | machine | network | R² per MAC (zero delay / inertial) | median error, % | worst error, % |\n"
        "| --- | --- | --- | ---: | ---: | ---: |"
    )
    fill("built-in", "\n".join([heading, *map(row, made)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
