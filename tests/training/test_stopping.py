"""Ctrl-C and SIGTERM in training: it stops between two steps, and goes on as if it had not."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import yaml

from fewflips.api import pareto
from fewflips.training import finishing, trainer
from fewflips.training.config import TrainingConfig, load_config
from fewflips.training.stages.held_signals import HeldSignals, Stopped
from fewflips.training.stages.loop import StageLoop
from fewflips.training.trainer import train
from tests.patience import PATIENCE_S
from tests.training.small_datasets import fashion, settings
from tests.training.test_resume import assert_same_results

STEPS = 6
"""In an epoch of the configuration below; three epochs of the float stage, two of the quantized one."""

SENDING = """
import os, signal, sys

moment, count = sys.argv[1], int(sys.argv[2])
numbers = [getattr(signal, name) for name in sys.argv[3].split(",")]
seen = 0

def send():
    global seen
    seen += 1
    if seen == count:
        for number in numbers:
            os.kill(os.getpid(), number)

def sending(owner, name):
    original = getattr(owner, name)
    def changed(*arguments, **options):
        send()
        return original(*arguments, **options)
    setattr(owner, name, changed)

class Importing:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            send()

if moment.startswith("torch."):
    sys.meta_path.insert(0, Importing())
elif moment == "data":
    from fewflips.training.datasets import fashion_mnist
    sending(fashion_mnist, "checked_split")
elif moment == "step":
    from fewflips.training.stages.loop import StageLoop
    sending(StageLoop, "_descend")
elif moment == "backward":
    from fewflips.training.quantization import fake_quantization
    backward = fake_quantization.QuantizedWeights.backward
    def sending_backward(*arguments):
        send()
        return backward(*arguments)
    fake_quantization.QuantizedWeights.backward = staticmethod(sending_backward)
elif moment == "writing":  # called back by PyTorch's C++ code
    import io
    from fewflips.training import checkpoints
    class Sending(io.BytesIO):
        def write(self, data):
            send()
            return super().write(data)
    checkpoints.io.BytesIO = Sending
elif moment == "export":
    from fewflips.training import finishing
    sending(finishing, "to_onnx")
elif moment == "result":
    from fewflips.training import finishing
    sending(finishing, "TrainingResult")
sys.argv = ["fewflips", *sys.argv[4:]]
from fewflips.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def config_file(tmp_path_factory) -> Path:
    """Checkpoints only at the end of an epoch, but for those that are written to stop."""
    folder = tmp_path_factory.mktemp("stopping")
    stage = {"epochs": 2, "batch": 8, "learning_rate": 1e-3, "weight_bits": 4, "distillation": {"teacher": "quantized"}}
    hamming = {"accelerator": "edge16", "method": "assignment", "every": 2, "reorder_every": 2}
    changes = {"quantized_stage": stage, "hamming": hamming, "checkpoint_every": 100}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings(fashion(folder / "data"), folder / "unused", **changes)))
    return path


