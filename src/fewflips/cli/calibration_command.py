"""The command that relates energy to flips."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from fewflips.cli import options
from fewflips.cli.console import progress_bars, rendered, write, write_json, wrote

# Everything heavy is imported inside the command, so that --help answers at once.


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@options.accelerator
@options.inputs
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Number of sample inputs to use.",
)
@options.cells
@options.time_limit
@options.seed
@options.jobs
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Directory for calibration.json, .md and .svg.",
)
@click.option(
    "--costs",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.json",
    help="Measure only what each step of a weight between two codes costs, and write it to this file, for `fewflips "
    "optimize --cost`.",
)
@options.as_json
def calibrate(
    model: Path | None,
    accelerator: str,
    inputs: Path | None,
    samples: int,
    cells: str,
    time_limit: float,
    seed: int,
    jobs: int,
    output: Path | None,
    costs: Path | None,
    as_json: bool,
) -> None:
    """Fit energy against flips for the accelerator's arithmetic unit, and test the fit on MODEL at gate level."""
    from fewflips.estimation.calibration.calibrate import CalibrationRequest
    from fewflips.estimation.calibration.calibrate import calibrate as run
    from fewflips.report.calibration_files import check_folder, save_calibration
    from fewflips.report.terminal.calibration import calibration_table
    from fewflips.simulation.run import EnergyOptions

    if inputs is not None and model is None:
        raise click.UsageError("--inputs: expected a MODEL that they are inputs of.")
    if costs is not None:
        if model is None or output is not None or as_json:
            raise click.UsageError("--costs: expected a MODEL, and neither --output nor --json.")
        _write_costs(model, accelerator, cells, seed, jobs, costs)
        return
    if output is not None:
        check_folder(output)
    words = ["fewflips", "calibrate", *([str(model)] if model else []), "--accelerator", accelerator]
    words += ["--inputs", str(inputs)] if inputs else []
    words += ["--samples", str(samples), "--cells", cells, "--time-limit", f"{time_limit:g}", "--seed", str(seed)]
    request = CalibrationRequest(
        inputs=inputs,
        cells=cells,
        samples=samples,
        options=EnergyOptions(time_limit_s=time_limit, seed=seed, jobs=jobs),
        command=shlex.join(words),
    )
    with progress_bars() as progress:
        calibration = run(model, accelerator, request, progress)
    files = save_calibration(calibration, output) if output else ()
    if as_json:
        write_json(calibration.model_dump_json(indent=1))
        return
    write(rendered(calibration_table(calibration)) + wrote(files))


def _write_costs(model: Path, accelerator: str, cells: str, seed: int, jobs: int, file: Path) -> None:
    from fewflips.api.costs import measured_cost
    from fewflips.estimation.transition_cost_files import check_cost_file_name, write_transition_cost

    check_cost_file_name(file)
    with progress_bars() as progress:
        measured = measured_cost(model, accelerator, cells, seed=seed, jobs=jobs, progress=progress)
    write_transition_cost(measured, file)
    write(wrote([file]))


COMMANDS = (calibrate,)
