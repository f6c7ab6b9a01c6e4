"""Drop-in orders by both operands, against every permutation and against the rewritten model's own activations."""

from __future__ import annotations

import sys
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest

import fewflips
from fewflips.cli import main
from fewflips.errors import InputError
from fewflips.execution.activations import lowered_rows, read_samples, run_samples
from fewflips.execution.samples import Samples
from fewflips.machine import Accelerator
from fewflips.network.channels import tie_channels
from fewflips.optimization import joint_channels
from fewflips.optimization.channel_orders import streaming_axes
from fewflips.optimization.joint_channels import (
    FollowingActivations,
    following_activations,
    follows_order,
    plan_joint_channels,
)
from fewflips.ordering import Effort
from fewflips.streams.transition_cost import TransitionCost
from tests.network import build_tflite
from tests.test_dropin import random_weights, residual

ACCUMULATING = Accelerator(name="os", dataflow="output-stationary", lanes=4, columns=3)
STREAMING = Accelerator(name="as", lanes=4, columns=3)
LOADED = Accelerator(name="ws", dataflow="weight-stationary", lanes=4, columns=3)
BITS = (58, 57, 64, 66, 63, 60, 60, 100)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "branching.tflite"
    path.write_bytes(build_tflite.branching())
    return path


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of one colour each, but for some noise, so that channels are alike where their weights are."""
    path = tmp_path_factory.mktemp("inputs") / "images.npz"
    generator = np.random.default_rng(3)
    image = generator.integers(-100, 100, (2, 1, 1, 3)) + generator.integers(-9, 9, (2, 8, 8, 3))
    np.savez(path, image=image.astype(np.int8))
    return path


def flips(rows: np.ndarray) -> int:
    """Between rows one after the other."""
    return sum((int(a) ^ int(b)).bit_count() for one, other in pairwise(rows) for a, b in zip(one, other, strict=True))


def at_multipliers(network, places, inputs: Path, machine: Accelerator, step) -> tuple[int, int]:
    """Flips of weights and of the activations that follow them, in natural order, of all samples, by plain sums."""
    samples, _ = read_samples(network, inputs)
    weights = activations = 0
    for tensors in run_samples(network, samples):
        for layer in (network.layers[place] for place in places):
            w, x = layer.weights.view(np.uint8), lowered_rows(layer, tensors).view(np.uint8)
            if machine is ACCUMULATING:
                weights += layer.m * step(w.T)
                activations += layer.n * flips(x[0].T) if layer.groups == 1 else 0
            else:
                weights += layer.m * step(w)
                activations += flips(x.reshape(layer.n, -1)) if layer.is_depthwise else 0
    return weights, activations


@pytest.mark.parametrize("machine", [ACCUMULATING, STREAMING], ids=lambda machine: machine.name)
@pytest.mark.parametrize("cost", [None, TransitionCost.per_bit(BITS)], ids=["flips", "cost"])
def test_the_rewritten_model_has_fewer_flips_of_both(model, inputs, machine, cost, monkeypatch) -> None:
    """Its activations are those of its own run, not the original's in another order."""
    sums = []
    plain = joint_channels._Sums.of_layers
    monkeypatch.setattr(joint_channels._Sums, "of_layers", lambda *given: sums.append(plain(*given)) or dict(sums[-1]))

    def step(rows: np.ndarray) -> int:
        return flips(rows) if cost is None else cost.along(np.ascontiguousarray(rows))

    price = 1 if cost is None else round(sum(BITS) / 8)
    found = fewflips.optimize(model, machine, steps=["joint-drop-in"], inputs=inputs, cost=cost)
    assert found.run.rewritten is not None
    streaming = {layer.name for layer, _ in streaming_axes(found.network, machine, tie_channels(found.network))}
    places = [place for place, layer in enumerate(found.network.layers) if layer.name in streaming]
    assert len(places) > 3
    before, after = (
        weights + price * activations
        for weights, activations in (
            at_multipliers(stage.state.network, places, inputs, machine, step) for stage in found.run.stages
        )
    )
    assert sum(sums[0].values()) == before
    assert after < before
    totals = dict(sums[0])
    for changed in sums[1:]:
        if sum(changed.values()) < sum(totals[name] for name in changed):
            totals.update(changed)
    assert sum(totals.values()) == after


def planned(network, machine, samples, **given):
    return plan_joint_channels(network, machine, samples, effort=Effort.default(), seed=0, jobs=1, **given)


@pytest.mark.parametrize("seed", range(3))
def test_orders_are_the_best_of_all(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of six channels that are inputs of a layer with two outputs and three pixels, in two samples."""
    generator = np.random.default_rng(seed)
    network = residual(random_weights(6, 3, seed), random_weights(6, 3, seed + 9))
    (last,) = (layer for layer in network.layers if layer.name == "y")
    words = generator.integers(0, 256, (6, 6), dtype=np.uint8)
    found = FollowingActivations(joint_channels._stand_in(last, words), words, 5)
    monkeypatch.setattr(joint_channels, "following_activations", lambda *_: {"y": found})
    plan = planned(network, ACCUMULATING, Samples(({}, {}), "two", ""))
    ((group, order),) = plan.orders.items()
    weights = last.weights.view(np.uint8)

    def total(order) -> int:
        return 2 * last.m * flips(weights[:, list(order)].T) + 5 * flips(words[:, list(order)].T)

    assert total(order) == min(total(order) for order in permutations(range(6))) < total(range(6))
    assert plan.certificates[group].flips == plan.certificates[group].lower_bound == total(order)


def test_which_activations_follow_the_order(model: Path, inputs: Path) -> None:
    network = fewflips.load(model)
    follow = {machine.name: {layer.name for layer in network.layers if follows_order(layer, machine)} for machine in (
        ACCUMULATING, STREAMING, LOADED)}  # fmt: skip
    depthwise = {layer.name for layer in network.layers if layer.is_depthwise}
    assert len(depthwise) == 1
    assert follow["os"] == {layer.name for layer in network.layers} - depthwise
    assert follow["as"] == depthwise
    assert follow["ws"] == set()
    samples, _ = read_samples(network, inputs)
    assert samples is not None
    assert following_activations(network, LOADED, samples) == {}


def test_steps_that_make_no_sense_are_refused(model: Path, inputs: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    with pytest.raises(InputError, match="step joint-drop-in: expected sample inputs"):
        fewflips.optimize(model, ACCUMULATING, steps=["joint-drop-in"])
    arguments = ["fewflips", "optimize", str(model), "--output", str(tmp_path / "out"), "--accelerator", "tpu16"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--inputs", str(inputs), "--step", "joint-drop-in"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "expected layers whose activations stream in the order of their weights, got none on tpu16" in " ".join(
        capsys.readouterr().err.split()
    )
    narrow = TransitionCost.per_bit([1, 2, 3, 4])
    network = fewflips.load(model)
    samples, _ = read_samples(network, inputs)
    with pytest.raises(InputError, match="got one for 4 bits"):
        planned(network, ACCUMULATING, samples, cost=narrow)
