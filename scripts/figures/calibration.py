"""The built-in calibrations: their tables in docs/calibration.md, and what its text says of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache

from fewflips.errors import InputError
from fewflips.estimation.calibration_files import calibration_name, datapath_of, read_calibration
from fewflips.records.calibration import Calibration, NetworkComparison
from fewflips.report.calibration_words import as_fit, curve_rows, total_of
from fewflips.report.markdown.calibration import calibration_markdown
from fewflips.report.markdown.escaping import inline

from .origin import DELAYS, ROOT, Fact

TABLES = ROOT / "src/fewflips/estimation/tables"
PICTURE = "calibration-edge16.svg"
NETWORKS = {
    "../shared/models/mobilenet_v2_1.0_224_quant.tflite": "../shared/images",
    "../shared/models/mlperf_tiny_resnet8_int8.tflite": "../shared/images",
    "src/fewflips/data/mobilenet_v2_cifar10_int8.onnx": "src/fewflips/data/cifar10_samples.npz",
}
"""A network for each kind of words, with its sample inputs."""
MACHINES = ("edge16", "edge8", "edge4", "tpu16", "os16")
SHOWN = ("edge16", next(iter(NETWORKS)))
"""Whose tables and picture stand in the documentation."""
_ALIKE = (0.40, 0.51)
"""Layers of much the same weight NHD."""


def arguments(machine: str, network: str) -> list[str]:
    """Words of the command that makes a calibration, but for its output."""
    return [network, "--accelerator", machine, "--inputs", NETWORKS[network], "--samples", "2", "--time-limit", "60"]


@cache
def built_in() -> tuple[Calibration, ...]:
    """All that come with the package, in the order of the page."""
    found = {}
    for path in TABLES.glob("*.json"):
        calibration = read_calibration(path)
        found[_network(calibration).model.file, calibration.accelerator.name] = calibration
    return tuple(found[network.rpartition("/")[2], machine] for network in NETWORKS for machine in MACHINES)


def shown() -> Calibration:
    """The one whose tables are on the page."""
    return built_in()[0]


def commands_text() -> str:
    """The commands that made them."""
    return "\n".join(["```sh", *(calibration.settings.command for calibration in built_in()), "```"])


def shown_text() -> str:
    """The comparison as part of the page: headings one level lower, the picture from where it is kept."""
    markdown = calibration_markdown(shown())
    text = re.sub("^##", "###", markdown[markdown.index("## Data energy") :], flags=re.MULTILINE)
    command = shlex.join(["fewflips", "calibrate", *arguments(*SHOWN), "--output", "out"])
    return f"`{command}`\n\n{text.replace('(calibration.svg)', f'(images/{PICTURE})').strip()}"


def built_in_table() -> str:
    """How well each holds for the network that it was made with."""
    heading = (
        "| file | machine | network | R² per MAC (zero delay / inertial) | median error, % | worst error, % |\n"
        "| --- | --- | --- | ---: | ---: | ---: |"
    )
    return "\n".join([heading, *map(_row, built_in())])


def calibration_facts() -> Iterator[tuple[str, Fact]]:
    """What the text says of the calibration that is shown."""
    calibration = shown()
    network = _network(calibration)
    natural, scheduled = (order.layers for order in network.orders)
    before, after = total_of(natural), total_of(scheduled)
    for delays in DELAYS:
        for source in ("predicted", "simulated"):
            old, new = (getattr(getattr(one, source), f"{delays}_data_pj") for one in (before, after))
            yield f"calibration/{delays}/{source} gain", old / new
        curve = {round(row.nhd, 3): getattr(row, f"{delays}_fj") for row in curve_rows(calibration)}
        yield f"calibration/{delays}/half the flips_percent", 100 * _at(curve, 0.25) / _at(curve, 0.5)
        yield f"calibration/{delays}/r2", getattr(network.orders[0].accuracy, delays).r2
        yield f"calibration/{delays}/blocks r2", getattr(network.blocks, f"{delays}_r2")
        yield f"calibration/{delays}/blocks r2 from flips", getattr(network.blocks, f"{delays}_r2_from_flips")
    alike = [one for one in natural if _ALIKE[0] <= one.weight_nhd <= _ALIKE[1]]
    per_mac = [1e3 * one.simulated.inertial_data_pj / one.macs for one in alike]
    yield "calibration/alike layers/least NHD", _ALIKE[0]
    yield "calibration/alike layers/most NHD", _ALIKE[1]
    yield "calibration/alike layers/least fJ per MAC", min(per_mac)
    yield "calibration/alike layers/most fJ per MAC", max(per_mac)
    costs = calibration.zero_delay.weights.bit_costs
    yield "calibration/bit costs/least", min(costs)
    yield "calibration/bit costs/most", max(costs)


def _at(curve: dict[float, float], nhd: float) -> float:
    """Linear between the points."""
    below = max(one for one in curve if one <= nhd)
    above = min(one for one in curve if one >= nhd)
    if above == below:
        return curve[below]
    return curve[below] + (curve[above] - curve[below]) * (nhd - below) / (above - below)


def _network(calibration: Calibration) -> NetworkComparison:
    if calibration.network is None:
        raise InputError(f"{calibration.settings.command}: expected a comparison with a network, got none")
    return calibration.network


def _row(calibration: Calibration) -> str:
    network = _network(calibration)
    both = network.orders[0].accuracy.zero_delay, network.orders[0].accuracy.inertial
    cells: Sequence[str] = (
        f"`{calibration_name(datapath_of(calibration.datapath))}`",
        inline(calibration.accelerator.name),
        inline(network.model.file),
        " / ".join(as_fit(one.r2) for one in both),
        " / ".join(f"{one.median_error_percent:.1f}" for one in both),
        " / ".join(f"{one.worst_error_percent:.0f}" for one in both),
    )
    return f"| {' | '.join(cells)} |"
