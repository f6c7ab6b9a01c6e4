"""Which steps are applied: by name, by default, and in which order they make sense."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import fewflips
from fewflips.cli import main
from fewflips.errors import InputError
from fewflips.machine import load_accelerator
from fewflips.optimization import Context, ErrorBudget, Outcome, Setting, State, Step, register_step
from fewflips.optimization.choice import chosen_steps, default_steps
from fewflips.optimization.registration import STEPS
from fewflips.optimization.steps.drop_in import DropInStep
from tests.network import build_onnx
from tests.steps.toy_steps import MOVED, Backwards

LOSSLESS = Setting(load_accelerator("edge4"))
WITHIN = Setting(load_accelerator("edge4"), ErrorBudget(sqnr_db=25))


class Usual(Backwards):
    """Applied by default, after the schedule."""

    name = "usual"
    comes_after = ("schedule",)

    def by_default(self, setting: Setting) -> bool:
        return True


class OnWide(Backwards):
    """For machines of 16 lanes."""

    name = "on-wide"

    def objection(self, setting: Setting, before: Sequence[Step]) -> str | None:
        wide = setting.accelerator.lanes >= 16
        return None if wide else f"expected a machine of 16 lanes, got {setting.accelerator.name}"


@dataclass(frozen=True)
class Rounded(Step):
    """Claims to round weights, and leaves them."""

    name = "rounded"
    rewrites = True
    needs_budget = True

    def by_default(self, setting: Setting) -> bool:
        return setting.budget is not None

    def apply(self, state: State, context: Context) -> Outcome:
        assert context.budget is not None
        return Outcome(state, MOVED)


@pytest.fixture(autouse=True)
def _registered():
    added = (Usual, OnWide, Rounded)
    for step in added:
        register_step(step)
    yield
    for step in added:
        STEPS.unregister(step.name)


def names(steps: Sequence[Step]) -> list[str]:
    return [step.name for step in steps]


def test_the_default_is_what_steps_say_with_the_drop_in_beside_them():
    default = names(default_steps(LOSSLESS))
    assert default[0] == "schedule"
    assert default[-1] == "drop-in"
    assert "usual" in default
    assert not {"rounded", "on-wide"} & set(default)


def test_with_a_budget_what_uses_it_writes_the_model():
    default = names(default_steps(WITHIN))
    assert "rounded" in default
    assert "drop-in" not in default


def test_each_step_of_the_default_can_be_switched_off():
    every = names(default_steps(LOSSLESS))
    for name in every:
        mode, chosen = chosen_steps(None, None, (name,), LOSSLESS)
        assert names(chosen) == [other for other in every if other != name]
        assert (mode == "both") == (names(chosen) == ["schedule", "drop-in"])
    _, chosen = chosen_steps(None, None, ("order", "usual"), LOSSLESS)
    assert not {"schedule", "usual"} & set(names(chosen))
    assert chosen_steps(None, None, "drop-in", LOSSLESS) == chosen_steps(None, None, ["drop-in"], LOSSLESS)


def test_another_name_of_the_schedule():
    _, chosen = chosen_steps(None, ["order", "usual"], (), LOSSLESS)
    assert names(chosen) == ["schedule", "usual"]


@pytest.mark.parametrize(
    ("named", "applied"),
    [
        ("order,cluster,signs,round", "schedule,cluster,round,signs"),
        ("schedule,signs,joint,round", "schedule,round,joint,signs"),
        ("schedule,joint,signs", "schedule,joint,signs"),
        ("signs,schedule,usual", "schedule,signs,usual"),
        ("schedule,cluster,signs", "schedule,cluster,signs"),
    ],
)
def test_signs_wait_for_the_steps_that_would_undo_them(named: str, applied: str):
    machine = load_accelerator("edge4")
    signed = machine.model_copy(update={"datapath": machine.datapath.model_copy(update={"sign_flags": True})})
    setting = Setting(signed, ErrorBudget(sqnr_db=25) if "round" in named else None)
    _, chosen = chosen_steps(None, named.split(","), (), setting)
    assert names(chosen) == applied.split(",")


def test_steps_that_rewrite_do_not_wait():
    with pytest.raises(InputError, match="steps: expected cluster after schedule, which would undo what cluster did"):
        chosen_steps(None, ["cluster", "schedule"], (), LOSSLESS)


@pytest.mark.parametrize(
    ("steps", "setting", "words"),
    [
        (("schedule", "order"), LOSSLESS, "steps: expected each step once, got schedule 2 times"),
        (("usual", "schedule"), LOSSLESS, "steps: expected usual after schedule, which would undo what usual did"),
        (("schedule", "rounded"), LOSSLESS, "step rounded: expected an error budget, .* got none: give one"),
        (("schedule", "usual"), WITHIN, "error budget: expected a step that uses it, got schedule, usual: name one"),
        (("schedule", "on-wide"), LOSSLESS, "step on-wide: expected a machine of 16 lanes, got edge4"),
        (
            ("schedule", DropInStep(start="stage before")),
            LOSSLESS,
            "step drop-in: expected before schedule, whose orders the rewritten model would lose; got it after",
        ),
        (
            ("schedule", "drop-in", "usual"),
            LOSSLESS,
            "steps: expected drop-in first or last, as usual would go on from its model and what schedule did would be",
        ),
        (
            ("schedule", "rounded", "drop-in"),
            WITHIN,
            "steps: expected one model to write, got two, of rounded and of drop-in, each made from the network as",
        ),
    ],
)
def test_steps_that_make_no_sense_are_refused(steps: Sequence[str | Step], setting: Setting, words: str):
    with pytest.raises(InputError, match=words):
        chosen_steps(None, steps, (), setting)


@pytest.mark.parametrize(
    ("steps", "setting"),
    [
        (("schedule", "drop-in"), LOSSLESS),
        (("drop-in", "schedule"), LOSSLESS),
        (("drop-in", "usual"), LOSSLESS),
        (("drop-in", "rounded"), WITHIN),
        (("schedule", "rounded", "usual"), WITHIN),
        (("schedule", "usual", "drop-in"), LOSSLESS),
    ],
)
def test_steps_that_make_sense_stay_as_they_are(steps: Sequence[str], setting: Setting):
    assert names(chosen_steps(None, steps, (), setting)[1]) == list(steps)


@pytest.mark.parametrize(
    ("mode", "steps", "without", "setting", "words"),
    [
        ("both", ["schedule"], (), LOSSLESS, "expected either a mode or steps, got mode both and steps as well"),
        (None, ["schedule"], ("usual",), LOSSLESS, "without: expected alone, .*; got steps as well"),
        ("both", None, ("usual",), LOSSLESS, "without: expected alone, .*; got mode as well"),
        (None, None, ("rounded",), LOSSLESS, "without: expected some of schedule, .*drop-in, .*, got rounded"),
        (None, None, ("nothing",), LOSSLESS, "steps: expected one of schedule, .*, got 'nothing'"),
        ("drop-in", None, (), WITHIN, "mode: expected none beside an error budget, got drop-in"),
        ("all", None, (), LOSSLESS, "mode: expected one of schedule, drop-in, both, got 'all'"),
    ],
)
def test_choices_that_do_not_go_together(mode, steps, without, setting: Setting, words: str):
    with pytest.raises(InputError, match=words):
        chosen_steps(mode, steps, without, setting)


def test_nothing_is_left_where_all_is_switched_off():
    with pytest.raises(InputError, match=r"without: expected one step or more to be left of schedule, .*, got none"):
        chosen_steps(None, None, names(default_steps(LOSSLESS)), LOSSLESS)


def test_a_step_of_another_package_that_cannot_be_loaded_is_no_default(monkeypatch: pytest.MonkeyPatch):
    class Broken:
        value = "nowhere:Step"

        def load(self) -> None:
            raise ImportError("nowhere")

    usual = names(default_steps(LOSSLESS))
    monkeypatch.setattr(STEPS, "_found", {"broken": Broken()})
    assert "broken" in STEPS.names
    assert names(default_steps(LOSSLESS)) == usual


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fewflips", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path):
    model = build_onnx.save(build_onnx.qdq(), tmp_path / "model.onnx")
    command = ("optimize", model, "--accelerator", "edge4", "--output", tmp_path / "out", "--jobs", "1")
    assert run(monkeypatch, *command, "--steps", "order, usual") == 0
    assert "Stage usual: " in capsys.readouterr().out
    report = fewflips.optimize(model, "edge4", without=["drop-in"], jobs=1).report
    assert report.settings.command.split("--steps ")[1].split()[0] == ",".join(report.settings.steps)
    assert "drop-in" not in report.settings.steps
    assert run(monkeypatch, *command, "--without", ",".join(report.settings.steps)) == 0
    assert "in the drop-in file" in " ".join(capsys.readouterr().out.split())
    for wrong, words in (
        (("--steps", "order,schedule"), "expected each step once, got schedule 2 times"),
        (("--steps", "schedule,,usual"), "expected one of schedule, "),
        (("--steps", "rounded"), "step rounded: expected an error budget"),
        (("--without", "usual", "--mode", "both"), "without: expected alone"),
        (("--error-budget", "much"), "error budget: expected sqnr:<decibels>dB"),
    ):
        assert run(monkeypatch, *command, *wrong) == 2
        message = capsys.readouterr().err
        assert words in message
        assert message.count("\n") == 1
