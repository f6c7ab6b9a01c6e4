"""What rounding within an error budget is worth: `python -m benchmarks.rounding [--network NAME] [--machine NAME]`.

Networks are optimized by `fewflips.optimize` (`--steps schedule,round --cost energy`) at four budgets in dB, without
labels. Natural and rounded network are simulated at gate level, glitches included, on one input and the same sample of
the cycles. `orders alone` is the step `schedule` by energy, and `by flips` the first budget with `--cost` left out.
With `--variants`, each budget is also spent by `rescale` and `round` (a third of the square error for the first), and
by `round` and `distill`. With `--logits`, the error is that of what a softmax at the end reads. With `--best-unit`,
machines have the unit of the last row of `benchmarks.levers`, in natural order as well.

Calibration inputs: CIFAR-10's first training images (`--images` of them) for the two networks that were trained on
it; the ten public photos for MobileNetV2 and visual wake words; random integers for keyword spotting and anomaly
detection, of whose data there is none here, so that their ratios say what an error costs and not what it does to their
tasks.

Accuracy, for CIFAR-10: in the model's own runtime on all test images, and its loss against the original with the
standard error of the paired difference. The budget for half a point is chosen without these images and without labels,
on training images that calibration has not seen: `expected_points_lost` is by how much the original's own probability
of the class falls, on average, where the rounded network decides for another one. The loosest budget with which that is
at most half a point is `chosen`.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

import fewflips
from benchmarks.levers import LEVERS
from benchmarks.record import RESULTS, Row, add_json_option, read_record, write_record
from fewflips.bundled import bundled_pair
from fewflips.execution.activations import read_samples
from fewflips.execution.runtimes import Runtime
from fewflips.execution.samples import Samples, load_samples, random_feeds
from fewflips.machine import Accelerator, load_accelerator
from fewflips.network import Network
from fewflips.optimization import Step
from fewflips.optimization.budget import ErrorBudget
from fewflips.optimization.rounding.outputs import Reference
from fewflips.optimization.steps.rescale import RescaleStep
from fewflips.records.energy import LayerEnergy
from fewflips.simulation.run import EnergyOptions

BUDGETS_DB = (25, 20, 17, 14)
MACHINES = ("edge16", "edge4")
BEST_UNIT = LEVERS["best unit, without signs"]
NATURAL, ORDERS, BY_FLIPS = "natural order", "orders alone", "by flips"

RESCALED = 1 / 3
"""Share of the square error that `rescale` may spend, where `round` has the rest."""


STEPS: dict[str, list[str | Step]] = {
    "": ["schedule", "round"],
    ", rescaled": ["schedule", RescaleStep(share=RESCALED), "round"],
    ", distilled": ["schedule", "round", "distill"],
}
VARIANTS = tuple(STEPS)[1:]

HELD_OUT = 2000
"""Training images, after those for calibration, on which a budget is chosen."""
MOST_POINTS = 0.5
_RANDOM = 16

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """A network, and what it is calibrated on.

    Parameters
    ----------
    file : str
        In the folder of public models; empty for the bundled baseline.
    inputs : {"CIFAR-10", "photos", "random"}
        Its calibration inputs; accuracy is measured for the first.
    feed : callable
        Inputs of the model from pixels, uint8, shape (images, 32, 32, 3), for CIFAR-10.
    logits : bool
        Whether outputs are logits, of which probabilities are yet to be made.
    """

    file: str
    inputs: str
    feed: Callable[[Pixels], NDArray[np.generic]] | None = None
    logits: bool = False


def _floats(pixels: Pixels) -> NDArray[np.float32]:
    return np.ascontiguousarray((pixels.astype(np.float32).transpose(0, 3, 1, 2) - 128) / 128)


def _integers(pixels: Pixels) -> NDArray[np.int8]:
    return (pixels.astype(np.int16) - 128).astype(np.int8)


CASES = {
    "MobileNetV2 0.5, CIFAR-10": Case("", "CIFAR-10", _floats, logits=True),
    "MobileNetV2 1.0 224": Case("mobilenet_v2_1.0_224_quant.tflite", "photos"),
    "MLPerf Tiny anomaly detection": Case("mlperf_tiny_ad_autoencoder_int8.tflite", "random"),
    "MLPerf Tiny keyword spotting": Case("mlperf_tiny_kws_dscnn_int8.tflite", "random"),
    "MLPerf Tiny image classification": Case("mlperf_tiny_resnet8_int8.tflite", "CIFAR-10", _integers),
    "MLPerf Tiny visual wake words": Case("mlperf_tiny_vww_mobilenet_v1_025_int8.tflite", "photos"),
}


@dataclass(frozen=True)
class Prepared:
    """A network with its files of inputs.

    Parameters
    ----------
    network : Network
        The original.
    inputs, one : Path
        Calibration inputs, and one of them for the simulation.
    held_out, test : Reference or None
        The original's outputs on training and on test images, where there is accuracy.
    logits : bool
        Whether these are logits.
    """

    network: Network
    inputs: Path
    one: Path
    held_out: Reference | None = None
    test: Reference | None = None
    logits: bool = False


def prepare(case: Case, model: Path, folder: Path, arguments: argparse.Namespace) -> Prepared:
    """Write inputs, and run the original on those on which it is compared."""
    network = fewflips.load(model)
    with Runtime(network.path, network.file_format) as runtime:
        specs = runtime.inputs
    if case.inputs == "photos":
        feeds = load_samples(arguments.shared / "images", specs).feeds
    elif case.inputs == "random":
        feeds = random_feeds(specs, _RANDOM, 0)
    else:
        pixels, _ = _cifar10(arguments.shared / "data/cifar10_jpeg.npz", "train", arguments.images + HELD_OUT)
        assert case.feed is not None
        feeds = tuple({specs[0].name: value[None]} for value in case.feed(pixels))
    calibration = feeds[: arguments.images]
    inputs = _written(folder / "calibration.npz", calibration)
    one = _written(folder / "one.npz", calibration[:1])
    if case.feed is None:
        return Prepared(network, inputs, one)
    held_out = Reference.of(network, Samples(feeds[arguments.images :], "training images", ""))
    pixels, labels = _cifar10(arguments.shared / "data/cifar10_jpeg.npz", "test", None)
    tests = tuple({specs[0].name: value[None]} for value in case.feed(pixels))
    test = Reference.of(network, Samples(tests, "test images", ""), labels)
    return Prepared(network, inputs, one, held_out, test, case.logits)


def _written(path: Path, feeds: Sequence[Mapping[str, NDArray[Any]]]) -> Path:
    arrays: dict[str, Any] = {name: np.concatenate([one[name] for one in feeds]) for name in feeds[0]}
    np.savez(path, **arrays)
    return path


def _cifar10(path: Path, split: str, count: int | None) -> tuple[Pixels, NDArray[np.int64]]:
    """The first images of a split, and their classes."""
    with np.load(path) as archive:
        stream, offsets = archive[f"{split}_jpeg"].tobytes(), archive[f"{split}_offsets"]
        labels = archive[f"{split}_labels"].astype(np.int64)[:count]
    images = [Image.open(io.BytesIO(stream[offsets[i] : offsets[i + 1]])).convert("RGB") for i in range(len(labels))]
    return np.stack([np.asarray(image) for image in images]), labels


def simulated(model: Path, schedule: Path | Accelerator, one: Path, share: float) -> LayerEnergy:
    """Energy of one inference, in the orders of a schedule or, on a machine, in natural order."""
    machine, file = (schedule, None) if isinstance(schedule, Accelerator) else (None, schedule)
    return fewflips.energy(model, machine, schedule=file, inputs=one, options=EnergyOptions(share=share)).total


def row_of(
    prepared: Prepared,
    machine: Accelerator,
    budget: ErrorBudget | None,
    before: LayerEnergy,
    share: float,
    *,
    by_energy: bool,
    variant: str = "",
) -> Row:
    """Optimize, simulate, and compare outputs."""
    started = time.perf_counter(), time.process_time()
    found = fewflips.optimize(
        prepared.network,
        machine,
        steps=["schedule"] if budget is None else STEPS[variant],
        inputs=prepared.inputs,
        error_budget=budget,
        cost="energy" if by_energy else None,
    )
    seconds = time.perf_counter() - started[0], time.process_time() - started[1]
    flips = found.report.totals.weights
    with tempfile.TemporaryDirectory() as folder:
        found.save(folder)
        state = found.run.rewritten.state if found.run.rewritten else None
        network = prepared.network if state is None else state.network
        after = simulated(network.path, Path(folder) / "schedule.json", prepared.one, share)
    row = _figures(before, after) | {
        "flips_ratio": flips.baseline_flips / flips.optimized_flips,
        "wall_s": seconds[0],
        "processor_s": seconds[1],
    }
    if budget is None or state is None:
        return row
    samples, _ = read_samples(prepared.network, prepared.inputs)
    assert samples is not None
    change, _ = Reference.of(prepared.network, samples, budget=budget).error_of(network)
    return row | {"budget_db": budget.sqnr_db, "sqnr_db": change.sqnr_db} | _decisions(prepared, network)


def _figures(before: LayerEnergy, after: LayerEnergy) -> Row:
    if before.bill is None or after.bill is None:
        raise AssertionError("simulated energy has a bill")
    return {
        "data_pj": after.inertial.data_pj,
        "datapath_pj": after.bill.datapath_pj,
        "whole_pj": after.bill.whole_pj,
        "data_ratio": before.inertial.data_pj / after.inertial.data_pj,
        "datapath_ratio": before.bill.datapath_pj / after.bill.datapath_pj,
        "whole_ratio": before.bill.whole_pj / after.bill.whole_pj,
        "ci95_percent": after.ci95_percent,
    }


def _decisions(prepared: Prepared, network: Network) -> Row:
    """Errors on images that calibration has not seen: training images without labels, and test images."""
    held_out, test = prepared.held_out, prepared.test
    if held_out is None or test is None or test.labels is None:
        return {}
    change, outputs = held_out.error_of(network)
    agree = (outputs.argmax(axis=1) == held_out.outputs.argmax(axis=1)).mean()
    found, logits = test.error_of(network)
    right = [(values.argmax(axis=1) == test.labels).astype(float) for values in (logits, test.outputs)]
    return {
        "held_out_sqnr_db": change.sqnr_db,
        "held_out_agreement_percent": 100 * float(agree),
        "expected_points_lost": expected_points_lost(held_out.outputs, outputs, logits=prepared.logits),
        "test_sqnr_db": found.sqnr_db,
        "test_accuracy_percent": 100 * float(right[0].mean()),
        "points_lost": found.points_lost,
        "standard_error_points": 100 * float((right[1] - right[0]).std() / len(right[0]) ** 0.5),
    }


def expected_points_lost(original: NDArray[np.float64], rounded: NDArray[np.float64], *, logits: bool) -> float:
    """Percentage points of accuracy that decisions cost where the original's probabilities are right.

    Parameters
    ----------
    original, rounded : ndarray of float64, shape (samples, classes)
        Outputs of both networks.
    logits : bool
        Whether these are logits, and not probabilities.

    Returns
    -------
    float
        What the original gives its own decision more than that of the rounded network, on average; at least 0.
    """
    shifted = np.exp(original - original.max(axis=1, keepdims=True)) if logits else original
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    chosen = [np.take_along_axis(probabilities, one.argmax(axis=1)[:, None], 1) for one in (original, rounded)]
    return 100 * float((chosen[0] - chosen[1]).mean())


def rows_of(
    prepared: Prepared, machine: Accelerator, budgets: Sequence[ErrorBudget], share: float, variants: Sequence[str] = ()
) -> dict[str, Row]:
    """Natural order, orders alone, and all budgets, the tightest one also by flips, each also in other ways."""
    before = simulated(prepared.network.path, machine, prepared.one, share)
    rows: dict[str, Row] = {NATURAL: _figures(before, before) | {"flips_ratio": 1.0}}
    rows[ORDERS] = row_of(prepared, machine, None, before, share, by_energy=True)
    rows[f"{_words(budgets[0])}, {BY_FLIPS}"] = row_of(prepared, machine, budgets[0], before, share, by_energy=False)
    for budget in budgets:
        rows[_words(budget)] = row_of(prepared, machine, budget, before, share, by_energy=True)
        for variant in variants:
            rows[f"{_words(budget)}{variant}"] = row_of(
                prepared, machine, budget, before, share, by_energy=True, variant=variant
            )
    _choose([rows[_words(budget)] for budget in budgets])
    return rows


def _words(budget: ErrorBudget) -> str:
    return f"{budget.sqnr_db:g} dB{' of logits' if budget.in_logits else ''}"


def _choose(rows: Sequence[Row]) -> None:
    """Mark the loosest budget that is to cost half a point at most, where that is known."""
    fitting = [row for row in rows if float(row.get("expected_points_lost", np.inf) or 0) <= MOST_POINTS]
    for row in rows:
        if "expected_points_lost" in row:
            row["chosen"] = bool(fitting) and row is fitting[-1]


def _chosen(names: Sequence[str], known: Sequence[str]) -> list[str]:
    return [one for one in known if not names or any(one.startswith(name) for name in names)]


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", action="append", default=[], help="beginning of a network's name; all without it")
    parser.add_argument("--machine", action="append", default=[], help="edge16 or edge4; both without it")
    parser.add_argument("--best-unit", action="store_true", help="with the unit of benchmarks.levers' last row")
    parser.add_argument("--variants", action="store_true", help="each budget also with rescale, and with distill")
    parser.add_argument("--budget", type=int, action="append", default=[], help="in dB, the tightest first")
    parser.add_argument("--logits", action="store_true", help="hold budgets where the softmax at the end reads")
    parser.add_argument("--images", type=int, default=64, help="CIFAR-10 images for calibration")
    parser.add_argument("--share", type=float, default=0.003, help="share of the cycles that is simulated")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of public models, images, data")
    parser.add_argument("--merge", action="store_true", help="keep rows of the committed record that are not made anew")
    add_json_option(parser)
    arguments = parser.parse_args()
    merged = arguments.merge and (RESULTS / "rounding.json").is_file()
    rows: dict[str, Row] = read_record("rounding").rows if merged else {}
    table = Table("network, machine", "", "flips", "data", "less", "datapath", "whole bill", "dB", "points", "seconds")
    with bundled_pair() as pair, tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(_chosen(arguments.network, list(CASES))):
            case, own = CASES[name], Path(folder) / str(number)
            own.mkdir()
            model = arguments.shared / "models" / case.file if case.file else pair.baseline
            prepared = prepare(case, model, own, arguments)
            for machine in _chosen(arguments.machine, MACHINES):
                array = BEST_UNIT.machine(machine) if arguments.best_unit else load_accelerator(machine)
                where = f"{name}, {machine}{' with the best unit' if arguments.best_unit else ''}"
                found = rows_of(
                    prepared,
                    array,
                    [ErrorBudget(one, in_logits=arguments.logits) for one in arguments.budget or BUDGETS_DB],
                    arguments.share,
                    VARIANTS if arguments.variants else (),
                )
                rows |= {f"{where}: {label}": row | {"inputs": case.inputs} for label, row in found.items()}
                for label, row in found.items():
                    table.add_row(where, label, *_cells(row))
                write_record(arguments.json, "rounding", rows, seed=0)
    Console(width=160).print(table)


def _cells(row: Row) -> list[str]:
    cells = [f"{row['flips_ratio']:.2f}x", f"{float(row['data_pj'] or 0) / 1e6:.2f} uJ"]
    cells += [f"{row[f'{figure}_ratio']:.3f}x" for figure in ("data", "datapath", "whole")]
    cells.append(f"{row['sqnr_db']:.2f}" if "sqnr_db" in row else "")
    lost = f"{row['points_lost']:.2f} ({row['standard_error_points']:.2f})" if "points_lost" in row else ""
    cells.append(f"{lost}{', chosen' if row.get('chosen') else ''}")
    return [*cells, f"{row.get('processor_s', 0.0):.0f}"]


if __name__ == "__main__":
    main()
