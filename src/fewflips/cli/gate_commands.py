"""Commands that go down to gates."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fewflips.cli import options
from fewflips.cli.console import progress_bars, show, write, wrote
from fewflips.visible import visible

# Everything heavy is imported inside the commands, so that --help answers at once.


@click.command()
@options.model
@click.option(
    "--accelerator",
    metavar="NAME|FILE",
    help="Built-in machine or YAML file.  [default: the schedule's machine, or edge16]",
)
@click.option(
    "--schedule",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Stream weights in the order of this schedule.",
)
@options.inputs
@options.cells
@options.clock_mhz
@options.time_limit
@options.share
@options.step_ps
@click.option(
    "--netlist",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Mapped netlist of the arithmetic unit (Verilog), used instead of synthesizing one.",
)
@click.option(
    "--spef", type=click.Path(path_type=Path), metavar="FILE", help="Wire capacitances of that netlist (SPEF)."
)
@click.option(
    "--activity",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Directory for the unit's netlist, SPEF, SAIF and a short VCD, for other power tools.",
)
@options.seed
@options.jobs
@options.as_json
def energy(
    model: Path,
    accelerator: str | None,
    schedule: Path | None,
    inputs: Path | None,
    cells: str,
    clock_mhz: float,
    time_limit: float,
    share: float | None,
    step_ps: float,
    netlist: Path | None,
    spef: Path | None,
    activity: Path | None,
    seed: int,
    jobs: int,
    as_json: bool,
) -> None:
    """Simulate the energy of each layer at gate level with MODEL's real operands, glitches included."""
    from fewflips.api.energy import energy as run
    from fewflips.report.terminal.energy import energy_table
    from fewflips.simulation.run import EnergyOptions

    chosen = EnergyOptions(
        clock_mhz=clock_mhz, time_limit_s=time_limit, share=share, step_ps=step_ps, seed=seed, jobs=jobs
    )
    with progress_bars() as progress:
        report = run(
            model,
            accelerator,
            schedule=schedule,
            inputs=inputs,
            cells=cells,
            options=chosen,
            netlist=netlist,
            spef=spef,
            activity=activity,
            progress=progress,
        )
    show(lambda: report.model_dump_json(indent=1), lambda: energy_table(report), as_json)


@click.command()
@options.model
@options.accelerator
@options.inputs
@click.option("--layer", metavar="NAME", help="Layer whose operands the testbench uses.  [default: the first]")
@click.option(
    "--cycles",
    type=click.IntRange(min=2, max=1_000_000),
    default=1024,
    show_default=True,
    help="Number of cycles in the testbench.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Directory for the Verilog files and the operands.",
)
@options.seed
def rtl(
    model: Path, accelerator: str, inputs: Path | None, layer: str | None, cycles: int, output: Path, seed: int
) -> None:
    """Write the accelerator's arithmetic unit as Verilog, with a self-checking testbench that uses MODEL's operands."""
    from fewflips.simulation.rtl import write_network_rtl

    with progress_bars():
        files = write_network_rtl(model, accelerator, output, inputs=inputs, layer_name=layer, cycles=cycles, seed=seed)
    write(wrote(files))


@click.group()
def cells() -> None:
    """List cell libraries, and reduce your own to small tables."""


@cells.command("list")
@click.argument("files", type=click.Path(), metavar="[FILE]...", nargs=-1)
@options.as_json
def list_cells(files: tuple[str, ...], as_json: bool) -> None:
    """List the built-in cell tables, or the given Liberty files and tables with the cells that cannot be used."""
    from fewflips.gates.liberty.load import builtin_tables, load_cells
    from fewflips.report.terminal.cells import cell_libraries_table

    libraries = [load_cells(name) for name in (*builtin_tables(), *files)]
    records = [
        {
            "name": library.source,
            "library": library.name,
            "corner": library.corner,
            "voltage_v": library.voltage_v,
            "temperature_c": library.temperature_c,
            "cells": len(library.cells),
            "left_out": dict(library.left_out),
            "sha256": library.sha256,
        }
        for library in libraries
    ]
    show(lambda: json.dumps(records, indent=1), lambda: cell_libraries_table(libraries), as_json)


@cells.command()
@click.argument("liberty", type=click.Path(path_type=Path), metavar="FILE.lib")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE.json",
    help="File to write the table to.",
)
def distill(liberty: Path, output: Path) -> None:
    """Reduce a Liberty file to a small table of the cells that synthesis needs."""
    from fewflips.gates.liberty.distill import distill_file
    from fewflips.report.terminal.cells import left_out_note

    with progress_bars() as progress:
        library = distill_file(liberty, output, progress)
    said = visible(f"wrote {output}: {len(library.cells)} cells of {library.name} ({library.corner})")
    note = left_out_note(library)
    write(f"{said}\n" + (f"{note}\n" if note else ""))


COMMANDS = (energy, rtl, cells)
