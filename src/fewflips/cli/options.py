"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import click
from click.shell_completion import CompletionItem


def _names_or_files(names: Callable[[], Iterable[str]]) -> Callable[..., list[CompletionItem]]:
    """Completes the names of something, and files."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(name) for name in names() if name.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type="file")]

    return complete


def _machines() -> Iterable[str]:
    from fewflips.machine import builtin_accelerators

    return builtin_accelerators()


def complete_steps(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the last name of a list of steps."""
    from fewflips.optimization.registration import step_names

    before, comma, last = incomplete.rpartition(",")
    return [CompletionItem(f"{before}{comma}{name}") for name in step_names() if name.startswith(last)]


complete_machines = _names_or_files(_machines)
accelerator_with = partial(
    click.option,
    "--accelerator",
    show_default=True,
    metavar="NAME|FILE",
    shell_complete=complete_machines,
    help="Built-in machine (see `fewflips accelerators`) or YAML file.",
)
accelerator = accelerator_with(default="edge16")
inputs = click.option(
    "--inputs",
    type=click.Path(path_type=Path),
    metavar="DIR|FILE",
    help="Sample inputs: a directory of images, or an .npz whose arrays are named after the model's inputs.",
)
seed = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed for every random choice."
)
jobs = click.option(
    "--jobs",
    type=click.IntRange(min=-1),
    default=-1,
    show_default=True,
    help="Number of processors to use; -1 uses all.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
as_csv = click.option("--csv", "as_csv", is_flag=True, help="Print the layers as comma-separated values.")
model = click.argument("model", type=click.Path(path_type=Path))
activations = click.option(
    "--activations",
    type=click.Choice(["int8", "int16"]),
    help="Quantize float activations of a weight-only network to this on the fly, each row by itself.  [default: leave "
    "them out]",
)
tokens = click.option(
    "--tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Tokens that a GGUF file or a folder of safetensors processes at once, as in prefill.  [default: 1, as in "
    "decoding]",
)
cells = click.option(
    "--cells",
    default="nangate45",
    show_default=True,
    metavar="NAME|FILE",
    help="Built-in cell table (see `fewflips cells list`), cell table file, or Liberty file (.lib, .lib.gz).",
)
clock_mhz = click.option(
    "--clock-mhz",
    type=click.FloatRange(min=0, min_open=True),
    default=200.0,
    show_default=True,
    help="Clock frequency; sets how long each cycle leaks.",
)
time_limit = click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Simulate a sample of the cycles if all of them would take longer than this.",
)
share = click.option(
    "--share",
    type=click.FloatRange(min=0, max=1, min_open=True),
    metavar="SHARE",
    help="Simulate this share of the cycles with delays, and all of them without, however long it takes.",
)
step_ps = click.option(
    "--step-ps",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Round delays to multiples of this.",
)
