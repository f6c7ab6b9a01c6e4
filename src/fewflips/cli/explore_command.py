"""The command that searches a space of machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fewflips.cli import options
from fewflips.cli.console import progress_bars, rendered, say, write, write_json, wrote

# Everything heavy is imported inside the command, so that --help answers at once.


@click.command()
@click.argument("models", type=click.Path(path_type=Path), metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--space",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="YAML file with what may vary, objectives and constraints (see docs/explore.md).",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Directory for exploration.json, exploration.csv, exploration.html and the machines of the front.",
)
@click.option(
    "--inputs",
    "inputs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR|FILE",
    help="Sample inputs: a directory of images, or an .npz file; once for all models, or once for each in turn.",
)
@click.option(
    "--against",
    metavar="NAME|FILE",
    help="Compare the best machine with this one, in natural order.",
)
@click.option(
    "--search",
    "method",
    type=click.Choice(["exhaustive", "optuna"]),
    help="How to search.  [default: exhaustive where --simulations suffice]",
)
@click.option(
    "--simulations",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Simulations of the models that an optimizer may make; machines with the same toggles share one.",
)
@click.option(
    "--share",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=1e-4,
    show_default=True,
    help="Share of the cycles to simulate first; short layers are simulated completely.",
)
@click.option(
    "--largest-share",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=0.1,
    show_default=True,
    help="Share of the cycles for machines that the first share does not tell apart.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Begin nothing new after this time, and show what was found.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="SQLite file that keeps results, so that a search goes on where it was.  [default: in the cache folder]",
)
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Compute on the workers of this Dask scheduler, such as tcp://host:8786.",
)
@options.step_ps
@options.seed
@options.jobs
@click.option("--csv", "as_csv", is_flag=True, help="Print all machines as CSV.")
@options.as_json
def explore(
    models: tuple[Path, ...],
    space: Path,
    output: Path | None,
    inputs: tuple[Path, ...],
    against: str | None,
    method: Any,
    simulations: int,
    share: float,
    largest_share: float,
    time_limit: float | None,
    store: Path | None,
    cluster: str | None,
    step_ps: float,
    seed: int,
    jobs: int,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Find the machines of a space on which MODELs cost least.

    Ctrl-C shows what was found so far; the same command goes on where it was.
    """
    from fewflips.api.explore import ExploreOptions
    from fewflips.api.explore import explore as run
    from fewflips.exploration.search import SearchOptions
    from fewflips.files.atomic import make_folder

    if as_csv and as_json:
        raise click.UsageError("--csv: expected alone, got --json as well.")
    if output is not None:
        make_folder(output)
    search = SearchOptions(
        method=method,
        simulations=simulations,
        share=share,
        largest_share=max(share, largest_share),
        seed=seed,
        time_limit_s=time_limit,
    )
    with progress_bars() as progress:
        result = run(
            models,
            space,
            inputs=inputs,
            against=against,
            options=ExploreOptions(search=search, store=store, jobs=jobs, cluster=cluster, step_ps=step_ps),
            progress=progress,
        )
        files = result.save(output) if output is not None else ()
    _show(result, files, as_csv, as_json)
    if result.interrupted:
        say("fewflips: interrupted; the same command goes on where it was")
        raise click.exceptions.Exit(130)


def _show(result: Any, files: tuple[Path, ...], as_csv: bool, as_json: bool) -> None:
    from fewflips.api.explored import machines_csv
    from fewflips.report.terminal.exploration import exploration_summary, exploration_table

    if as_json:
        write_json(result.report.model_dump_json(indent=1))
    elif as_csv:
        write(machines_csv(result.report))
    else:
        table, summary = rendered(exploration_table(result.report)), rendered(exploration_summary(result.report))
        write(table + summary + wrote(files))


COMMANDS = (explore,)
