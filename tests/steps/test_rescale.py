"""Rescaling within an error budget: which ranges are chosen, what they compute, and what is refused."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from fewflips import optimize
from fewflips.api.optimized import Optimization
from fewflips.errors import InputError
from fewflips.execution.runtimes import Runtime
from fewflips.execution.samples import Samples
from fewflips.formats.number_formats import INT8, UINT8, NumberFormat, StorageType
from fewflips.machine.accelerator import Operand
from fewflips.network import Network, load
from fewflips.network.load import rescalable, rewrite_ranges
from fewflips.network.ranges import ActivationRange, NewRange
from fewflips.optimization.rescaling.tensors import RangeCandidate, SeenTensor, candidates, seen_tensors
from fewflips.optimization.steps.rescale import RescaleStep
from tests.network import build_tflite

BUDGET_DB = 15
STEP, ZERO_POINT = build_tflite.STEPS["INT8"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    path = tmp_path_factory.mktemp("model") / "model.tflite"
    path.write_bytes(build_tflite.branching())
    return load(path)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth random images."""
    rng = np.random.default_rng(1)
    small = rng.integers(-128, 128, (6, 1, 4, 4, 3))
    path = tmp_path_factory.mktemp("inputs") / "images.npz"
    np.savez(path, image=small.repeat(2, axis=2).repeat(2, axis=3).astype(np.int8))
    return path


@pytest.fixture(scope="module")
def rescaled(network: Network, inputs: Path) -> Optimization:
    steps = ["schedule", "rescale"]
    return optimize(network, "edge4", steps=steps, inputs=inputs, error_budget=f"sqnr:{BUDGET_DB}dB", jobs=1)


def samples_of(inputs: Path) -> Samples:
    return Samples(tuple({"image": image} for image in np.load(inputs)["image"]), "", "")


def scores(path: Path, inputs: Path) -> np.ndarray:
    """Both outputs on all inputs, dequantized by hand, shape (inputs, values)."""
    rows = []
    with Runtime(path) as runtime:
        for feeds in samples_of(inputs).feeds:
            found = runtime.run(feeds, runtime.outputs)
            (logits, probabilities) = (found[name].astype(float).ravel() for name in ("logits", "scores"))
            rows.append(np.concatenate([(logits - ZERO_POINT) * STEP, (probabilities + 128) / 256]))
    return np.stack(rows)


def sqnr_db(before: np.ndarray, after: np.ndarray) -> float:
    noise = ((after - before) ** 2).sum()
    return math.inf if noise == 0 else 10 * math.log10((before**2).sum() / noise)


def ones_as_run(path: Path, inputs: Path) -> float:
    """Bits set in the activations of all multiplications, by a plain loop over the tensors that the runtime gives.

    The depthwise layer reads `stem` and has 3 x 3 kernels in SAME padding; `project` reads `depthwise` with 8 outputs.
    """
    total = 0
    with Runtime(load(path), fetch=("stem", "depthwise")) as runtime:
        zero_point = rescalable(load(path))["stem"].zero_point
        for feeds in samples_of(inputs).feeds:
            found = runtime.run(feeds, ("stem", "depthwise"))
            stem = np.pad(found["stem"][0], ((1, 1), (1, 1), (0, 0)), constant_values=zero_point)
            for row, column in itertools.product(range(8), range(8)):
                window = stem[row : row + 3, column : column + 3]
                total += sum((int(value) & 255).bit_count() for value in window.ravel())
            total += 8 * sum((int(value) & 255).bit_count() for value in found["depthwise"].ravel())
    return total / len(samples_of(inputs).feeds)


def test_the_budget_holds_in_the_runtime_and_fewer_bits_are_set(
    network: Network, inputs: Path, rescaled: Optimization, tmp_path: Path
) -> None:
    rescaled.save(tmp_path)
    written = tmp_path / "model.tflite"
    ratio = sqnr_db(scores(network.path, inputs), scores(written, inputs))
    assert ratio >= BUDGET_DB
    final = rescaled.report.stages[-1]
    assert f"SQNR {ratio:.2f} dB on 6 sample inputs" in final.evidence.method
    assert ones_as_run(written, inputs) < 0.9 * ones_as_run(network.path, inputs)
    assert final.model_check is not None
    assert final.model_check.sample_inputs == 6


