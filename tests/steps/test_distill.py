"""Distillation within an error budget: what is written, what it costs, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from fewflips import optimize
from fewflips.api.optimized import Optimization
from fewflips.errors import InputError, ToolError
from fewflips.execution.runtimes import Runtime
from fewflips.execution.samples import load_samples
from fewflips.machine import load_accelerator
from fewflips.network import Network, load
from fewflips.optimization import Context, ErrorBudget, State
from fewflips.optimization.steps.order import ScheduleStep
from fewflips.ordering import Effort
from fewflips.parallel.limit import Limit
from fewflips.training.distillation.effort import DistillEffort
from fewflips.training.distillation.step import DistillStep
from tests.network import build_onnx, build_tflite
from tests.network.build_onnx import save
from tests.steps.test_round import scores, sqnr_db

pytest.importorskip("torch", reason="needs PyTorch: pip install 'fewflips[train]'")

BUDGET_DB = 20
SHORT = DistillStep(effort=DistillEffort(steps=12, between=4, batch=6, rate=0.05))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    path = tmp_path_factory.mktemp("model") / "model.tflite"
    path.write_bytes(build_tflite.branching("UINT8", "UINT8"))
    return load(path)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth random images."""
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (12, 1, 4, 4, 3))
    path = tmp_path_factory.mktemp("inputs") / "images.npz"
    np.savez(path, image=small.repeat(2, axis=2).repeat(2, axis=3).astype(np.uint8))
    return path


def optimized(network: Network, inputs: Path, *steps: object) -> Optimization:
    return optimize(
        network,
        "edge4",
        steps=["schedule", *steps],  # type: ignore[list-item]
        inputs=inputs,
        error_budget=f"sqnr:{BUDGET_DB}dB",
        jobs=1,
    )


@pytest.fixture(scope="module")
def distilled(network: Network, inputs: Path) -> Optimization:
    return optimized(network, inputs, "round", SHORT)


def test_the_budget_holds_against_the_original_and_it_never_costs_more_than_rounding(
    network: Network, inputs: Path, distilled: Optimization, tmp_path: Path
):
    distilled.save(tmp_path)
    written = load(tmp_path / "model.tflite")
    ratio = sqnr_db(scores(network.path, inputs), scores(written.path, inputs))
    assert ratio >= BUDGET_DB
    _, rounded, final = distilled.report.stages[1:]
    assert f"SQNR {ratio:.2f} dB on 12 sample inputs" in final.evidence.method
    assert final.totals.weights.optimized_flips <= rounded.totals.weights.optimized_flips
    assert distilled.run.scheduled is distilled.run.stages[-1]


def test_alone_it_finds_cheaper_codes(network: Network, inputs: Path):
    result = optimized(network, inputs, SHORT)
    scheduled, final = result.report.stages[1:]
    assert final.totals.weights.optimized_flips < 0.95 * scheduled.totals.weights.optimized_flips


def test_the_same_seed_gives_the_same_file(network: Network, inputs: Path, distilled: Optimization, tmp_path: Path):
    optimized(network, inputs, "round", SHORT).save(tmp_path / "again")
    distilled.save(tmp_path / "first")
    assert (tmp_path / "again" / "model.tflite").read_bytes() == (tmp_path / "first" / "model.tflite").read_bytes()


def context(network: Network, inputs: Path, limit: Limit | None = None) -> Context:
    with Runtime(network) as runtime:
        samples = load_samples(inputs, runtime.inputs)
    return Context(samples, Effort.quick(), 0, 1, None, budget=ErrorBudget(BUDGET_DB), limit=limit or Limit())


def test_a_limit_leaves_what_was_there(network: Network, inputs: Path):
    limit = Limit()
    limit.ask()
    state = State.stored(network, load_accelerator("edge4"))
    outcome = SHORT.apply(state, context(network, inputs, limit))
    assert outcome.state.files is not None
    assert (outcome.state.network.path).read_bytes() == network.path.read_bytes()


def test_a_start_beyond_the_budget_is_refused(network: Network, inputs: Path):
    given = context(network, inputs)
    state = ScheduleStep().apply(State.stored(network, load_accelerator("edge4")), given).state
    rounded = optimized(network, inputs, "round")
    tight = replace(given, budget=ErrorBudget(60), original=network)
    assert rounded.run.rewritten is not None
    with pytest.raises(InputError, match=r"step distill: expected a model within the budget sqnr:60dB .* got SQNR"):
        SHORT.apply(replace(rounded.run.rewritten.state, accelerator=state.accelerator), tight)


def test_a_drop_in_keeps_its_one_order(network: Network, inputs: Path):
    result = optimize(
        network, "edge4", steps=["drop-in", SHORT], inputs=inputs, error_budget=f"sqnr:{BUDGET_DB}dB", jobs=1
    )
    assert result.schedule is None
    moved, final = result.report.stages[1:]
    assert final.totals.weights.optimized_flips <= moved.totals.weights.optimized_flips


def test_an_onnx_network(tmp_path: Path):
    build = build_onnx.QDQ(4)
    image = build.activation(build.input("image", TensorProto.FLOAT, ["N", 3, 8, 8]))
    stem = build.node("Conv", [image, build.weights(build.int8(8, 3, 3, 3), 0)], pads=[1] * 4)
    pooled = build.node("GlobalAveragePool", [build.activation(build.node("Relu", [stem]), zero=-128)])
    flat = build.activation(build.node("Flatten", [pooled]))
    build.output(build.node("Gemm", [flat, build.weights(build.int8(10, 8), 0)], transB=1), TensorProto.FLOAT)
    network = load(save(build.model(), tmp_path / "model.onnx"))
    images = np.random.default_rng(5).normal(size=(12, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "images.npz", image=images)
    result = optimized(network, tmp_path / "images.npz", SHORT)
    scheduled, final = result.report.stages[1:]
    assert final.totals.weights.optimized_flips < scheduled.totals.weights.optimized_flips


def test_what_it_refuses(network: Network, inputs: Path, tmp_path: Path):
    with pytest.raises(InputError, match="step distill: expected an error budget"):
        optimize(network, "edge4", steps=["distill"], inputs=inputs)
    with pytest.raises(InputError, match="expected distill after round"):
        optimized(network, inputs, "distill", "round")
    few = tmp_path / "few.npz"
    np.savez(few, image=np.load(inputs)["image"][:4])
    with pytest.raises(InputError, match="step distill: expected 8 sample inputs or more to train on, got 4"):
        optimized(network, few, "distill")
    with pytest.raises(InputError, match="step distill: expected steps"):
        DistillEffort(steps=0)


def test_without_torch_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, network: Network, inputs: Path):
    import fewflips.training.distillation.step as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"step distill: needs PyTorch.*fewflips\[train\]"):
        optimized(network, inputs, "distill")


def test_pytorch_is_not_loaded_with_the_step():
    code = "import sys; from fewflips.optimization.registration import step_named; step_named('distill'); "
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
