"""Rounding within an error budget: what is written, what it computes, and what it refuses."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fewflips import optimize
from fewflips.api.optimized import Optimization
from fewflips.dataflows import dataflow_of
from fewflips.errors import InputError
from fewflips.execution.activations import read_samples
from fewflips.execution.runtimes import Runtime
from fewflips.formats.number_formats import NumberFormat
from fewflips.machine import load_accelerator
from fewflips.network import Network, load
from fewflips.network.contents import as_bytes
from fewflips.network.load import read_contents
from fewflips.optimization.budget import ErrorBudget
from fewflips.optimization.state import State
from fewflips.optimization.step import Context
from fewflips.optimization.steps.round import rounded_layers
from fewflips.ordering import Effort
from fewflips.streams.codes import weight_codes
from tests.network import build_onnx, build_tflite
from tests.network.build_onnx import save

BUDGET_DB = 20
STEP, ZERO_POINT = build_tflite.STEPS["UINT8"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    path = tmp_path_factory.mktemp("model") / "model.tflite"
    path.write_bytes(build_tflite.branching("UINT8", "UINT8"))
    return load(path)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth random images."""
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (8, 1, 4, 4, 3))
    path = tmp_path_factory.mktemp("inputs") / "images.npz"
    np.savez(path, image=small.repeat(2, axis=2).repeat(2, axis=3).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def rounded(network: Network, inputs: Path) -> Optimization:
    return optimize(
        network, "edge4", steps=["schedule", "round"], inputs=inputs, error_budget=f"sqnr:{BUDGET_DB}dB", jobs=1
    )


def scores(path: Path, inputs: Path) -> np.ndarray:
    """Both outputs on all inputs, dequantized by hand, shape (inputs, values)."""
    rows = []
    with Runtime(path) as runtime:
        for image in np.load(inputs)["image"]:
            found = runtime.run({"image": image}, runtime.outputs)
            (logits, probabilities) = (found[name].astype(float).ravel() for name in ("logits", "scores"))
            rows.append(np.concatenate([(logits - ZERO_POINT) * STEP, probabilities / 256]))
    return np.stack(rows)


def sqnr_db(before: np.ndarray, after: np.ndarray) -> float:
    return 10 * math.log10((before**2).sum() / ((after - before) ** 2).sum())


def flips(network: Network, result: Optimization) -> int:
    """Flips within passes of the stage's orders, counted bit by bit."""
    array, state = load_accelerator("edge4"), result.run.stages[-1].state
    total = 0
    for layer in network.layers:
        codes = weight_codes(layer, array.weights).words
        repeats = dataflow_of(array).weight_repeats(layer, array)
        for segment in state.orders[layer.name]:
            words = codes[np.ix_(segment.order, segment.lanes)]
            total += repeats * sum(int(a ^ b).bit_count() for lane in words.T for a, b in pairwise(lane))
    return total


def test_the_budget_holds_in_the_runtime_and_flips_fall(
    network: Network, inputs: Path, rounded: Optimization, tmp_path: Path
) -> None:
    rounded.save(tmp_path)
    written = load(tmp_path / "model.tflite")
    ratio = sqnr_db(scores(network.path, inputs), scores(written.path, inputs))
    assert ratio >= BUDGET_DB
    scheduled, final = rounded.report.stages[1:]
    assert f"SQNR {ratio:.2f} dB on 8 sample inputs" in final.evidence.method
    assert final.totals.weights.optimized_flips < scheduled.totals.weights.optimized_flips
    assert flips(written, rounded) < 0.9 * flips(network, optimized_orders_only(network, inputs))
    assert final.model_check is not None
    assert final.model_check.sample_inputs == 8
    assert not final.model_check.bit_exact


def optimized_orders_only(network: Network, inputs: Path) -> Optimization:
    return optimize(network, "edge4", steps=["schedule"], inputs=inputs, jobs=1)


def test_nothing_but_weights_and_biases_changes(network: Network, rounded: Optimization, tmp_path: Path) -> None:
    """By `network/contents.py`, which shares no code with the writers."""
    rounded.save(tmp_path)
    before, after = (read_contents(path, "tflite") for path in (network.path, tmp_path / "model.tflite"))
    assert before.rest == after.rest
    assert before.outside == after.outside
    weights = {layer.weights_tensor for layer in network.layers}
    biases = {f"{layer.name}/bias" for layer in network.layers}
    changed = {
        left.tensor
        for left, right in zip(before.parts, after.parts, strict=True)
        if not np.array_equal(as_bytes(left.values), as_bytes(right.values))
    }
    assert changed
    assert changed <= weights | biases
    assert changed & weights


def test_the_schedule_is_for_the_written_model(rounded: Optimization) -> None:
    assert rounded.schedule is not None
    assert rounded.run.scheduled is rounded.run.stages[-1]
    assert rounded.run.stages[-1].order_check is not None
    assert rounded.run.stages[-1].order_check.passed


def test_a_looser_budget_gives_no_more_flips(network: Network, inputs: Path, rounded: Optimization) -> None:
    results = [
        optimize(network, "edge4", steps=["schedule", "round"], inputs=inputs, error_budget=f"sqnr:{db}dB", jobs=1)
        for db in (35, 8)
    ]
    tight, loose = (result.report.stages[-1].totals.weights.optimized_flips for result in results)
    assert loose <= rounded.report.stages[-1].totals.weights.optimized_flips <= tight


def test_points_of_accuracy(network: Network, inputs: Path) -> None:
    labels = scores(network.path, inputs)[:, :5].argmax(axis=1)
    with pytest.raises(InputError, match="one output"):
        optimize(network, "edge4", steps=["round"], inputs=inputs, error_budget="10%", labels=labels)


def test_a_drop_in_keeps_its_one_order(network: Network, inputs: Path) -> None:
    steps = ["drop-in", "round"]
    result = optimize(network, "edge4", steps=steps, inputs=inputs, error_budget="sqnr:20dB", jobs=1)
    assert result.schedule is None
    moved, final = result.report.stages[1:]
    assert final.totals.weights.optimized_flips < moved.totals.weights.optimized_flips


def test_budgets_and_machines_that_do_not_fit(inputs: Path, network: Network, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="round"):
        optimize(network, "edge4", steps=["round"], inputs=inputs)
    with pytest.raises(InputError, match="weights stream over output channels"):
        optimize(
            network,
            load_accelerator("edge4").model_copy(update={"dataflow": "output-stationary"}),
            steps=["round"],
            inputs=inputs,
            error_budget="sqnr:20dB",
        )
    empty = tmp_path / "constant.npz"
    np.savez(empty, image=np.full((3, 1, 8, 8, 3), 7, np.uint8))
    with pytest.raises(InputError, match="constant"):
        optimize(network, "edge4", steps=["round"], inputs=empty, error_budget="sqnr:20dB")


def test_onnx_with_labels(tmp_path: Path) -> None:
    """A network in QDQ form, whose own answers are the labels: no point may be lost."""
    network = load(save(build_onnx.qdq(), tmp_path / "model.onnx"))
    images = np.random.default_rng(5).normal(size=(12, 3, 8, 8)).astype(np.float32)
    path = tmp_path / "images.npz"
    np.savez(path, image=images)
    with Runtime(network) as runtime:
        answers = [runtime.run({"image": image[None]}, runtime.outputs)[runtime.outputs[0]] for image in images]
    labels = np.array([answer.argmax() for answer in answers])
    result = optimize(
        network, "edge4", steps=["schedule", "round"], inputs=path, error_budget="0%", labels=labels, jobs=1
    )
    result.save(tmp_path / "out")
    with Runtime(tmp_path / "out" / "model.onnx") as runtime:
        again = [runtime.run({"image": image[None]}, runtime.outputs)[runtime.outputs[0]].argmax() for image in images]
    assert (np.array(again) == labels).all()
    scheduled, final = result.report.stages[1:]
    assert final.totals.weights.optimized_flips <= scheduled.totals.weights.optimized_flips
    assert "0.00 points of accuracy lost" in final.evidence.method


def test_signs_named_before_it_are_chosen_for_the_codes_that_it_leaves(network: Network, inputs: Path):
    machine = load_accelerator("edge4")
    signed = machine.model_copy(
        update={
            "datapath": machine.datapath.model_copy(update={"sign_flags": True}),
            "weights": machine.weights.model_copy(update={"format": NumberFormat.TWOS_COMPLEMENT}),
        }
    )
    steps = ["order", "cluster", "signs", "round"]
    result = optimize(network, signed, steps=steps, inputs=inputs, error_budget=f"sqnr:{BUDGET_DB}dB", jobs=1)
    *_, rounded, signs = result.run.stages
    assert (rounded.name, signs.name) == ("round", "signs")
    assert signs.state.network is rounded.state.network
    assert any(segment.sign_flags.any() for segments in signs.state.orders.values() for segment in segments)
    assert any("Steps were applied as schedule, cluster, round, signs" in note for note in result.report.notes)


def test_a_share_of_the_codes_is_disturbed(network: Network, inputs: Path) -> None:
    """By one step at most, of which a third is none; and everything comes back."""
    samples, _ = read_samples(network, inputs)
    assert samples is not None
    budget = ErrorBudget(sqnr_db=20)
    context = Context(samples, Effort.quick(), 0, 1, budget=budget)
    layers = rounded_layers(State.stored(network, load_accelerator("edge4")), context, samples)
    layer = max(layers, key=lambda one: one.codes.size)
    before = layer.saved()
    for share in (1.0, 0.25):
        layer.disturb(1, 7, share)
        change = layer.codes - before[0]
        assert np.abs(change).max() == 1
        assert (change != 0).mean() == pytest.approx(share * 2 / 3, abs=4 * (share / change.size) ** 0.5)
        assert layer.error > 0
        layer.restore(before)
        assert layer.error == 0