def test_weights_and_orders_stay(network: Network, rescaled: Optimization) -> None:
    before, after = (stage.state for stage in rescaled.run.stages[1:])
    assert after.orders is before.orders
    for old, new in zip(network.layers, after.network.layers, strict=True):
        assert np.array_equal(old.weights, new.weights)
    scheduled, final = rescaled.report.stages[1:]
    assert final.totals.weights.optimized_flips == scheduled.totals.weights.optimized_flips
    assert rescaled.run.scheduled is rescaled.run.stages[-1]


def test_counts_are_those_of_a_plain_loop(network: Network, inputs: Path) -> None:
    seen = seen_tensors(network, rescalable(network), samples_of(inputs))
    assert [one.place.tensor for one in seen] == ["stem", "depthwise"]
    ones = sum(candidates(one, Operand())[0].ones for one in seen)
    assert ones == pytest.approx(ones_as_run(network.path, inputs))
    macs = {layer.input_tensor: layer.m * layer.n * layer.k for layer in network.layers}
    assert [one.counts.sum() for one in seen] == [macs["stem"], macs["depthwise"]]


def tensor_of(storage: StorageType, zero_point: int, low: int, high: int, seed: int) -> SeenTensor:
    counts = np.zeros(256)
    rng = np.random.default_rng(seed)
    counts[low - storage.low : high - storage.low + 1] = rng.integers(1, 50, high - low + 1)
    return SeenTensor(ActivationRange("t", storage, 0.1, zero_point), low, high, counts)


@pytest.mark.parametrize(
    ("storage", "zero_point", "low", "high"),
    [(INT8, -128, -128, 127), (INT8, 4, -70, 90), (UINT8, 0, 0, 130), (UINT8, 126, 20, 255), (INT8, -128, -128, -128)],
)
@pytest.mark.parametrize("number_format", [NumberFormat.AS_STORED, NumberFormat.UNSIGNED])
def test_no_zero_point_has_fewer_ones(
    storage: StorageType, zero_point: int, low: int, high: int, number_format: NumberFormat
) -> None:
    """Against every zero point of every factor, in plain integers; what reaches further than was seen has room."""
    tensor = tensor_of(storage, zero_point, low, high, 5)
    first, *found = candidates(tensor, Operand(format=number_format))
    offset = storage.low if number_format is NumberFormat.UNSIGNED else 0

    def ones(factor: float, zero: int) -> float:
        total = 0.0
        for value in range(low, high + 1):
            stored = round((value - zero_point) / factor) + zero
            stored = min(max(stored, storage.low), storage.high)
            total += tensor.counts[value - storage.low] * ((stored - offset) & 255).bit_count()
        return total

    assert first == RangeCandidate(NewRange(1.0, zero_point), ones(1.0, zero_point))
    room = (high - low) / 16
    reach = [max(low - room, storage.low) - zero_point, min(high + room, storage.high) - zero_point]
    best = first.ones
    for factor in (2 ** (number / 4) for number in range(13)):
        fitting = [
            zero
            for zero in range(storage.low, storage.high + 1)
            if zero + reach[0] / factor >= storage.low - 0.5 and zero + reach[1] / factor <= storage.high + 0.5
        ]
        fewest = min((ones(factor, zero) for zero in fitting), default=math.inf)
        if fewest < best:
            best, one = fewest, found.pop(0)
            assert (one.new.factor, one.ones) == (factor, fewest)
            assert ones(factor, one.new.zero_point) == fewest
            assert one.new.zero_point in fitting
    assert not found


@pytest.mark.parametrize("number_format", [NumberFormat.TWOS_COMPLEMENT, NumberFormat.SIGN_MAGNITUDE])
def test_zero_points_stay_where_they_are_subtracted(number_format: NumberFormat) -> None:
    found = candidates(tensor_of(UINT8, 128, 3, 250, 6), Operand(format=number_format))
    assert len(found) > 1
    assert {one.new.zero_point for one in found} == {128}
    values = {value: round(value / found[1].new.factor) for value in range(-125, 123)}
    if number_format is NumberFormat.SIGN_MAGNITUDE:
        counts = tensor_of(UINT8, 128, 3, 250, 6).counts
        ones = sum(counts[v + 128] * (abs(new).bit_count() + (new < 0)) for v, new in values.items())
        assert found[1].ones == ones


