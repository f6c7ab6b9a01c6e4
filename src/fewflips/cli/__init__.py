"""The command ``fewflips``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fewflips.version import __version__

if TYPE_CHECKING:
    from fewflips.optimization import Optimization

# Everything heavy is imported inside the commands, so that --help answers at once.

_accelerator = click.option(
    "--accelerator",
    default="edge16",
    show_default=True,
    metavar="NAME|FILE",
    help="A built-in machine (see `fewflips accelerators`) or a YAML file.",
)
_inputs = click.option(
    "--inputs",
    type=click.Path(path_type=Path),
    metavar="DIR|FILE",
    help="Sample inputs: a folder of images, or an .npz of arrays named as the model's inputs.",
)
_seed = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every random choice.")
_jobs = click.option(
    "--jobs", type=click.IntRange(min=-1), default=-1, show_default=True, help="Processors to use; -1 for all."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_model = click.argument("model", type=click.Path(path_type=Path))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fewflips")
def cli() -> None:
    """Make quantized networks cheaper to run on accelerators by flipping fewer bits in the datapath."""


@cli.command()
@_model
@_accelerator
@_inputs
@_json
def measure(model: Path, accelerator: str, inputs: Path | None, as_json: bool) -> None:
    """Count the bit flips of MODEL's operand streams, layer by layer."""
    from fewflips.measurement import measure as run
    from fewflips.report.table import measurement_table

    with _progress() as progress:
        report = run(model, accelerator, inputs=inputs, progress=progress)
    _show(lambda: report.model_dump_json(indent=1), lambda: measurement_table(report), as_json)


@cli.command()
@_model
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Folder for model.*, schedule.json, report.json and report.html.",
)
@_accelerator
@click.option(
    "--mode",
    type=click.Choice(["schedule", "drop-in", "both"]),
    default="both",
    show_default=True,
    help="What to make.",
)
@_inputs
@click.option("--prove", is_flag=True, help="Work on until as many orders as possible are proven optimal.")
@_seed
@_jobs
@_json
def optimize(
    model: Path,
    output: Path,
    accelerator: str,
    mode: Any,
    inputs: Path | None,
    prove: bool,
    seed: int,
    jobs: int,
    as_json: bool,
) -> None:
    """Reorder MODEL's channels so that fewer bits flip, and check that it computes the same."""
    from fewflips.optimization import optimize as run
    from fewflips.report.files import check_writable

    check_writable(output, model)
    with _progress() as progress:
        result = run(model, accelerator, mode=mode, inputs=inputs, prove=prove, seed=seed, jobs=jobs, progress=progress)
        files = result.save(output)
    _show_optimization(result, files, as_json)


@cli.command()
@click.argument("first", type=click.Path(path_type=Path), metavar="A")
@click.argument("second", type=click.Path(path_type=Path), metavar="B")
@_inputs
@_seed
@_json
def verify(first: Path, second: Path, inputs: Path | None, seed: int, as_json: bool) -> None:
    """Check that model B computes what model A computes, bit for bit; B may also be a schedule.json for A.

    The exit code is 0 where all values are equal, 1 where they are not.
    """
    from fewflips.verification import verify as run

    with _progress() as progress:
        result = run(first, second, inputs=inputs, seed=seed, progress=progress)
    _show(lambda: result.model_dump_json(indent=1), lambda: result.check.method, as_json)
    if not result.check.passed:
        sys.exit(1)


@cli.command()
@_json
def accelerators(as_json: bool) -> None:
    """List the built-in accelerators."""
    from fewflips.accelerator import builtin_accelerators
    from fewflips.report.table import accelerator_table

    machines = list(builtin_accelerators().values())
    records = [machine.model_dump(mode="json") for machine in machines]
    _show(lambda: json.dumps(records, indent=1), lambda: accelerator_table(machines), as_json)


@cli.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("fewflips-demo"),
    show_default=True,
    metavar="DIR",
    help="Folder for the results.",
)
@_accelerator
@_seed
@_jobs
@_json
def demo(output: Path, accelerator: str, seed: int, jobs: int, as_json: bool) -> None:
    """Optimize the bundled MobileNetV2 (CIFAR-10, int8) with its sample inputs."""
    from fewflips.bundled import bundled_model
    from fewflips.optimization import optimize as run
    from fewflips.report.files import check_writable

    with bundled_model() as (model, samples), _progress() as progress:
        check_writable(output, model)
        result = run(model, accelerator, inputs=samples, seed=seed, jobs=jobs, progress=progress)
        files = result.save(output)
    _show_optimization(result, files, as_json)


def main() -> None:
    """Run the command line; every error is one line on stderr and exit code 2 (Ctrl-C: 130)."""
    from fewflips.errors import FewflipsError

    try:
        code = cli.main(prog_name="fewflips", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "fewflips"
        _fail(f"{error.format_message()} See {command} --help", 2)
    except FewflipsError as error:
        _fail(str(error), 2)
    except MemoryError:
        _fail("out of memory: the model or its activations are too large for this machine", 2)
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename or 'the output cannot be written'}", 2)
    sys.exit(code or 0)


def _fail(message: str, code: int) -> None:
    click.echo(f"fewflips: {' '.join(message.split())}", err=True)
    sys.exit(code)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each phase, on stderr where that is a terminal; it appears with the first step."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda phase, done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars = Progress(*columns, console=console, transient=True)
    tasks: dict[str, Any] = {}

    def advance(phase: str, done: int, total: int) -> None:
        bars.start()
        if phase not in tasks:
            tasks[phase] = bars.add_task(phase, total=total)
        bars.update(tasks[phase], completed=done, total=total)

    try:
        yield advance
    finally:
        if tasks:
            bars.stop()


def _show(as_json: Callable[[], str], renderable: Callable[[], Any], json_wanted: bool) -> None:
    _write(as_json() + "\n" if json_wanted else _rendered(renderable()))


def _show_optimization(result: Optimization, files: tuple[Path, ...], json_wanted: bool) -> None:
    if json_wanted:
        _write(result.report.model_dump_json(indent=1) + "\n")
        return
    from fewflips.report.table import headline, result_table

    table, summary = _rendered(result_table(result.report)), _rendered(headline(result.report))
    _write(table + summary + "".join(f"wrote {file}\n" for file in files))


def _rendered(renderable: Any) -> str:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    with console.capture() as captured:
        console.print(Text(renderable) if isinstance(renderable, str) else renderable)
    return captured.get()


def _write(text: str) -> None:
    """Write to stdout; a reader that has left (``| head``) is no error."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
