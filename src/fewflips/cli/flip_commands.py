"""Commands that count and save flips."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fewflips.cli import options
from fewflips.cli.console import note_on_terminal, progress_bars, rendered, say, show, show_layers, write, wrote
from fewflips.errors import InputError

if TYPE_CHECKING:
    from fewflips.api.optimized import Optimization

_ENDING = "fewflips: ending searches with the best that they have; Ctrl-C again stops at once, and nothing is written"

# Everything heavy is imported inside the commands, so that --help answers at once.


@click.command()
@options.model
@options.accelerator
@options.inputs
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="calibration.json from `fewflips calibrate`, for energy estimates.  [default: a matching built-in one]",
)
@options.activations
@options.tokens
@options.as_csv
@options.as_json
def measure(
    model: Path,
    accelerator: str,
    inputs: Path | None,
    calibration: Path | None,
    activations: str | None,
    tokens: int | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Count the bit flips of MODEL's operand streams, layer by layer."""
    from fewflips.api.measure import measure as run
    from fewflips.network import load
    from fewflips.report.terminal.flips import measurement_table

    with progress_bars() as progress:
        report = run(
            load(model, tokens=tokens),
            accelerator,
            inputs=inputs,
            calibration=calibration,
            activations=activations,
            progress=progress,
        )
    show_layers(report, lambda: measurement_table(report), as_json, as_csv)


@click.command()
@options.model
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Directory for model.*, schedule.json, report.json and report.html.",
)
@options.accelerator
@click.option(
    "--mode",
    type=click.Choice(["schedule", "drop-in", "both"]),
    help="Short for --steps schedule, drop-in, or both of them.",
)
@click.option(
    "--steps",
    "--step",
    "steps",
    multiple=True,
    metavar="NAME,...",
    shell_complete=options.complete_steps,
    help="Steps to apply, one after another (docs/steps.md).  [default: schedule, drop-in, and what sign flags or an "
    "error budget allow]",
)
@click.option(
    "--without",
    multiple=True,
    metavar="NAME,...",
    shell_complete=options.complete_steps,
    help="Steps to leave out of those that are applied by default.",
)
@options.inputs
@click.option(
    "--error-budget",
    metavar="BUDGET",
    help="How far outputs may be from the original's: sqnr:25dB, logits:25dB (of what the softmax reads), or 0.5% of "
    "accuracy (with --labels).",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Class of each sample input: .npy, .npz, .csv or .txt.",
)
@click.option(
    "--search-limit",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End searches after this time with the best that they have; so does Ctrl-C.  [default: none]",
)
@click.option("--prove", is_flag=True, help="Keep working until as many orders as possible are proven optimal.")
@click.option(
    "--cost",
    type=click.Path(path_type=Path),
    metavar="FILE|energy",
    help="Choose orders by the cost of each transition instead of its flips: YAML, JSON or calibration.json, or the "
    "energy in the machine's unit, which is measured first (docs/transition_costs.md).",
)
@click.option("--binary-schedule", is_flag=True, help="Also write the schedule as schedule.bin, in fewer bytes.")
@click.option("--energy", "with_energy", is_flag=True, help="Also simulate energy before and after at gate level.")
@click.option(
    "--explain",
    is_flag=True,
    help="Show what each step is worth, in flips and with --energy in energy.",
)
@options.cells
@options.clock_mhz
@options.time_limit
@options.share
@options.seed
@options.jobs
@options.as_csv
@options.as_json
def optimize(
    model: Path,
    output: Path,
    accelerator: str,
    mode: Any,
    steps: tuple[str, ...],
    without: tuple[str, ...],
    inputs: Path | None,
    error_budget: str | None,
    labels: Path | None,
    search_limit: float | None,
    prove: bool,
    cost: Path | None,
    binary_schedule: bool,
    with_energy: bool,
    explain: bool,
    cells: str,
    clock_mhz: float,
    time_limit: float,
    share: float | None,
    seed: int,
    jobs: int,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Make fewer bits flip in MODEL's operands, and check that its outputs stay the same or within an error budget."""
    from fewflips.api.optimize import optimize as run
    from fewflips.api.optimized import check_writable
    from fewflips.optimization.request import EnergyRequest
    from fewflips.parallel.limit import Limit

    steps, without = _names(steps), _names(without)
    if binary_schedule and "drop-in" in (mode, *steps) and len(steps) < 2:
        raise InputError(
            "--binary-schedule: expected a mode or a step that gives a schedule, got drop-in; leave it out"
        )
    energy = None
    if with_energy:
        from fewflips.simulation.run import EnergyOptions

        energy = EnergyRequest(
            cells, EnergyOptions(clock_mhz=clock_mhz, time_limit_s=time_limit, share=share, seed=seed, jobs=jobs)
        )
    check_writable(output, model)
    noticed = partial(note_on_terminal, _ENDING)
    with progress_bars() as progress:
        result = run(
            model,
            accelerator,
            mode=mode,
            steps=steps or None,
            without=without,
            inputs=inputs,
            error_budget=error_budget,
            labels=labels,
            prove=prove,
            cost=cost,
            energy=energy,
            explain=explain,
            limit=Limit(search_limit, noticed=noticed),
            seed=seed,
            jobs=jobs,
            progress=progress,
        )
        files = result.save(output, binary_schedule=binary_schedule)
    _show_optimization(result, files, as_json, as_csv)
    if binary_schedule and result.schedule is None:
        say("fewflips: --binary-schedule: there is no schedule.bin, since no step that was applied gives a schedule")
    if result.interrupted:
        say("fewflips: interrupted; the results are what was found by then")
        raise click.exceptions.Exit(130)


@click.command()
@click.argument("first", type=click.Path(path_type=Path), metavar="A")
@click.argument("second", type=click.Path(path_type=Path), metavar="B")
@options.inputs
@options.seed
@options.as_json
def verify(first: Path, second: Path, inputs: Path | None, seed: int, as_json: bool) -> None:
    """Check that model B computes what model A computes, bit for bit; B may also be a schedule for A.

    The exit code is 0 if all values are equal and 1 if any differ.
    """
    from fewflips.api.verify import verify as run

    with progress_bars() as progress:
        result = run(first, second, inputs=inputs, seed=seed, progress=progress)
    show(lambda: result.model_dump_json(indent=1), lambda: result.check.method, as_json)
    if not result.check.passed:
        sys.exit(1)


@click.command()
@options.as_json
def accelerators(as_json: bool) -> None:
    """List the built-in accelerators."""
    from fewflips.machine import builtin_accelerators
    from fewflips.report.terminal.flips import accelerator_table

    machines = list(builtin_accelerators().values())
    records = [machine.model_dump(mode="json") for machine in machines]
    show(lambda: json.dumps(records, indent=1), lambda: accelerator_table(machines), as_json)


def _names(given: tuple[str, ...]) -> tuple[str, ...]:
    """Names of steps, of an option that takes several at a time and may be repeated."""
    return tuple(name.strip() for names in given for name in names.split(","))


def _show_optimization(result: Optimization, files: tuple[Path, ...], json_wanted: bool, csv_wanted: bool) -> None:
    from fewflips.report.terminal.flips import headline, result_table

    report = result.report
    show_layers(report, lambda: result_table(report), json_wanted, csv_wanted)
    if not (json_wanted or csv_wanted):
        write(rendered(headline(report)) + wrote(files))


COMMANDS = (measure, optimize, verify, accelerators)
