from __future__ import annotations

import json
import sys
from xml.etree import ElementTree

import pytest

import fewflips
from fewflips.api import pareto
from fewflips.api.pareto import parse_strengths, run_folder, trace_pareto
from fewflips.cli import main
from fewflips.errors import InputError
from fewflips.report.training.pareto_plot import pareto_plot
from fewflips.training.config import TrainingConfig, config_yaml
from fewflips.training.pareto_points import Pair, ParetoFront, ParetoPoint
from fewflips.training.stages.losses import DivergenceError
from tests.training.small_datasets import fashion, settings


class ShrinkingTerm:
    """An HD term that draws weights to zero, and in the end puts those of the convolutions there: nothing flips."""

    def __init__(self, network, accelerator, **options):
        from fewflips.training.quantization.quantized_layers import quantized_weights

        self.layers = list(quantized_weights(network).values())

    def advance(self, progress):
        pass

    def __call__(self):
        return sum(layer.codes().square().mean() for layer in self.layers) / len(self.layers)

    def finish(self):
        for layer in self.layers[:-1]:
            layer.weight.data.zero_()

    def statistics(self):
        return {"mean_square": float(self().detach())}

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


@pytest.fixture
def config(tmp_path, monkeypatch) -> TrainingConfig:
    module = type(pareto)("fewflips.training.hamming.hamming_loss")
    module.HammingLoss = ShrinkingTerm
    monkeypatch.setitem(sys.modules, "fewflips.training.hamming.hamming_loss", module)
    stage = {"epochs": 3, "batch": 8, "learning_rate": 0.01}
    changes = {"quantized_stage": stage, "hamming": {"accelerator": "edge16"}}
    return TrainingConfig.model_validate(settings(fashion(tmp_path / "data"), tmp_path / "out", **changes))


def test_more_strength_fewer_flips_from_the_same_float_network(config, monkeypatch):
    front = trace_pareto(config, (0.0, 10.0))
    folder = config.output
    assert front == ParetoFront.model_validate_json((folder / "pareto.json").read_text())
    assert [point.strength for point in front.points] == [0.0, 10.0]
    baseline, strong = front.points
    assert strong.flips.natural < 0.1 * baseline.flips.natural
    assert all(point.flips.ordered <= point.flips.natural for point in front.points)
    assert strong.estimated.natural < baseline.estimated.natural
    report = fewflips.measure(folder / "strength-0" / "model.onnx", "edge16", inputs=folder / "strength-0/samples.npz")
    assert baseline.estimated.natural == pytest.approx(report.estimated_energy.total.inertial_data_pj)
    counted = sum(layer.weights.flips * layer.weights.repeats + layer.weights.seam_flips for layer in report.layers)
    assert baseline.flips.natural == counted
    results = [json.loads((folder / f"strength-{s}" / "result.json").read_text()) for s in ("0", "10")]
    shared = json.loads((folder / "float" / "result.json").read_text())["accuracies"]["trained_percent"]
    assert [result["accuracies"]["float_percent"] for result in results] == [shared, shared]
    assert results[0]["config"]["hamming"] is None
    assert results[1]["config"]["hamming"]["strength"] == 10
    assert (folder / "pareto.png").read_bytes().startswith(b"\x89PNG")

    monkeypatch.setattr(pareto, "optimize", lambda *_, **__: pytest.fail("measured again"))
    monkeypatch.setattr("fewflips.training.stages.loop.StageLoop.run", lambda self: pytest.fail("trained again"))
    assert trace_pareto(config, (0.0, 10.0), resume=True) == front


def test_a_row_that_was_cut_off_goes_on(config, monkeypatch):
    original, calls = pareto.train, []

    def failing(changed, **options):
        calls.append(changed.output.name)
        if len(calls) == 3:
            raise DivergenceError("stopped")
        return original(changed, **options)

    monkeypatch.setattr(pareto, "train", failing)
    with pytest.raises(DivergenceError):
        trace_pareto(config, (0.0, 10.0))
    before = (config.output / "strength-0" / "model.onnx").stat().st_mtime_ns
    front = trace_pareto(config, (0.0, 10.0), resume=True)
    assert len(front.points) == 2
    assert (config.output / "strength-0" / "model.onnx").stat().st_mtime_ns == before


def test_what_was_measured_of_another_model_is_measured_again(config):
    first = trace_pareto(config, (0.0,)).points[0]
    file = config.output / "strength-0" / "point.json"
    stale = first.model_copy(update={"model_sha256": "0" * 64, "flips": Pair(natural=1, ordered=1)})
    file.write_text(stale.model_dump_json())
    assert trace_pareto(config, (0.0,), resume=True).points == (first,)


@pytest.mark.parametrize("text", ["", "a", "0,,1", "-1", "nan", "inf", "1,1.0", ",".join(map(str, range(101)))])
def test_strengths_that_are_none(text):
    with pytest.raises(InputError, match="pareto: expected"):
        parse_strengths(text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"quantized_stage": None, "hamming": None}, "quantized_stage"), ({"output": None}, "output")],
)
def test_a_row_needs_a_stage_and_a_folder(config, changes, words):
    with pytest.raises(InputError, match=words):
        trace_pareto(TrainingConfig.model_validate(config.model_dump() | changes), (0.0,))


def front(**figures: Pair | None) -> ParetoFront:
    points = tuple(
        ParetoPoint(
            strength=strength,
            model_sha256="0" * 64,
            accelerator="edge16",
            accuracy_percent=percent,
            flips=Pair(natural=9, ordered=8),
            **figures,
        )
        for strength, percent in ((0.0, 90.0), (0.3, 89.5))
    )
    return ParetoFront(accelerator="edge16", points=points)


@pytest.mark.parametrize(
    ("figures", "label"),
    [
        ({}, "weight flips of one inference"),
        ({"estimated": Pair(natural=5, ordered=4)}, "estimated from flips"),
        ({"estimated": Pair(natural=5, ordered=4), "simulated": Pair(natural=6, ordered=5)}, "simulated"),
    ],
)
def test_the_plot_shows_the_best_known_figure(figures, label):
    drawn = pareto_plot(front(**figures), "svg")
    assert drawn == pareto_plot(front(**figures), "svg")
    text = " ".join(ElementTree.fromstring(drawn).itertext())
    assert label in text
    assert "0.3" in text


def test_names_of_folders_tell_strengths_apart():
    strengths = parse_strengths("0,0.1,0.3,1,10,1e-7,0.1234567,0.1234568")
    assert len({run_folder(strength) for strength in strengths}) == len(strengths)


def test_the_command_prints_a_row_for_each_strength(config, monkeypatch, capsys, tmp_path):
    file = tmp_path / "row.yaml"
    file.write_text(config_yaml(config))
    monkeypatch.setattr(sys, "argv", ["fewflips", "train", "--config", str(file), "--pareto", "0"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    output = capsys.readouterr().out
    point = json.loads((config.output / "pareto.json").read_text())["points"][0]
    assert f"{point['accuracy_percent']:.2f}" in output
    assert f"{point['flips']['ordered'] / 1e3:.4g}" in output
    assert f"wrote {config.output}/pareto.svg" in output