def test_the_search_finds_what_all_combinations_hold(network: Network, inputs: Path, tmp_path: Path) -> None:
    """Every combination of ranges of the tiny network, each run: none within the budget has a fifth fewer bits set."""
    choices = {
        one.place.tensor: candidates(one, Operand(), (1.0, 2.0, 4.0))
        for one in seen_tensors(network, rescalable(network), samples_of(inputs))
    }
    before, best = scores(network.path, inputs), math.inf
    for number, chosen in enumerate(itertools.product(*choices.values())):
        path = tmp_path / f"{number}.tflite"
        rewrite_ranges(network, dict(zip(choices, (one.new for one in chosen), strict=True)), path)
        if sqnr_db(before, scores(path, inputs)) >= BUDGET_DB:
            best = min(best, ones_as_run(path, inputs))
    result = optimize(network, "edge4", steps=["rescale"], inputs=inputs, error_budget=f"sqnr:{BUDGET_DB}dB", jobs=1)
    result.save(tmp_path / "out")
    assert ones_as_run(tmp_path / "out" / "model.tflite", inputs) <= 1.25 * best


def test_the_strictest_budget_leaves_outputs_bit_identical(network: Network, inputs: Path) -> None:
    result = optimize(network, "edge4", steps=["rescale"], inputs=inputs, error_budget="sqnr:120dB", jobs=1)
    check = result.report.stages[-1].model_check
    assert check is None or check.bit_exact


def test_a_share_of_the_budget_is_left(network: Network, inputs: Path, tmp_path: Path) -> None:
    result = optimize(
        network, "edge4", steps=[RescaleStep(share=0.25)], inputs=inputs, error_budget="sqnr:12dB", jobs=1
    )
    result.save(tmp_path)
    assert sqnr_db(scores(network.path, inputs), scores(tmp_path / "model.tflite", inputs)) >= 12 + 10 * math.log10(4)


def test_steps_that_share_a_budget_spend_it_once(network: Network, inputs: Path, tmp_path: Path) -> None:
    """Against the network as stored, not each against the one before."""
    steps = ["schedule", RescaleStep(share=0.5), "round"]
    result = optimize(network, "edge4", steps=steps, inputs=inputs, error_budget=f"sqnr:{BUDGET_DB}dB", jobs=1)
    result.save(tmp_path)
    ratio = sqnr_db(scores(network.path, inputs), scores(tmp_path / "model.tflite", inputs))
    assert ratio >= BUDGET_DB
    rescaled, rounded = result.report.stages[2:]
    assert f"SQNR {ratio:.2f} dB" in rounded.evidence.method
    assert rounded.totals.weights.optimized_flips < rescaled.totals.weights.optimized_flips


def test_nothing_to_rescale(tmp_path: Path) -> None:
    """A network of one layer: its input's range is its caller's."""
    path = tmp_path / "single.tflite"
    path.write_bytes(build_tflite.single(build_tflite.DENSE, (1, 8), (1, 4), (4, 8)))
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).integers(-99, 99, (3, 1, 8)).astype(np.int8))
    result = optimize(path, "edge4", steps=["rescale"], inputs=tmp_path / "x.npz", error_budget="sqnr:20dB", jobs=1)
    assert "the model is as it was" in result.report.stages[-1].evidence.method


def test_what_makes_no_sense(network: Network, inputs: Path) -> None:
    with pytest.raises(InputError, match="step rescale: expected an error budget"):
        optimize(network, "edge4", steps=["rescale"], inputs=inputs)
    with pytest.raises(InputError, match="expected rescale after schedule"):
        optimize(network, "edge4", steps=["rescale", "schedule"], inputs=inputs, error_budget="sqnr:20dB")
    for share in (0.0, 1.5, -1.0, math.nan):
        with pytest.raises(InputError, match="share of the budget above 0 and up to 1"):
            RescaleStep(share=share)
