"""Commands for reports that are there already: is a model as good as it was, and how do runs compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fewflips.cli import options
from fewflips.cli.console import progress_bars, show_layers, write, write_json, wrote

# Everything heavy is imported inside the commands, so that --help answers at once.

_QUANTITIES = {
    "weight-flips": "weight_flips",
    "activation-flips": "activation_flips",
    "estimated": "estimated_pj",
    "data": "data_pj",
    "datapath": "datapath_pj",
    "whole": "whole_pj",
}
"""Names of quantities on the command line."""


@click.command()
@options.model
@click.option(
    "--budget",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Limits on flips and energy, of the network and of layers: YAML or JSON (docs/ci.md).",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="An earlier report.json, or what `fewflips measure --json` or `energy --json` printed: the limits.",
)
@click.option(
    "--outcome",
    type=click.Choice(["before", "schedule", "drop-in"]),
    default="before",
    show_default=True,
    help="Which figures of that report: as stored, in scheduled order, or of the drop-in file.",
)
@click.option(
    "--accelerator",
    metavar="NAME|FILE",
    help="Built-in machine or YAML file.  [default: the report's or the budget's machine, or edge16]",
)
@options.inputs
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="PERCENT",
    help="By how much a limit may be exceeded.",
)
@click.option("--energy", "with_energy", is_flag=True, help="Also simulate energy at gate level.")
@options.cells
@options.clock_mhz
@options.time_limit
@options.share
@options.seed
@options.jobs
@options.as_json
def check(
    model: Path,
    budget: Path | None,
    against: Path | None,
    outcome: Any,
    accelerator: str | None,
    inputs: Path | None,
    tolerance: float,
    with_energy: bool,
    cells: str,
    clock_mhz: float,
    time_limit: float,
    share: float | None,
    seed: int,
    jobs: int,
    as_json: bool,
) -> None:
    """Check that no layer of MODEL, as it is stored, has more flips or energy than a budget or a report allows.

    The exit code is 0 if none has, 1 if any has, with one line for each, and 2 for input that cannot be used.
    """
    from fewflips.api.check import check as run
    from fewflips.report.terminal.check import check_lines
    from fewflips.simulation.run import EnergyOptions

    energy = None
    if with_energy:
        energy = EnergyOptions(clock_mhz=clock_mhz, time_limit_s=time_limit, share=share, seed=seed, jobs=jobs)
    with progress_bars() as progress:
        report = run(
            model,
            budget=budget,
            against=against,
            outcome=outcome,
            accelerator=accelerator,
            inputs=inputs,
            tolerance_percent=tolerance,
            energy=energy,
            cells=cells,
            progress=progress,
        )
    if as_json:
        write_json(report.model_dump_json(indent=1))
    else:
        write(check_lines(report) + "\n")
    if not report.passed:
        sys.exit(1)


@click.command()
@click.argument("reports", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="A B ...")
@click.option("--label", "labels", multiple=True, metavar="TEXT", help="What to call a report; once for each.")
@click.option(
    "--by",
    "quantity",
    type=click.Choice(list(_QUANTITIES)),
    help="Compare layers by this.  [default: data energy if all runs have it, else the estimate, else weight flips]",
)
@click.option(
    "--page", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Also write an HTML page."
)
@options.as_csv
@options.as_json
def compare(
    reports: tuple[Path, ...],
    labels: tuple[str, ...],
    quantity: str | None,
    page: Path | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Set runs beside each other: report.json files, or what `measure --json` or `energy --json` printed."""
    from fewflips.api.compare import compare as run
    from fewflips.report.terminal.comparison import comparison_table

    report = run(*reports, labels=labels or None)
    named = _QUANTITIES[quantity] if quantity else None
    if page is not None:
        from fewflips.files.atomic import atomic_write
        from fewflips.report.html.comparison_page import render_comparison

        atomic_write(page, render_comparison(report, named).encode())
    show_layers(report, lambda: comparison_table(report, named), as_json, as_csv)
    if page is not None and not (as_json or as_csv):
        write(wrote((page,)))


COMMANDS = (check, compare)
