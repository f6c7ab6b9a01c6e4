"""The step that renumbers channels so that segments have fewer flips, through optimize, on every dataflow."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fewflips
from fewflips.cli import main
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.orders import natural_orders
from fewflips.machine import Accelerator
from fewflips.machine.buffers import Tiling
from fewflips.network.channels import tie_channels
from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.optimization import Context, State
from fewflips.optimization.channel_clusters import plan_clusters
from fewflips.optimization.lane_clusters import ClusterEffort
from fewflips.optimization.steps.cluster import ClusterStep
from fewflips.ordering import Effort
from fewflips.parallel.limit import Limit
from tests.network import build_onnx, build_tflite
from tests.network_building import CHANNELWISE, CONCATENATION, GraphBuilder
from tests.orders_by_cost import BITS, COSTS
from tests.test_dropin import product, random_weights

MACHINES = {
    "columns": Accelerator(name="columns", lanes=3, columns=4),
    "systolic": Accelerator(name="systolic", dataflow="weight-stationary", lanes=3, columns=2),
    "both stream": Accelerator(name="both", dataflow="output-stationary", lanes=4, columns=3),
    "tiled": Accelerator(name="tiled", lanes=3, columns=4, tiling=Tiling(outputs=5, pixels=2)),
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(build_tflite.branching())
    return path


@pytest.fixture
def onnx_model(tmp_path: Path) -> Path:
    return build_onnx.save(build_onnx.qdq(), tmp_path / "model.onnx")


def flips(layer: Layer, segments, array: Accelerator, step=COSTS["flips"][1]) -> int:
    """Flips of one inference within passes, word by word, as the loop nests of docs/dataflows.md have them."""
    flow, total = dataflow_of(array), 0
    codes = layer.weights.view(np.uint8).tolist()
    beside = array.columns if array.dataflow == "weight-stationary" and not layer.is_depthwise else 1
    for segment in segments:
        order = segment.order.tolist()
        order += [None] * (-len(order) % beside)  # columns that idle in the last tile hold zeros
        for before, after in zip(order, order[beside:], strict=False):
            for lane in segment.lanes.tolist():
                a, b = (
                    0 if i is None else codes[i][lane] if flow.lanes_axis == "k" else codes[lane][i]
                    for i in (before, after)
                )
                total += step(a, b)
    return flow.weight_repeats(layer, array) * total


def all_flips(network: Network, orders, array: Accelerator, step=COSTS["flips"][1]) -> int:
    return sum(flips(layer, orders[layer.name], array, step) for layer in network.layers)


@pytest.mark.parametrize(
    ("machine", "which"), [*((machine, "model") for machine in MACHINES), ("columns", "onnx_model")]
)
def test_the_new_model_computes_the_same_and_its_schedule_has_fewer_flips(
    machine: str, which: str, request: pytest.FixtureRequest, tmp_path: Path
):
    model, array = request.getfixturevalue(which), MACHINES[machine]
    result = fewflips.optimize(model, array, steps=["schedule", "cluster"], jobs=1)
    scheduled, clustered = result.run.stages[1:]
    before, after = (all_flips(stage.state.network, stage.state.orders, array) for stage in (scheduled, clustered))
    assert after <= before
    totals = result.report.stages[2].totals.weights
    assert totals.optimized_flips == after
    assert totals.lower_bound is None or totals.lower_bound <= after
    if clustered.state.network is scheduled.state.network:
        assert machine == "tiled"  # where all groups stream in layers with several tiles
        return
    assert after < before
    assert result.report.stages[2].model_check.passed
    files = {path.name for path in result.save(tmp_path / "out")}
    written = tmp_path / "out" / f"model{model.suffix}"
    assert {written.name, "schedule.json"} <= files
    assert fewflips.verify(model, written).check.passed
    assert fewflips.verify(written, tmp_path / "out" / "schedule.json").check.passed
    moved = clustered.channels.orders
    assert moved
    assert not set(moved) & set(tie_channels(result.network).frozen)


def test_by_cost_and_from_the_command_line(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    cost = tmp_path / "cost.json"
    cost.write_text(json.dumps({"bit_costs": list(BITS)}))
    arguments = ["optimize", str(model), "--output", str(tmp_path / "out"), "--accelerator", "edge4", "--json"]
    arguments += ["--steps", "schedule,cluster", "--cost", str(cost), "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", ["fewflips", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    report = json.loads(capsys.readouterr().out)
    assert [stage["name"] for stage in report["stages"]] == ["baseline", "schedule", "cluster"]
    array = fewflips.load_accelerator("edge4")
    result = fewflips.optimize(model, array, steps=["schedule", "cluster"], cost=COSTS["bits"][0], jobs=1)
    before, after = (
        all_flips(stage.state.network, stage.state.orders, array, COSTS["bits"][1]) for stage in result.run.stages[1:]
    )
    assert after < before
    assert result.report.cost is not None


def test_it_needs_no_schedule_before_and_comes_after_it(model: Path):
    array = MACHINES["columns"]
    result = fewflips.optimize(model, array, steps=["cluster"], jobs=1)
    (stage,) = result.run.stages[1:]
    scheduled = fewflips.optimize(model, array, steps=["schedule"], jobs=1).run.stages[1]
    assert all_flips(stage.state.network, stage.state.orders, array) < all_flips(
        scheduled.state.network, scheduled.state.orders, array
    )
    with pytest.raises(fewflips.errors.InputError, match="expected cluster after schedule"):
        fewflips.optimize(model, array, steps=["cluster", "schedule"], jobs=1)


def test_when_time_is_up_what_was_found_is_given(model: Path):
    limit = Limit()
    limit.ask()
    array = MACHINES["columns"]
    network = fewflips.load(model)
    state = State.stored(network, array)
    outcome = ClusterStep().apply(state, Context(None, Effort.default(), 0, 1, limit=limit))
    assert all_flips(outcome.state.network, outcome.state.orders, array) <= all_flips(network, state.orders, array)


def joined(first: np.ndarray, second: np.ndarray, last: np.ndarray, other: np.ndarray) -> Network:
    """Two products whose outputs are put side by side for a third one; the second one's go to a fourth as well."""
    build = GraphBuilder()
    build.tensor("x", 8, first.shape[1])
    build.product("x", "a", 8, len(first))
    build.product("x", "b", 8, len(second))
    build.operation(CONCATENATION, ("a", "b"), "both", 8, len(first) + len(second))
    build.operation(CHANNELWISE, ("b",), "bent", 8, len(second))
    build.product("both", "y", 8, len(last))
    build.product("bent", "z", 8, len(other))
    layers = (
        product("a", "x", first, 8),
        product("b", "x", second, 8),
        product("y", "both", last, 8),
        product("z", "bent", other, 4),
    )
    return replace(build.network(("x",), ("y", "z")), layers=layers)


