"""Options that several commands share."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

accelerator_with = partial(
    click.option,
    "--accelerator",
    show_default=True,
    metavar="NAME|FILE",
    help="A built-in machine (see `fewflips accelerators`) or a YAML file.",
)
accelerator = accelerator_with(default="edge16")
inputs = click.option(
    "--inputs",
    type=click.Path(path_type=Path),
    metavar="DIR|FILE",
    help="Sample inputs: a folder of images, or an .npz of arrays named as the model's inputs.",
)
seed = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every random choice.")
jobs = click.option(
    "--jobs", type=click.IntRange(min=-1), default=-1, show_default=True, help="Processors to use; -1 for all."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
model = click.argument("model", type=click.Path(path_type=Path))
cells = click.option(
    "--cells",
    default="nangate45",
    show_default=True,
    metavar="NAME|FILE",
    help="A built-in cell table (see `fewflips cells list`), a cell table, or a Liberty file (.lib, .lib.gz).",
)
clock_mhz = click.option(
    "--clock-mhz",
    type=click.FloatRange(min=0, min_open=True),
    default=200.0,
    show_default=True,
    help="Clock frequency: how long a cycle leaks.",
)
time_limit = click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Simulate a sample of the cycles where all would take longer.",
)
share = click.option(
    "--share",
    type=click.FloatRange(min=0, max=1, min_open=True),
    metavar="SHARE",
    help="Simulate about this share of the cycles with delays (and all without), however long it takes.",
)
step_ps = click.option(
    "--step-ps",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Delays are rounded to multiples of this.",
)
