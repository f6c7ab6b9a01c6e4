"""Simulate a network's energy: every layer's operands pass through the gates of the accelerator's units."""

from __future__ import annotations

from pathlib import Path

from fewflips.api.machine_orders import machine_and_orders
from fewflips.coding.notes import coding_notes
from fewflips.dataflows.scale_blocks import notes_on_blocks
from fewflips.dataflows.unit_datapath import bus_invert_ports
from fewflips.errors import InputError
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.network import Network, load
from fewflips.network.on_the_fly import quantize_on_the_fly
from fewflips.progress import Progress
from fewflips.records.coverage import coverage_of
from fewflips.records.energy import EnergyReport
from fewflips.records.model_file import model_file
from fewflips.simulation.activity import make_activity_folder, write_activity
from fewflips.simulation.records import cells_record, datapath_record, total_energy
from fewflips.simulation.run import EnergyOptions, NetworkRun, first_part, simulate_network
from fewflips.simulation.setup import energy_settings, network_unit, samples_or_random, simulated_layers
from fewflips.version import __version__


def energy(
    model: str | Path | Network,
    accelerator: str | Path | Accelerator | None = None,
    *,
    schedule: str | Path | None = None,
    inputs: str | Path | None = None,
    cells: str | Path | CellLibrary = "nangate45",
    options: EnergyOptions | None = None,
    netlist: str | Path | None = None,
    spef: str | Path | None = None,
    activity: str | Path | None = None,
    activations: str | None = None,
    progress: Progress | None = None,
) -> EnergyReport:
    """Simulate a network's operands in the gates of an accelerator's arithmetic units.

    Parameters
    ----------
    model : str, Path or Network
        A TFLite or ONNX file, or a network from :func:`fewflips.load`.
    accelerator : str, Path or Accelerator, optional
        A built-in machine's name, a YAML file, or an accelerator. By default the schedule's, or ``edge16``.
    schedule : str or Path, optional
        A ``schedule.json`` or ``schedule.bin``; natural order without it.
    inputs : str or Path, optional
        Sample inputs: a folder of images or an ``.npz`` file. Without them one random input is used.
    cells : str, Path or CellLibrary
        A built-in table's name, a cell table, or a Liberty file.
    options : EnergyOptions, optional
        Clock, time limit, sampling and processors.
    netlist, spef : str or Path, optional
        A mapped netlist of the unit that was placed and routed elsewhere, and its wire capacitances.
    activity : str or Path, optional
        Folder in which to write the unit's netlist, wires and toggles for other power tools.
    activations : {"int8", "int16"}, optional
        Float activations of a weight-only network are quantized to this on the fly, each row by itself; without it
        such layers are left out.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    EnergyReport
        Picojoules for every layer and for the whole inference, without and with glitches.

    Raises
    ------
    FewflipsError
        If the model, the accelerator, the schedule, the inputs, the cells or the netlist cannot be used.

    Examples
    --------
    >>> options = fewflips.EnergyOptions(share=0.05)
    >>> report = fewflips.energy("shapes.onnx", "edge4", inputs="shapes_onnx.npz", options=options)
    >>> 1 < report.total.inertial.data_pj / report.total.zero_delay.data_pj < 4  # glitches
    True
    """
    options = options or EnergyOptions()
    if spef is not None and netlist is None:
        raise InputError("a SPEF file belongs to a netlist: give the netlist too (--netlist)")
    network = model if isinstance(model, Network) else load(model)
    array, orders = machine_and_orders(network, accelerator, schedule)
    network, on_the_fly = quantize_on_the_fly(network, activations)
    layers, notes = simulated_layers(network)
    samples, sample_notes = samples_or_random(network, inputs, options.seed)
    if activity is not None:
        make_activity_folder(Path(activity))
    unit = network_unit(layers, array, load_cells(cells), options, _path(netlist), _path(spef), progress)
    work = NetworkRun(network, array, layers, samples)
    run = simulate_network(work, unit, [orders], options, progress)
    results = run.layers[0]
    if activity is not None:
        part = first_part(work, unit.datapath, layers[0], orders[layers[0].name])
        write_activity(Path(activity), unit, run.toggles, part, options)
    return EnergyReport(
        fewflips=__version__,
        model=model_file(network),
        accelerator=array,
        settings=energy_settings(options, samples, inputs, schedule, run),
        coverage=coverage_of(network, layers, "its activations are not integers in the file"),
        layers=results,
        total=total_energy(results),
        datapath=datapath_record(unit, array),
        cells=cells_record(unit.library),
        notes=(
            *network.notes,
            *on_the_fly,
            *sample_notes,
            *notes,
            *notes_on_blocks(layers),
            *unit.notes,
            *coding_notes(array, simulated=bus_invert_ports(array)),
            *run.notes,
        ),
    )


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