@pytest.mark.parametrize("machine", ["columns", "systolic", "both stream"])
@pytest.mark.parametrize("seed", range(3))
def test_groups_that_share_a_layer_move_together(machine: str, seed: int):
    array = MACHINES[machine]
    weights = [random_weights(n, k, seed + n) for n, k in ((7, 5), (8, 5), (12, 15), (11, 8))]
    network = joined(*weights)
    natural = natural_orders(network, array)
    plan = plan_clusters(network, array, natural, effort=ClusterEffort.default(), seed=seed, jobs=1)
    moved = renumbered(network, plan.groups.permutations(plan.moved))
    searched = {"columns": ("y", "z"), "systolic": ("y", "z"), "both stream": ("a", "b")}[machine]
    after = sum(flips(layer, plan.orders[layer.name], array) for layer in moved.layers if layer.name in searched)
    assert after < sum(flips(layer, natural[layer.name], array) for layer in network.layers if layer.name in searched)
    again = plan_clusters(network, array, natural, effort=ClusterEffort.default(), seed=seed, jobs=2)
    assert {group: order.tolist() for group, order in again.moved.items()} == {
        group: order.tolist() for group, order in plan.moved.items()
    }
    for before, later in zip(network.layers, moved.layers, strict=True):
        if before.name not in searched:  # their words stream as before, under new numbers
            assert flips(later, plan.orders[before.name], array) == flips(before, natural[before.name], array)


def renumbered(network: Network, permutations) -> Network:
    """The layers of a network whose weights have moved."""
    from tests.layers import altered

    layers = []
    for layer in network.layers:
        weights = layer.weights
        for axis, index in permutations.get(layer.weights_tensor, {}).items():
            weights = weights.take(index, axis=axis)
        layers.append(altered(layer, weights=np.ascontiguousarray(weights)))
    return replace(network, layers=tuple(layers))
