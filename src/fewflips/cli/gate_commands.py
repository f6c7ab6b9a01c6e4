"""Commands that go down to gates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from fewflips.cli import options
from fewflips.cli.console import progress_bars, show, show_layers, write, wrote
from fewflips.errors import InputError, VerificationError
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
@options.activations
@options.tokens
@options.seed
@options.jobs
@options.as_csv
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
    activations: str | None,
    tokens: int | None,
    seed: int,
    jobs: int,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Simulate the energy of each layer at gate level with MODEL's real operands, glitches included."""
    from fewflips.api.energy import energy as run
    from fewflips.network import load
    from fewflips.report.terminal.energy import energy_table
    from fewflips.simulation.run import EnergyOptions

    chosen = EnergyOptions(
        clock_mhz=clock_mhz, time_limit_s=time_limit, share=share, step_ps=step_ps, seed=seed, jobs=jobs
    )
    with progress_bars() as progress:
        report = run(
            load(model, tokens=tokens),
            accelerator,
            schedule=schedule,
            inputs=inputs,
            cells=cells,
            options=chosen,
            netlist=netlist,
            spef=spef,
            activity=activity,
            activations=activations,
            progress=progress,
        )
    show_layers(report, lambda: energy_table(report), as_json, as_csv)


@click.command()
@options.model
@click.option(
    "--accelerator",
    metavar="NAME|FILE",
    help="Built-in machine or YAML file.  [default: the schedule's machine, or edge16]",
)
@options.inputs
@click.option(
    "--layer",
    metavar="NAME",
    help="Layer whose operands the testbench uses, or the beginning of its name.  [default: the first]",
)
@click.option(
    "--cycles",
    type=click.IntRange(min=2, max=1_000_000),
    help="Number of cycles in the testbench of a unit.  [default: 1024]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Directory for the Verilog files and the operands.",
)
@options.seed
@click.option(
    "--column",
    "whole_column",
    is_flag=True,
    help="Write a whole column instead: units, memories, index table and controller, which run the layer.",
)
@click.option(
    "--schedule",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="schedule.json or schedule.bin that the column follows.  [default: natural order]",
)
@click.option("--columns", type=click.IntRange(min=1, max=4096), help="Columns behind the controller.  [default: 1]")
@click.option("--pixels", type=click.IntRange(min=1), help="Output pixels to compute.  [default: all of the layer]")
@click.option(
    "--preload",
    is_flag=True,
    help="Start sums from the bias, and from constants that take zero points out.",
)
@click.option("--run", "simulate", is_flag=True, help="Run the column's testbench in Icarus Verilog.")
@click.option("--synthesize", is_flag=True, help="Synthesize units and controller: area and critical path.")
@click.option("--cells", metavar="NAME|FILE", help="Cells for that, as for `fewflips energy`.  [default: nangate45]")
@click.option(
    "--flip-flop-bits",
    type=click.IntRange(min=0, max=1 << 16),
    help="Build memories of up to this many bits of flip-flops.  [default: 0]",
)
@options.as_json
def rtl(
    model: Path,
    accelerator: str | None,
    inputs: Path | None,
    layer: str | None,
    cycles: int | None,
    output: Path,
    seed: int,
    whole_column: bool,
    as_json: bool,
    **of_column: Any,
) -> None:
    """Write the accelerator's arithmetic unit as Verilog, with a self-checking testbench that uses MODEL's operands.

    With --column, write a column that runs a whole layer of MODEL in scheduled order.
    """
    if whole_column:
        if cycles is not None:
            raise InputError("--cycles is for the testbench of a unit alone: with --column give --pixels")
        _column(model, accelerator, inputs, layer, output, seed, as_json, **of_column)
        return
    given = [f"--{name.replace('_', '-')}" for name, value in of_column.items() if value not in (None, False)]
    if given or as_json:
        name = (given or ["--json"])[0].replace("--simulate", "--run")
        raise InputError(f"{name} belongs to a column: give --column too")
    from fewflips.simulation.rtl import write_network_rtl

    with progress_bars():
        files = write_network_rtl(
            model,
            accelerator or "edge16",
            output,
            inputs=inputs,
            layer_name=layer,
            cycles=1024 if cycles is None else cycles,
            seed=seed,
        )
    write(wrote(files))


def _column(
    model: Path,
    accelerator: str | None,
    inputs: Path | None,
    layer: str | None,
    output: Path,
    seed: int,
    as_json: bool,
    *,
    schedule: Path | None,
    columns: int | None,
    pixels: int | None,
    preload: bool,
    simulate: bool,
    synthesize: bool,
    cells: str | None,
    flip_flop_bits: int | None,
) -> None:
    from fewflips.api.column import ColumnOptions, column
    from fewflips.report.terminal.column import column_table

    if cells is not None and not synthesize:
        raise InputError("--cells is for synthesis: give --synthesize too")
    chosen = ColumnOptions(
        layer=layer,
        columns=columns or 1,
        pixels=pixels,
        preload=preload,
        simulate=simulate,
        synthesize=synthesize,
        flip_flop_bits=flip_flop_bits or 0,
        seed=seed,
    )
    with progress_bars() as progress:
        report = column(
            model,
            output,
            accelerator,
            schedule=schedule,
            inputs=inputs,
            cells=cells or "nangate45",
            options=chosen,
            progress=progress,
        )
    show(lambda: report.model_dump_json(indent=1), lambda: column_table(report), as_json)
    if not as_json:
        write(wrote(output / name for name in report.files))
    if report.simulation is not None and not report.simulation.passed:
        raise VerificationError(
            f"{output}: {report.simulation.mismatches} of {report.simulation.results} results of the column differ "
            "from the integer matrix product"
        )


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
