"""Orders by the flips of both operands, against every permutation and plain loops over the multipliers."""

from __future__ import annotations

from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest

import fewflips
from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.orders import natural_orders
from fewflips.errors import InputError
from fewflips.execution.activations import lowered_rows, read_samples, run_samples
from fewflips.execution.samples import Samples
from fewflips.formats.codes import Codes
from fewflips.formats.number_formats import UINT8
from fewflips.machine import Accelerator
from fewflips.optimization import joint_orders
from fewflips.optimization.joint_orders import JointPlan, joint_flips, plan_joint_orders
from fewflips.ordering import Effort
from fewflips.streams.transition_cost import TransitionCost
from tests.layers import altered, dense_layer, depthwise_layer, random_rows
from tests.network import build_tflite
from tests.network_energy import unit_walk

MACHINES = {
    "output-stationary": Accelerator(name="os", dataflow="output-stationary", lanes=4, columns=3),
    "activation-stationary": Accelerator(name="as", lanes=4, columns=3),
    "weight-stationary": Accelerator(name="ws", dataflow="weight-stationary", lanes=4, columns=3),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "branching.tflite"
    path.write_bytes(build_tflite.branching())
    return path


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inputs") / "images.npz"
    np.savez(path, image=np.random.default_rng(3).integers(-128, 128, (2, 8, 8, 3)).astype(np.int8))
    return path


@pytest.fixture(scope="module")
def network(model: Path) -> fewflips.Network:
    return fewflips.load(model)


@pytest.fixture(scope="module")
def samples(network: fewflips.Network, inputs: Path) -> Samples:
    found, _ = read_samples(network, inputs)
    assert found is not None
    return found


def planned(network, array, samples, orders=None) -> JointPlan:
    orders = orders or natural_orders(network, array)
    return plan_joint_orders(network, array, orders, samples, effort=Effort.default(), seed=0, jobs=1)


def words_of(layer, tensors):
    """Bytes of both operands of every sample: (x, w)."""
    return [(lowered_rows(layer, one).view(np.uint8), layer.weights.view(np.uint8)) for one in tensors]


def flips(a, b) -> int:
    return (int(a) ^ int(b)).bit_count()


def step_flips(layer, array, segment, one, other, words) -> int:
    """What a step from one index of an order to another flips at every multiplier, by plain loops."""
    per_group, total = layer.n // layer.groups, 0
    for x, w in words:
        for m in range(layer.m):
            for lane in segment.lanes:
                if array.dataflow == "output-stationary":
                    group = lane // per_group
                    total += flips(w[lane, one], w[lane, other]) + flips(x[group, m, one], x[group, m, other])
                else:
                    total += flips(w[one, lane], w[other, lane])
                    total += flips(x[one // per_group, m, lane], x[other // per_group, m, lane])
    return total


def table(layer, array, segment, words):
    indices = np.sort(segment.order)
    return np.array([[step_flips(layer, array, segment, one, other, words) for other in indices] for one in indices])


def along(distances, order) -> int:
    places = np.searchsorted(np.sort(order), order)
    return int(distances[places[:-1], places[1:]].sum())


@pytest.mark.parametrize(("dataflow", "names"), [("output-stationary", ("second",)), ("activation-stationary", ("",))])
def test_orders_are_the_best_of_all_permutations(network, samples, dataflow, names):
    array = MACHINES[dataflow]
    plan = planned(network, array, samples)
    tensors = list(run_samples(network, samples))
    chosen = [layer for layer in network.layers if layer.is_depthwise] if names == ("",) else network.layers
    compared = 0
    for layer in chosen:
        if not any(name in layer.name for name in names):
            continue
        words, best, found, natural = words_of(layer, tensors), 0, 0, 0
        for given, segment in zip(dataflow_of(array).segments(layer, array), plan.orders[layer.name], strict=True):
            distances = table(layer, array, segment, words)
            every = np.array(list(permutations(range(len(segment.order)))))
            best += int(distances[every[:, :-1], every[:, 1:]].sum(axis=1).min())
            found += along(distances, segment.order)
            natural += along(distances, given.order)
        count = plan.counts[layer.name]
        assert (count.within_before, count.within_after) == (natural, found)
        assert found == best < natural
        certificate = count.certificate
        assert (certificate.lower_bound, certificate.proven_segments) == (best, certificate.segments)
        compared += 1
    assert compared == 1


def test_layers_whose_activations_do_not_follow_keep_their_orders(network, samples):
    everywhere, depthwise = len(network.layers), sum(layer.is_depthwise for layer in network.layers)
    assert 0 < depthwise < everywhere
    for dataflow, following in (
        ("weight-stationary", 0),
        ("activation-stationary", depthwise),
        ("output-stationary", everywhere),
    ):
        array = MACHINES[dataflow]
        natural = natural_orders(network, array)
        plan = planned(network, array, samples, natural)
        assert len(plan.counts) == following
        for layer in network.layers:
            if layer.name not in plan.counts:
                assert plan.orders[layer.name] == natural[layer.name]


def test_a_layer_keeps_orders_that_are_no_worse(network, samples):
    array = MACHINES["output-stationary"]
    plan = planned(network, array, samples)
    again = planned(network, array, samples, plan.orders)
    for name, count in again.counts.items():
        assert again.orders[name] == plan.orders[name]
        assert count.before == count.after == plan.counts[name].after
        assert plan.counts[name].after <= plan.counts[name].before
    assert any(count.after < count.before for count in plan.counts.values())


def test_seams_that_cost_more_than_passes_spare(monkeypatch, network, samples):
    """Where streams say that nothing is won, orders stay, whatever passes say."""
    monkeypatch.setattr(joint_orders, "joint_flips", lambda layer, array, segments, activations: 1.0)
    array = MACHINES["output-stationary"]
    natural = natural_orders(network, array)
    plan = planned(network, array, samples, natural)
    assert plan.orders == natural
    assert all(count.within_after == count.within_before for count in plan.counts.values())


def test_large_distances_are_scaled(monkeypatch, network, samples):
    array = MACHINES["output-stationary"]
    exact = planned(network, array, samples)
    monkeypatch.setattr(joint_orders, "LARGEST_DISTANCE", 1000)
    scaled = planned(network, array, samples)
    for name, count in scaled.counts.items():
        assert 0 < count.certificate.lower_bound <= exact.counts[name].certificate.lower_bound
        assert exact.counts[name].within_after <= count.within_after < 1.05 * exact.counts[name].within_after


@pytest.mark.parametrize("forwarding", ["broadcast", "systolic"])
@pytest.mark.parametrize("dataflow", ["output-stationary", "activation-stationary"])
def test_flips_at_the_multipliers_are_those_of_a_walk(dataflow, forwarding):
    """Tiles are whole here, so that every unit works in every cycle."""
    if dataflow == "output-stationary":
        layer, walk = dense_layer(8, 6, 5, storage=UINT8), unit_walk.output_stationary
    else:
        signed, walk = depthwise_layer(6, 5, (1, 4)), unit_walk.activation_stationary
        layer = altered(signed, weights=signed.weights.view(np.uint8), weight_type=UINT8)
    array = MACHINES[dataflow].model_copy(update={"forwarding": forwarding})
    rows, generator = random_rows(layer), np.random.default_rng(0)
    segments = tuple(
        Segment(one.lanes, generator.permutation(one.order)) for one in dataflow_of(array).segments(layer, array)
    )
    pairs = [(one.lanes.tolist(), one.order.tolist()) for one in segments]
    units, _ = walk(rows, layer.weights.astype(int), pairs, array.lanes, array.columns)
    expected = 0
    for cycles in units:
        for before, after in pairwise(cycles):
            for a, b in zip(before[:2], after[:2], strict=True):
                both = [(a, b)] if isinstance(a, int) else zip(a, b, strict=True)
                expected += sum(flips(one, other) for one, other in both)
    assert joint_flips(layer, array, segments, Codes(rows, 8)) == expected


def test_a_stage_of_an_optimization(model: Path, inputs: Path, tmp_path: Path):
    machine = tmp_path / "small.yaml"
    machine.write_text("name: small\ndataflow: output-stationary\nlanes: 4\ncolumns: 3\n")
    found = fewflips.optimize(model, machine, steps=["schedule", "joint"], inputs=inputs)
    by_weights, joint = found.report.stages[1:]
    assert (joint.name, joint.start, joint.evidence.exact) == ("joint", "schedule", True)
    assert joint.order_check is not None
    assert joint.order_check.passed
    assert joint.totals.weights.optimized_flips >= by_weights.totals.weights.optimized_flips
    assert joint.totals.activations.optimized_flips < by_weights.totals.activations.optimized_flips


def test_without_what_it_needs(model: Path, inputs: Path):
    with pytest.raises(InputError, match="step joint: expected sample inputs"):
        fewflips.optimize(model, "os16", steps=["joint"])
    with pytest.raises(InputError, match=r"step joint: counts flips of both operands.* leave --cost out"):
        fewflips.optimize(model, "os16", steps=["joint"], inputs=inputs, cost=TransitionCost.per_bit((1,) * 8))
