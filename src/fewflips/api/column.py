"""A layer on a scheduled column: written as Verilog, synthesized, and run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fewflips.api.machine_orders import machine_and_orders
from fewflips.dataflows.hold_flags import HoldFlags
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.datapath.icarus import icarus_version
from fewflips.datapath.scheduled_column.cycles import column_cycles
from fewflips.datapath.scheduled_column.design import ColumnDesign
from fewflips.datapath.scheduled_column.testbench import ColumnBench, column_bench, run_column
from fewflips.errors import InputError
from fewflips.execution.activations import lowered_rows, run_samples
from fewflips.files.result_folder import save_together
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.network import Network, load
from fewflips.progress import Progress
from fewflips.records.column import ColumnHolds, ColumnMemory, ColumnReport, ColumnSimulation
from fewflips.records.model_file import model_file
from fewflips.schedule.binary import index_table_bits
from fewflips.simulation.column_gates import column_gates, flip_flop_memory, memory_record
from fewflips.simulation.column_layer import check_machine, column_layer
from fewflips.simulation.rtl import chosen_layer
from fewflips.simulation.setup import samples_or_random, simulated_layers
from fewflips.version import __version__
from fewflips.visible import printable_name

COMMAND = "fewflips rtl"
"""Whose files these are, in the manifest of a folder of results."""


@dataclass(frozen=True)
class ColumnOptions:
    """What to build and what to do with it.

    Parameters
    ----------
    layer : str or None
        Name of the layer, or the beginning of it; the first by default.
    columns : int
        Columns behind the controller.
    pixels : int or None
        How many of the layer's output pixels to compute; all by default.
    preload : bool
        Whether sums start from the layer's bias and constants of the zero points.
    simulate : bool
        Whether to run the testbench in Icarus Verilog.
    synthesize : bool
        Whether to synthesize units and controller.
    flip_flop_bits : int
        Memories of up to this many bits are built of flip-flops where the column is synthesized.
    seed : int
        Seed of the random input.
    """

    layer: str | None = None
    columns: int = 1
    pixels: int | None = None
    preload: bool = False
    simulate: bool = False
    synthesize: bool = False
    flip_flop_bits: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (("columns", 1, 4096), ("pixels", 1, 1 << 31), ("flip_flop_bits", 0, 1 << 16)):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InputError(f"{name}: expected {low} to {high}, got {value}")
        if self.flip_flop_bits and not self.synthesize:
            raise InputError("flip_flop_bits: memories are built where a column is synthesized: set synthesize")


def column(
    model: str | Path | Network,
    folder: str | Path,
    accelerator: str | Path | Accelerator | None = None,
    *,
    schedule: str | Path | None = None,
    inputs: str | Path | None = None,
    cells: str | Path | CellLibrary = "nangate45",
    options: ColumnOptions | None = None,
    progress: Progress | None = None,
) -> ColumnReport:
    """Write a column that runs one layer in scheduled order, with its memories and a self-checking testbench.

    Parameters
    ----------
    model : str, Path or Network
        A TFLite or ONNX file, or a network from :func:`fewflips.load`.
    folder : str or Path
        Folder for the files; created if it does not exist.
    accelerator : str, Path or Accelerator, optional
        A built-in machine's name, a YAML file, or an accelerator. By default the schedule's, or ``edge16``.
    schedule : str or Path, optional
        A ``schedule.json`` or ``schedule.bin``; natural order without it.
    inputs : str or Path, optional
        Sample inputs, of which the first is used; by default one random input.
    cells : str, Path or CellLibrary
        A built-in table's name, a cell table, or a Liberty file.
    options : ColumnOptions, optional
        The layer, and what to do.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    ColumnReport
        Sizes, cycles, area and critical path, and what the testbench found, passed or not.

    Raises
    ------
    FewflipsError
        If the model, the machine, the schedule, the layer or the inputs cannot be used, files cannot be written, or a
        tool is missing or fails.
    """
    options = options or ColumnOptions()
    if options.simulate:
        icarus_version()
    network = model if isinstance(model, Network) else load(model)
    array, orders = machine_and_orders(network, accelerator, schedule)
    check_machine(array)
    layers, _ = simulated_layers(network)
    layer = chosen_layer(layers, options.layer)
    samples, sample_notes = samples_or_random(network, inputs, options.seed)
    rows = lowered_rows(layer, next(run_samples(network, samples, progress)))[:, : options.pixels]
    lowered = column_layer(
        layer,
        rows,
        orders[layer.name],
        array,
        network_datapath(layers, array),
        columns=options.columns,
        preload=options.preload,
    )
    bench = column_bench(lowered.design, lowered.passes, lowered.codes, lowered.expected)
    contents = {name: text.encode() for name, text in {**bench.sources, **bench.images}.items()}
    files = save_together(Path(folder), COMMAND, contents)
    memories = [memory_record(memory) for memory in lowered.design.memories]
    gates = None
    if options.synthesize:
        library = cells if isinstance(cells, CellLibrary) else load_cells(cells)
        gates = column_gates(lowered.design, library, progress)
        memories = _memories(lowered.design, library, options.flip_flop_bits, progress)
    cycles, waits = column_cycles(lowered.design, lowered.passes, lowered.codes.rows(options.columns))
    return ColumnReport(
        fewflips=__version__,
        model=model_file(network),
        accelerator=array,
        schedule=None if schedule is None else printable_name(str(schedule)),
        layer=layer.name,
        n=layer.n,
        k=layer.k,
        pixels=rows.shape[1],
        pixels_of_layer=layer.m,
        module=bench.name,
        columns=options.columns,
        passes=lowered.design.passes,
        words=lowered.design.words,
        preloaded=options.preload,
        cycles=cycles,
        waits=waits,
        index_table_bits=index_table_bits(len(segment.order) for segment in orders[layer.name]),
        negated=sum(int(one.sign_flags.sum()) for one in lowered.passes),
        holds=_holds(lowered.holds),
        memories=tuple(memories),
        gates=gates,
        simulation=_simulated(bench, progress) if options.simulate else None,
        files=tuple(printable_name(file.name) for file in files),
        notes=(*sample_notes, *lowered.notes),
    )


def _holds(found: HoldFlags | None) -> ColumnHolds | None:
    return None if found is None else ColumnHolds(flags=found.flags, fetched=found.fetched, held=found.held)


def _memories(
    design: ColumnDesign, library: CellLibrary, flip_flop_bits: int, progress: Progress | None
) -> list[ColumnMemory]:
    return [
        flip_flop_memory(memory, library, progress) if memory.bits <= flip_flop_bits else memory_record(memory)
        for memory in design.memories
    ]


def _simulated(bench: ColumnBench, progress: Progress | None) -> ColumnSimulation:
    if progress:
        progress("running the testbench", 0, 1)
    found = run_column(bench)
    if progress:
        progress("running the testbench", 1, 1)
    return ColumnSimulation(
        simulator=f"Icarus Verilog {icarus_version()}",
        passed=found.passed,
        results=found.results,
        mismatches=found.mismatches,
        cycles=found.cycles,
        first_mismatches=found.first_mismatches,
        fetched=found.fetched,
    )
