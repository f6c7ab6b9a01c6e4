"""The command that shows what the package does, on the networks that come with it."""

from __future__ import annotations

from pathlib import Path

import click

from fewflips.bundled import ACCELERATOR
from fewflips.cli import options
from fewflips.cli.console import progress_bars, rendered, write, write_json, wrote

# Everything heavy is imported inside the command, so that --help answers at once.


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("fewflips-demo"),
    show_default=True,
    metavar="DIR",
    help="Directory for the results of the HD-trained network; those of the baseline go to `baseline` inside it.",
)
@options.accelerator_with(default=ACCELERATOR)
@options.seed
@options.jobs
@options.as_json
def demo(output: Path, accelerator: str, seed: int, jobs: int, as_json: bool) -> None:
    """Compare the bundled MobileNetV2 (CIFAR-10, int8) with one trained for few flips, before and after ordering.

    Energy is also simulated at gate level, on a sample of the cycles. A machine whose arithmetic unit does not ship
    with the package needs the extra `gates`.
    """
    from fewflips.bundled import bundled_pair
    from fewflips.demo.demonstration import check_demo_writable, demonstrate
    from fewflips.report.terminal.demo import demo_headline, demo_table

    with bundled_pair() as pair, progress_bars() as progress:
        check_demo_writable(output, pair)
        shown = demonstrate(pair, accelerator, seed=seed, jobs=jobs, progress=progress)
        files = shown.save(output)
    if as_json:
        write_json(shown.report.model_dump_json(indent=1))
        return
    text = rendered(demo_table(shown.report)) + rendered(demo_headline(shown.report))
    write(text + wrote(files))


COMMANDS = (demo,)