@pytest.fixture(scope="module")
def undisturbed(config_file, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    train(config_file, output=folder)
    return folder


def arguments(config_file: Path, output: Path) -> list[str]:
    return ["train", "--config", str(config_file), "--output", str(output)]


def sent(config_file: Path, output: Path, moment: str, count: int, signals: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", SENDING, moment, str(count), signals, *arguments(config_file, output)]
    return subprocess.Popen(command, **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options))


def position(folder: Path) -> tuple[str, int, int]:
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    return saved["stage"], saved["epoch"], saved["step"]


@pytest.mark.parametrize(
    ("moment", "count", "where"),
    [
        ("torch.autograd", 1, "at once"),
        ("data", 1, "at once"),
        ("step", 4 * STEPS + 2, "in the quantized stage, epoch 2 of 2, after step 2 of 6"),
        ("backward", 30, "in the quantized stage, epoch 1 of 2, after step"),
        ("writing", 40, "stage, "),
        ("result", 1, ""),
    ],
)
def test_ctrl_c_is_one_line_and_the_run_goes_on(config_file, undisturbed, tmp_path, moment, count, where):
    output = tmp_path / "out"
    process = sent(config_file, output, moment, count, "SIGINT")
    printed, errors = process.communicate(timeout=PATIENCE_S)
    (line,) = [line for line in errors.splitlines() if line and " epoch " not in line[:20]]
    assert (process.returncode, printed) == (130, ""), errors
    assert line.startswith("fewflips: stopped" if where == "stage, " else f"fewflips: stopped{where and ' '}{where}")
    assert where in line
    assert line.endswith(f"; to go on: {shlex.join(['fewflips', *arguments(config_file, output), '--resume'])}")
    assert (", saved in " in line) == ("stage, " in where)
    train(config_file, output=output, resume=True)
    assert_same_results(output, undisturbed)


def test_sigterm_stops_in_order_too(config_file, undisturbed, tmp_path):
    process = sent(config_file, tmp_path / "out", "step", 4, "SIGTERM")
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
    assert errors.startswith("fewflips: stopped in the float stage, epoch 1 of 3, after step 4 of 6, saved in ")
    assert position(tmp_path / "out") == ("float", 0, 4)
    train(config_file, output=tmp_path / "out", resume=True)
    assert_same_results(tmp_path / "out", undisturbed)


def test_a_second_ctrl_c_ends_at_once(config_file, undisturbed, tmp_path):
    process = sent(config_file, tmp_path / "out", "step", STEPS + 4, "SIGINT,SIGINT")
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    line = errors.splitlines()[-1]
    assert line.startswith("fewflips: stopped at once; to go on: fewflips train ")
    assert line.endswith(" --resume")
    assert "Traceback" not in errors
    assert position(tmp_path / "out") == ("float", 1, 0)  # the last one before
    train(config_file, output=tmp_path / "out", resume=True)
    assert_same_results(tmp_path / "out", undisturbed)


def test_a_second_ctrl_c_leaves_a_terminal_with_a_cursor(config_file, tmp_path):
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color"}
    process = sent(config_file, tmp_path / "out", "step", 4, "SIGINT,SIGINT", stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # Linux's way to say that the other end is closed
        pass
    os.close(ours)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert b"stopping after this step; Ctrl-C again ends it at once" in shown
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
    assert shown.rstrip().endswith(b"--resume")


def interrupting(monkeypatch, owner, name, count=1, times=1):
    """Let a function receive SIGINT when it is called for the count-th time, before it does what it does."""
    original, calls = getattr(owner, name), []

    def changed(*given, **options):
        calls.append(None)
        if len(calls) == count:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return original(*given, **options)

    monkeypatch.setattr(owner, name, changed)
    return calls


@pytest.mark.parametrize("step", [STEPS - 1, STEPS, 3 * STEPS, 3 * STEPS + 1, 5 * STEPS])
def test_it_stops_after_any_step(config_file, undisturbed, tmp_path, monkeypatch, step):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        done = interrupting(patch, StageLoop, "_descend", step)
        with pytest.raises(Stopped, match=r"stage, .*, saved in .*checkpoint\.pt"):
            train(config_file, output=output)
    assert len(done) == step
    stage, epoch, within = position(output)
    assert (3 * (stage == "quantized") + epoch) * STEPS + within == step
    train(config_file, output=output, resume=True)
    assert_same_results(output, undisturbed)


def test_it_stops_again_and_again(config_file, undisturbed, tmp_path, monkeypatch):
    for _ in range(5 * STEPS // 8):
        interrupting(monkeypatch, StageLoop, "_descend", 8)
        with pytest.raises(Stopped):
            train(config_file, output=tmp_path / "out", resume=True)
        monkeypatch.undo()
    train(config_file, output=tmp_path / "out", resume=True)
    assert_same_results(tmp_path / "out", undisturbed)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (trainer, "calibrate"),
        (finishing, "exported_accuracy_percent"),
    ],
)
def test_it_stops_around_the_steps(config_file, undisturbed, tmp_path, monkeypatch, owner, name):
    interrupting(monkeypatch, owner, name)
    with pytest.raises(Stopped):
        train(config_file, output=tmp_path / "out")
    monkeypatch.undo()
    assert not (tmp_path / "out" / "result.json").exists()
    train(config_file, output=tmp_path / "out", resume=True)
    assert_same_results(tmp_path / "out", undisturbed)


def test_a_second_signal_does_what_it_does_without_training(config_file, tmp_path, monkeypatch):
    interrupting(monkeypatch, StageLoop, "_descend", 2, times=2)
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(config_file, output=tmp_path / "out")
    assert not isinstance(stopped.value, Stopped)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_a_row_of_strengths_measuring_is_interrupted_at_once(config_file, undisturbed, tmp_path, monkeypatch):
    config = load_config(config_file).model_dump()
    config |= {"output": tmp_path / "row", "initial": {"checkpoint": undisturbed}}
    row = TrainingConfig.model_validate(config)
    interrupting(monkeypatch, pareto, "_measured")
    with HeldSignals() as held, pytest.raises(KeyboardInterrupt) as stopped:
        pareto.trace_pareto(row, (0.0,), signals=held)
    assert not isinstance(stopped.value, Stopped)
    assert held.asked is None


class TestHeldSignals:
    def test_only_the_outermost_gives_signals_back(self):
        before = signal.getsignal(signal.SIGINT)
        held = HeldSignals()
        with held:
            with held:
                assert signal.getsignal(signal.SIGTERM) == held._on_signal
            assert signal.getsignal(signal.SIGINT) == held._on_signal
        assert signal.getsignal(signal.SIGINT) is before
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    def test_what_is_ignored_stays_ignored(self):
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with HeldSignals() as held:
                signal.raise_signal(signal.SIGINT)
            held.check()
        finally:
            signal.signal(signal.SIGINT, before)

    def test_released_ones_interrupt(self):
        with HeldSignals() as held:
            with pytest.raises(KeyboardInterrupt), held.released():
                signal.raise_signal(signal.SIGINT)
            held.check()
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(Stopped), held.released():
                pytest.fail("released")

    def test_the_first_is_a_second_one_where_nothing_is_to_be_saved(self):
        with HeldSignals() as held:
            with pytest.raises(KeyboardInterrupt), held.immediate():
                signal.raise_signal(signal.SIGINT)
            held.check()
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(Stopped), held.immediate():
                pytest.fail("went on")

    def test_other_threads_change_nothing(self):
        seen = []

        def run():
            with HeldSignals():
                seen.append(signal.getsignal(signal.SIGINT))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert seen == [signal.default_int_handler]

    def test_the_second_one_is_told_by_its_number(self):
        told = []
        with HeldSignals(noticed=lambda: told.append("noticed"), at_once=told.append) as held:
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert told == ["noticed", signal.SIGINT]
        assert held.asked == signal.SIGTERM
