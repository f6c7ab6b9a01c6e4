"""The step `signs`: flips of its stage against loop nests, certificates, what it refuses, and the command line."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from itertools import pairwise, permutations, product
from pathlib import Path

import numpy as np
import pytest

import fewflips
from fewflips.cli import main
from fewflips.dataflows import Segment
from fewflips.errors import AcceleratorError, InputError, VerificationError
from fewflips.formats.number_formats import INT8, UINT8
from fewflips.machine import Accelerator, load_accelerator
from fewflips.machine.accelerator import DatapathOptions, Operand
from fewflips.measurement.counting import count_weights
from fewflips.optimization import Context, State
from fewflips.optimization.choice import chosen_steps, default_steps
from fewflips.optimization.pipeline import price_stages, run_steps
from fewflips.optimization.step import Setting
from fewflips.optimization.steps.order import ScheduleStep
from fewflips.optimization.steps.signs import SignsStep
from fewflips.ordering import Effort
from fewflips.parallel.limit import Limit
from fewflips.schedule.file import read_schedule, same_orders, schedule_orders
from fewflips.streams.transition_cost import TransitionCost
from tests.layers import altered, dense_layer
from tests.network import build_onnx
from tests.test_schedule import network_of

FLAGS = DatapathOptions(sign_flags=True)
ARRAY = Accelerator(name="signed", lanes=3, columns=2, datapath=FLAGS)
CONTEXT = Context(None, Effort.default(), 0, 1)


def layer_of(m, n, k, seed=0):
    layer = dense_layer(m, n, k, storage=INT8, seed=seed)
    return altered(layer, weights=np.maximum(layer.weights, -127))


def least_flips(layer, lanes):
    """The fewest flips of a segment over all orders and signs, flags included, in plain integers."""
    words = [[int(layer.weights[n, k]) for k in lanes] for n in range(layer.n)]

    def length(order, signs):
        streamed = [[sign * value % 256 for value in words[n]] for n, sign in zip(order, signs, strict=True)]
        flips = sum((a ^ b).bit_count() for x, y in pairwise(streamed) for a, b in zip(x, y, strict=True))
        return flips + sum(a != b for a, b in pairwise(signs))

    orders = permutations(range(layer.n))
    return min(length(order, signs) for order in orders for signs in product((1, -1), repeat=layer.n))


def test_small_layers_against_all_orders_and_signs():
    network = network_of(layer_of(5, 4, 6), layer_of(3, 3, 2, seed=1))
    state = State.stored(network, ARRAY)
    outcome = SignsStep().apply(state, CONTEXT)
    assert outcome.evidence.bound is None
    for layer, certificate in zip(network.layers, outcome.certificates, strict=True):
        segments = outcome.state.orders[layer.name]
        least = sum(least_flips(layer, segment.lanes) for segment in segments)
        found = count_weights(layer, ARRAY, segments).within
        assert certificate.lower_bound <= least <= found
        assert certificate.segments == len(segments)
        assert found == least or certificate.proven_segments < len(segments)


def test_it_never_has_more_flips_than_the_stage_before_and_keeps_its_lanes():
    network = network_of(layer_of(9, 40, 7), layer_of(4, 30, 9, seed=1))
    run = run_steps(State.stored(network, ARRAY), [ScheduleStep(), SignsStep()], CONTEXT)
    _, scheduled, signed = run.stages
    assert (signed.start, signed.new_orders, run.scheduled) == ("schedule", True, signed)
    for layer in network.layers:
        before, after = (stage.state.orders[layer.name] for stage in (scheduled, signed))
        assert [one.lanes.tolist() for one in after] == [one.lanes.tolist() for one in before]
        assert count_weights(layer, ARRAY, after).within < count_weights(layer, ARRAY, before).within
    assert any(one.negated is not None for segments in signed.state.orders.values() for one in segments)
    bound = sum(certificate.lower_bound for certificate in signed.certificates)
    assert bound <= sum(count_weights(layer, ARRAY, signed.state.orders[layer.name]).within for layer in network.layers)


def test_costs_take_the_place_of_flips():
    network, cost = network_of(layer_of(3, 25, 4)), TransitionCost.per_bit([1, 2, 3, 4, 5, 6, 7, 30])
    run = run_steps(State.stored(network, ARRAY), [ScheduleStep(), SignsStep()], replace(CONTEXT, cost=cost))
    stages = price_stages(run, cost).stages
    costs = [stage.costs["layer0"] for stage in stages]
    assert costs[2] < costs[1] < costs[0]
    assert stages[2].by_cost
    assert stages[2].certificates[0].lower_bound <= costs[2]
    with pytest.raises(InputError, match="cost of transitions: expected one for codes of 8 bits"):
        SignsStep().apply(run.stages[0].state, replace(CONTEXT, cost=TransitionCost.flips(4)))


def test_a_limit_that_is_over_leaves_orders_and_finds_signs():
    network = network_of(layer_of(3, 25, 4))
    limit = Limit()
    limit.ask()
    state = State.stored(network, ARRAY)
    outcome = SignsStep().apply(state, replace(CONTEXT, limit=limit))
    for before, after in zip(state.orders["layer0"], outcome.state.orders["layer0"], strict=True):
        assert after.order.tolist() == before.order.tolist()
    assert outcome.certificates[0].lower_bound == 0


def test_layers_with_unsigned_weights_keep_their_signs_beside_others():
    network = network_of(layer_of(3, 12, 4), dense_layer(3, 12, 4, storage=UINT8))
    outcome = SignsStep().apply(State.stored(network, ARRAY), CONTEXT)
    assert any(one.negated is not None for one in outcome.state.orders["layer0"])
    assert all(one.negated is None for one in outcome.state.orders["layer1"])
    unsigned = State.stored(network_of(dense_layer(3, 12, 4, storage=UINT8)), ARRAY)
    with pytest.raises(AcceleratorError, match=r"^signed: sign flags: expected weights with a sign, got unsigned"):
        SignsStep().apply(unsigned, CONTEXT)
    magnitudes = ARRAY.model_copy(update={"weights": Operand.model_validate({"format": "sign-magnitude"})})
    outcome = SignsStep().apply(replace(unsigned, accelerator=magnitudes), CONTEXT)
    assert outcome.certificates[0].lower_bound > 0


def test_it_is_a_default_of_machines_with_flags_and_refused_elsewhere():
    assert [step.name for step in default_steps(Setting(ARRAY))][:2] == ["schedule", "signs"]
    plain = Setting(load_accelerator("edge4"))
    assert "signs" not in [step.name for step in default_steps(plain)]
    with pytest.raises(InputError, match=r"step signs: expected a machine with sign flags \(datapath: \{sign_flags"):
        chosen_steps(None, ["schedule", "signs"], (), plain)
    with pytest.raises(AcceleratorError, match="step signs: expected a machine with sign flags"):
        SignsStep().apply(State.stored(network_of(layer_of(1, 2, 2)), plain.accelerator), CONTEXT)


def test_signs_that_cannot_be_are_refused_by_the_pipeline():
    layer = altered(layer_of(2, 3, 2), weights=np.array([[-128, 1], [2, 3], [4, 5]], np.int8))

    class AllNegated(SignsStep):
        name = "all-negated"

        def apply(self, state, context):
            outcome = super().apply(state, context)
            orders = {
                key: tuple(Segment(one.lanes, one.order, np.ones(len(one.order), dtype=bool)) for one in segments)
                for key, segments in state.orders.items()
            }
            return replace(outcome, state=replace(state, orders=orders))

    with pytest.raises(VerificationError, match=r"step all-negated: .* has a weight without a negative in 8 bits"):
        run_steps(State.stored(network_of(layer), ARRAY), [AllNegated()], CONTEXT)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return build_onnx.save(build_onnx.qdq(), tmp_path / "model.onnx")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    path = tmp_path / "machine.yaml"
    path.write_text("{name: signed, lanes: 4, columns: 4, datapath: {sign_flags: true}}")
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fewflips", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_the_command_line_writes_a_schedule_with_signs_that_verifies(model, machine, tmp_path, monkeypatch):
    options = ("--accelerator", machine, "--steps", "schedule,signs", "--binary-schedule", "--output", tmp_path / "out")
    assert run(monkeypatch, "optimize", model, *options) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [stage["name"] for stage in report["stages"]] == ["baseline", "schedule", "signs"]
    flips = [
        sum(layer["weights"]["optimized_flips"] * layer["weights"]["repeats"] for layer in stage["layers"])
        for stage in report["stages"]
    ]
    assert flips[2] <= flips[1] <= flips[0]
    network = fewflips.load(model)
    files = [tmp_path / "out" / name for name in ("schedule.json", "schedule.bin")]
    orders = [schedule_orders(read_schedule(path), network) for path in files]
    assert any(one.negated is not None for segments in orders[0].values() for one in segments)
    assert same_orders(*orders)
    for path in files:
        assert run(monkeypatch, "verify", model, path) == 0
    assert run(monkeypatch, "energy", model, "--accelerator", machine, "--schedule", files[0]) == 0


def test_the_command_line_refuses_machines_without_flags(model, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "optimize", model, "--steps", "signs", "--output", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "step signs: expected a machine with sign flags" in error
    assert error.count("\n") == 1
