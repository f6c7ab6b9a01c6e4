"""Commands that exchange machines and energies with other design-space tools."""

from __future__ import annotations

from pathlib import Path

import click

from fewflips.cli import options
from fewflips.cli.console import progress_bars, say, write, wrote


@click.group()
def accelforge() -> None:
    """Exchange machines and energies with AccelForge and hwcomponents, Accelergy's successors."""


@accelforge.command("import")
@click.argument("architecture", type=click.Path(path_type=Path), metavar="ARCH.yaml")
@click.option(
    "--dataflow",
    type=click.Choice(("activation-stationary", "weight-stationary", "output-stationary")),
    help="Dataflow of the machine.  [default: that of the register next to the compute node]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.yaml",
    help="File to write the machine to.  [default: stdout]",
)
def import_architecture(architecture: Path, dataflow: str | None, output: Path | None) -> None:
    """Turn the array and the memories of an AccelForge architecture into a machine for --accelerator.

    AccelForge evaluates expressions in the file as Python: import only files that you trust.
    """
    from fewflips.files.atomic import atomic_write
    from fewflips.interchange.accelforge_import import read_accelforge
    from fewflips.machine.yaml_text import machine_yaml

    with progress_bars():
        imported = read_accelforge(architecture, dataflow)
    for note in imported.notes:
        say(note)
    text = machine_yaml(imported.accelerator)
    if output is None:
        write(text)
    else:
        atomic_write(output, text.encode())
        write(wrote((output,)))


@accelforge.command("export")
@options.model
@click.option(
    "--energy",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE.json",
    help="Output of `fewflips energy --json` for MODEL.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE.yaml",
    help="AccelForge specification to write: machine, layers, and the energy of each layer's operations.",
)
@click.option(
    "--component",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.py",
    help="Also write the datapath as a component model for hwcomponents.",
)
def export_energies(model: Path, energy: Path, output: Path, component: Path | None) -> None:
    """Write MODEL's simulated energies as an AccelForge specification, whose compute energy depends on the layer."""
    from fewflips.files.atomic import atomic_write
    from fewflips.interchange.accelforge_export import (
        accelforge_specification,
        hwcomponents_component,
        read_energy_report,
    )
    from fewflips.network import load

    with progress_bars():
        network, report = load(model), read_energy_report(energy)
        texts = {output: accelforge_specification(report, network)}
        if component is not None:
            texts[component] = hwcomponents_component(report, network)
    for path, text in texts.items():
        atomic_write(path, text.encode())
    write(wrote(texts))


COMMANDS = (accelforge,)
