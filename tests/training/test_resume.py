"""Runs that are killed go on bit for bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from fewflips.errors import InputError
from fewflips.training import finishing
from fewflips.training.config import TrainingConfig, load_config
from fewflips.training.stages.loop import StageLoop
from fewflips.training.trainer import train
from tests.patience import PATIENCE_S
from tests.training.small_datasets import fashion, settings

KILLING = """
import os, signal, sys

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

where, count = sys.argv[1], int(sys.argv[2])
seen = 0

def counted(then):
    global seen
    seen += 1
    if seen == count:
        then()

if where in ("before checkpoint", "after checkpoint"):
    replace = os.replace
    def killing(source, target):
        mine = str(target).endswith("checkpoint.pt")
        if mine and where == "before checkpoint":
            counted(kill)
        replace(source, target)
        if mine and where == "after checkpoint":
            counted(kill)
    os.replace = killing
elif where == "before metrics":
    from fewflips.training.stages import metrics
    add = metrics.Metrics.add
    def killing(self, figures):
        add(self, figures)
        counted(kill)
    metrics.Metrics.add = killing
else:
    from fewflips.training.stages import loop
    descend = loop.StageLoop._descend
    def killing(self, loss):
        descend(self, loss)
        counted(kill)
    loop.StageLoop._descend = killing

sys.argv = ["fewflips", *sys.argv[3:]]
from fewflips.cli import main
main()
"""


@pytest.fixture(scope="module")
def config_file(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    stage = {
        "epochs": 2,
        "batch": 8,
        "learning_rate": 1e-3,
        "weight_bits": {"classifier": 8, "*": 4},
        "learned_scales": True,
        "distillation": {"teacher": "quantized"},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings(fashion(folder / "data"), folder / "unused", quantized_stage=stage)))
    return path


@pytest.fixture(scope="module")
def undisturbed(config_file, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    train(config_file, output=folder)
    return folder


def arguments(config_file: Path, output: Path) -> list[str]:
    return ["train", "--config", str(config_file), "--output", str(output), "--resume"]


def killed(config_file: Path, output: Path, where: str, count: int) -> None:
    command = [sys.executable, "-c", KILLING, where, str(count), *arguments(config_file, output)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr


def assert_same_results(folder: Path, expected: Path) -> None:
    states = [torch.load(path / "checkpoint.pt", weights_only=True) for path in (folder, expected)]
    assert _plain(states[0]) == _plain(states[1])
    for name in ("model.onnx", "samples.npz"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes()
    assert metrics(folder) == metrics(expected)
    results = [json.loads((path / "result.json").read_text()) for path in (folder, expected)]
    assert results[0]["accuracies"] == results[1]["accuracies"]


def _plain(value):
    """What two runs have in common: everything but times and the output folder."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), value.tolist())
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in ("seconds", "output")}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def metrics(folder: Path) -> list[dict]:
    return [
        {name: value for name, value in json.loads(line).items() if name != "seconds"}
        for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]


@pytest.mark.slow
def test_runs_killed_again_and_again_end_as_those_that_never_were(config_file, undisturbed, tmp_path):
    output = tmp_path / "out"
    killed(config_file, output, "before checkpoint", 4)  # written beside, not put in place
    killed(config_file, output, "before metrics", 3)  # the last float epoch is noted, not saved
    killed(config_file, output, "after checkpoint", 3)  # within the first quantized epoch
    killed(config_file, output, "in a step", 7)  # a step past the checkpoint within the second
    saved = torch.load(output / "checkpoint.pt", weights_only=True)
    assert (saved["stage"], saved["epoch"], saved["step"]) == ("quantized", 1, 2)
    train(config_file, output=output, resume=True)
    assert_same_results(output, undisturbed)


def test_a_process_killed_from_outside_goes_on(config_file, undisturbed, tmp_path):
    output = tmp_path / "out"
    slow = "import time; from fewflips.training.stages import loop as l; d = l.StageLoop._descend\n"
    slow += "l.StageLoop._descend = lambda self, loss: (time.sleep(0.05), d(self, loss))\n"
    slow += "from fewflips.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", slow, *arguments(config_file, output)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (output / "checkpoint.pt").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.4)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (output / "result.json").exists()
    train(config_file, output=output, resume=True)
    assert_same_results(output, undisturbed)


