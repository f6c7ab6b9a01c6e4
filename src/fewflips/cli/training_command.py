"""The command that trains networks."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Any

import click

from fewflips.cli import options
from fewflips.cli.console import end_at_once, note_on_terminal, progress_bars, rendered, say, write, write_json, wrote
from fewflips.visible import visible

if TYPE_CHECKING:
    from fewflips.training.config import TrainingConfig
    from fewflips.training.stages.held_signals import HeldSignals

# Everything heavy is imported inside the command, so that --help answers at once.


@click.command()
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Configuration of the run, YAML or TOML (see docs/training.md).",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Directory for the network, checkpoints and metrics; overrides the configuration.",
)
@click.option("--resume", is_flag=True, help="Continue from the checkpoint in the output directory, if there is one.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed; overrides the configuration.")
@click.option("--threads", type=click.IntRange(min=1), help="PyTorch threads; overrides the configuration.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Device; overrides the configuration.")
@click.option(
    "--pareto",
    metavar="STRENGTHS",
    help="Train once for each of these strengths of the HD term, from the same float network, and compare accuracy "
    "with flips and energy: e.g. 0,0.1,0.3,1.",
)
@click.option("--energy", "with_energy", is_flag=True, help="With --pareto: also simulate energy at gate level.")
@options.as_json
def train(
    config_file: Path,
    output: Path | None,
    resume: bool,
    seed: int | None,
    threads: int | None,
    device: str | None,
    pareto: str | None,
    with_energy: bool,
    as_json: bool,
) -> None:
    """Train a quantized network for few bit flips, and export it to ONNX.

    Ctrl-C finishes the current step and saves a checkpoint to resume from; a second Ctrl-C stops at once.
    """
    from fewflips.training.stages.held_signals import HeldSignals

    given = {"output": output, "seed": seed, "threads": threads, "device": device}
    if with_energy and pareto is None:
        raise click.UsageError("--energy: expected with --pareto; for one model there is `fewflips energy`.")
    words = ["fewflips", "train", "--config", str(config_file)]
    for name, value in given.items():
        words += [f"--{name}", str(value)] if value is not None else []
    words += ["--pareto", pareto] if pareto is not None else []
    words += ["--energy"] if with_energy else []
    go_on = f"to go on: {shlex.join([*words, '--resume'])}"
    held = HeldSignals(
        noticed=lambda: note_on_terminal("stopping after this step; Ctrl-C again ends it at once"),
        at_once=lambda number: end_at_once(f"fewflips: stopped at once; {go_on}", 128 + number),
    )
    with held as signals:
        try:
            with signals.immediate():
                config = _configuration(config_file, given)
                _load("training.trainer" if pareto is None else "api.pareto", "report.training.table")
            if pareto is None:
                _train_one(config, resume, as_json, signals)
            else:
                _train_row(config, pareto, with_energy, resume, as_json, signals)
        except KeyboardInterrupt as stopped:
            where = getattr(stopped, "where", "")
            say(f"fewflips: stopped{where and ' '}{where}; {go_on}")
            raise click.exceptions.Exit(128 + getattr(stopped, "number", SIGINT)) from stopped


def _configuration(file: Path, given: dict[str, Any]) -> TrainingConfig:
    """The file's configuration, with overrides from the command line."""
    _require_torch()
    from fewflips.training.config import load_config

    return load_config(file, {name: value for name, value in given.items() if value is not None})


def _load(*modules: str) -> None:
    """Import what the command is about to use, including PyTorch."""
    from importlib import import_module

    for module in modules:
        import_module(f"fewflips.{module}")


def _require_torch() -> None:
    from importlib.util import find_spec

    if find_spec("torch") is None:
        from fewflips.errors import ToolError

        raise ToolError("training needs PyTorch, which is not installed: pip install 'fewflips[train]'")


def _train_one(config: TrainingConfig, resume: bool, as_json: bool, signals: HeldSignals) -> None:
    from fewflips.report.training.table import training_table
    from fewflips.training.trainer import train as run

    finished = resume and config.output is not None and os.path.exists(config.output / "result.json")
    with progress_bars() as progress:
        result = run(config, resume=resume, progress=progress, on_epoch=_say_epoch, signals=signals)
    signals.check()
    for warning in result.warnings:
        say(f"warning: {warning}")
    if as_json:
        write_json(result.model_dump_json(indent=1))
        return
    names = ("model.onnx", "result.json") if result.model_sha256 else ("float.pt", "result.json")
    files = f"finished before, in {visible(str(config.output))}\n" if finished else _written(config.output, *names)
    write(rendered(training_table(result)) + files)


def _train_row(
    config: TrainingConfig, strengths: str, with_energy: bool, resume: bool, as_json: bool, signals: HeldSignals
) -> None:
    from fewflips.api.pareto import parse_strengths, trace_pareto
    from fewflips.report.training.table import pareto_table

    chosen = parse_strengths(strengths)
    with progress_bars() as progress:
        front = trace_pareto(
            config,
            chosen,
            energy=with_energy,
            resume=resume,
            progress=progress,
            on_epoch=_say_epoch,
            signals=signals,
        )
    signals.check()
    if as_json:
        write_json(front.model_dump_json(indent=1))
        return
    write(rendered(pareto_table(front)) + _written(config.output, "pareto.json", "pareto.svg", "pareto.png"))


def _written(folder: Path | None, *names: str) -> str:
    return wrote(folder / name for name in names) if folder else ""


def _say_epoch(figures: dict[str, Any]) -> None:
    losses = ", ".join(f"{name} {value:.4g}" for name, value in figures["losses"].items())
    say(
        f"{figures['stage']} epoch {figures['epoch']}/{figures['epochs']}: loss {losses}; accuracy "
        f"{figures['train_accuracy_percent']:.2f} % training, {figures['test_accuracy_percent']:.2f} % test; "
        f"{figures['seconds']:.0f} s"
    )


COMMANDS = (train,)