def test_killed_while_results_are_written(config_file, undisturbed, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    monkeypatch.setattr(finishing, "exported_accuracy_percent", die)
    with pytest.raises(Killed):
        train(config_file, output=tmp_path / "out")
    monkeypatch.undo()
    train(config_file, output=tmp_path / "out", resume=True)
    assert_same_results(tmp_path / "out", undisturbed)


def test_a_finished_run_is_not_trained_again(config_file, undisturbed, monkeypatch):
    monkeypatch.setattr(StageLoop, "run", lambda self: pytest.fail("trained again"))
    before = (undisturbed / "result.json").stat().st_mtime_ns
    result = train(config_file, output=undisturbed, resume=True)
    assert json.loads((undisturbed / "result.json").read_text()) == json.loads(result.model_dump_json())
    assert (undisturbed / "result.json").stat().st_mtime_ns == before


def test_without_resume_a_checkpoint_is_not_replaced(config_file, undisturbed):
    before = (undisturbed / "checkpoint.pt").read_bytes()
    with pytest.raises(InputError, match=r"checkpoint\.pt: is the checkpoint of an earlier run.*--resume"):
        train(config_file, output=undisturbed)
    assert (undisturbed / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": {"name": "resnet", "depth": 14, "width": 0.5}}, "with network.depth 14, got one with 8"),
        ({"network": {"name": "resnet", "depth": 8, "width": 0.75}}, "with network.width 0.75, got one with 0.5"),
        ({"seed": 9}, "with seed 9, got one with 0"),
        ({"threads": 2}, "with threads 2, got one with 1"),
        ({"hamming": {"strength": 0.5}}, "with hamming"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(config_file, undisturbed, changes, words):
    config = TrainingConfig.model_validate(load_config(config_file).model_dump() | changes)
    with pytest.raises(InputError, match=words) as caught:
        train(config, output=undisturbed, resume=True)
    assert "\n" not in str(caught.value)


def test_the_first_pattern_of_bits_counts_so_that_their_order_may_not_change(config_file, undisturbed):
    content = load_config(config_file).model_dump()
    bits = content["quantized_stage"]["weight_bits"]
    content["quantized_stage"]["weight_bits"] = dict(reversed(bits.items()))
    with pytest.raises(InputError, match=r"with quantized_stage\.weight_bits \[.*\], got one with \["):
        train(TrainingConfig.model_validate(content), output=undisturbed, resume=True)


def cut(config: TrainingConfig, monkeypatch, steps: int) -> None:
    """Train, and stop after so many steps."""

    class Stopped(BaseException):
        pass

    original, done = StageLoop._descend, []

    def stopping(self, loss):
        original(self, loss)
        done.append(None)
        if len(done) == steps:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(StageLoop, "_descend", stopping)
        with pytest.raises(Stopped):
            train(config)


def test_other_images_are_refused(tmp_path, monkeypatch):
    config = TrainingConfig.model_validate(settings(fashion(tmp_path / "data"), tmp_path / "out"))
    cut(config, monkeypatch, 3)
    fashion(tmp_path / "data", train=40)
    with pytest.raises(InputError, match="a run with these images, got one with others"):
        train(config, resume=True)


def test_an_accelerator_that_was_changed_is_refused(tmp_path, monkeypatch):
    machine = tmp_path / "machine.yaml"
    text = "name: mine\nlanes: 8\ncolumns: 8\ndataflow: activation-stationary\n"
    machine.write_text(text)
    data, hamming = fashion(tmp_path / "data"), {"accelerator": str(machine)}
    config = TrainingConfig.model_validate(settings(data, tmp_path / "out", hamming=hamming))
    cut(config, monkeypatch, 20)
    machine.write_text(text.replace("lanes: 8", "lanes: 4"))
    with pytest.raises(InputError, match="a run on this accelerator, got one on another"):
        train(config, resume=True)


def test_a_result_whose_checkpoint_is_gone_is_neither_replaced_nor_taken_for_another_run(tmp_path):
    plan = settings(fashion(tmp_path / "data"), tmp_path / "out")
    first = train(TrainingConfig.model_validate(plan))
    (tmp_path / "out" / "checkpoint.pt").unlink()
    kept = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    other = TrainingConfig.model_validate(plan | {"seed": 7})
    with pytest.raises(InputError, match=r"result\.json: is the result of an earlier run and would be replaced"):
        train(other)
    with pytest.raises(InputError, match=r"result\.json: expected that of a run with seed 7, got one with 0"):
        train(other, resume=True)
    assert train(TrainingConfig.model_validate(plan), resume=True) == first
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == kept


def test_what_does_not_change_the_result_may_change(config_file, undisturbed):
    changes = {"checkpoint_every": 7, "tensorboard": False, "threads": None, "output": "elsewhere"}
    config = TrainingConfig.model_validate(load_config(config_file).model_dump() | changes)
    assert train(config, output=undisturbed, resume=True).config.threads == 1


class PushingTerm:
    """An HD term with a state: it pulls codes together ever more strongly, and moves a latent shift."""

    def __init__(self, network, accelerator, **options):
        from fewflips.training.quantization.quantized_layers import quantized_weights

        assert accelerator == "edge8"
        assert options["method"] == "smoothed"
        self.layers = list(quantized_weights(network).values())
        self.pull, self.finished = 0.0, False
        for layer in self.layers:
            layer.code_shift = torch.zeros_like(layer.weight.detach())

    def advance(self, progress):
        self.pull += progress
        self.layers[0].code_shift += 0.01 * torch.rand(())  # random numbers are resumed, too

    def __call__(self):
        return self.pull * sum(layer.codes().square().mean() for layer in self.layers) / 1e4

    def finish(self):
        self.finished = True
        for layer in self.layers:
            with torch.no_grad():
                layer.weight.copy_(layer.integer_codes() * layer.weight_scale.view(-1, *[1] * (layer.weight.ndim - 1)))
            layer.code_shift = None

    def statistics(self):
        return {"pull": self.pull}

    def state_dict(self):
        return {"pull": self.pull, "finished": self.finished}

    def load_state_dict(self, state):
        self.pull, self.finished = state["pull"], state["finished"]


def test_the_state_of_the_hd_term_is_resumed(config_file, tmp_path, monkeypatch):
    module = type(sys)("fewflips.training.hamming.hamming_loss")
    module.HammingLoss = PushingTerm
    monkeypatch.setitem(sys.modules, "fewflips.training.hamming.hamming_loss", module)
    hamming = {"accelerator": "edge8", "strength": 0.5, "method": "smoothed"}
    config = TrainingConfig.model_validate(load_config(config_file).model_dump() | {"hamming": hamming})
    expected = train(config, output=tmp_path / "whole")
    assert expected.hamming is not None
    assert expected.hamming["pull"] > 0
    lines = metrics(tmp_path / "whole")
    assert lines[-1]["losses"]["hamming"] > 0
    assert lines[0]["hamming"] is None

    class Stopped(BaseException):
        pass

    original, steps = StageLoop._descend, []

    def stopping(self, loss):
        original(self, loss)
        steps.append(self.stage.name)
        if steps.count("quantized") == 9:
            raise Stopped

    monkeypatch.setattr(StageLoop, "_descend", stopping)
    with pytest.raises(Stopped):
        train(config, output=tmp_path / "cut")
    monkeypatch.setattr(StageLoop, "_descend", original)
    train(config, output=tmp_path / "cut", resume=True)
    assert_same_results(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize(("every", "freeze"), [(2, 0.9), (5, 0.9), (3, 0.5)])
def test_a_killed_run_with_the_hd_term_goes_on(config_file, tmp_path, every, freeze):
    """Between two assignments, and after codes are frozen; scales of weights are learned."""
    options = {"accelerator": "edge16", "method": "assignment", "every": every, "reorder_every": 3, "freeze": freeze}
    config = yaml.safe_load(config_file.read_text()) | {"hamming": options}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    killed(path, tmp_path / "cut", "in a step", 27)  # 18 float steps, 9 quantized ones
    train(path, output=tmp_path / "cut", resume=True)
    train(path, output=tmp_path / "whole")
    assert_same_results(tmp_path / "cut", tmp_path / "whole")
