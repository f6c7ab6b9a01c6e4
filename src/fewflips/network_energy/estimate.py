"""The energy of a network: every layer's operands through the gates of the accelerator's arithmetic units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fewflips.accelerator import Accelerator, load_accelerator
from fewflips.errors import AcceleratorError, InputError, ModelError
from fewflips.gates.cell_table import load_cells
from fewflips.gates.cells import CellLibrary
from fewflips.measurement import measurable_layers, model_file, natural_orders, printable_name, read_samples
from fewflips.network import Network, load
from fewflips.network.layer import Layer
from fewflips.network.runtimes import Runtime
from fewflips.network.samples import Samples, random_feeds
from fewflips.network_energy.activity import make_activity_folder, write_activity
from fewflips.network_energy.record import cells_record, datapath_record, total_energy
from fewflips.network_energy.run import EnergyOptions, NetworkEnergies, NetworkRun, first_part, simulate_network
from fewflips.network_energy.unit import ArithmeticUnit, build_unit
from fewflips.network_energy.words import network_datapath
from fewflips.progress import Progress
from fewflips.report.coverage import coverage_of
from fewflips.report.energy_model import EnergyReport, EnergySettings
from fewflips.schedule import LayerOrders, read_schedule, schedule_orders
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
    progress: Progress | None = None,
) -> EnergyReport:
    """Simulate a network's operands in the gates of an accelerator's arithmetic units.

    Parameters
    ----------
    model : str, Path or Network
        A TFLite or ONNX file, or what :func:`fewflips.load` read from one.
    accelerator : str, Path or Accelerator, optional
        A built-in machine's name, a YAML file, or an accelerator. Without it that of the schedule, or ``edge16``.
    schedule : str or Path, optional
        A ``schedule.json``; natural order without it.
    inputs : str or Path, optional
        Sample inputs: a folder of images or an ``.npz`` file. Without them one random input is used.
    cells : str, Path or CellLibrary
        A built-in table's name, a cell table, or a Liberty file.
    options : EnergyOptions, optional
        Clock, time limit, sampling, processors.
    netlist, spef : str or Path, optional
        A mapped netlist of the unit, placed and routed elsewhere, and its wire capacitances.
    activity : str or Path, optional
        A folder for the unit's netlist, wires and toggles, for other power tools.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    EnergyReport
        Picojoules of every layer and of the inference, without and with glitches.

    Raises
    ------
    FewflipsError
        If the model, the accelerator, the schedule, the inputs, the cells or the netlist cannot be used.
    """
    options = options or EnergyOptions()
    if spef is not None and netlist is None:
        raise InputError("a SPEF file belongs to a netlist: give the netlist too (--netlist)")
    network = model if isinstance(model, Network) else load(model)
    array, orders = _orders(network, accelerator, schedule)
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
        notes=(*network.notes, *sample_notes, *notes),
    )


def energy_settings(
    options: EnergyOptions,
    samples: Samples,
    inputs: str | Path | None,
    schedule: str | Path | None,
    run: NetworkEnergies,
) -> EnergySettings:
    """What the user asked for, as reports have it."""
    return EnergySettings(
        inputs=None if inputs is None else printable_name(str(inputs)),
        samples=len(samples.feeds),
        schedule=None if schedule is None else printable_name(str(schedule)),
        clock_mhz=options.clock_mhz,
        step_ps=options.step_ps,
        time_limit_s=options.time_limit_s,
        share=run.shares.inertial,
        sampled_share=run.simulated.inertial,
        zero_delay_share=run.simulated.zero_delay,
        seed=options.seed,
    )


def network_unit(
    layers: Sequence[Layer],
    array: Accelerator,
    library: CellLibrary,
    options: EnergyOptions,
    netlist: Path | None = None,
    spef: Path | None = None,
    progress: Progress | None = None,
) -> ArithmeticUnit:
    """The unit that an accelerator needs for some layers, ready to be simulated."""
    datapath = network_datapath(layers, array)
    return build_unit(datapath, library, netlist=netlist, spef=spef, step_ps=options.step_ps, progress=progress)


def simulated_layers(network: Network) -> tuple[list[Layer], tuple[str, ...]]:
    """Layers whose activations are known as integers, and a note on the others.

    Raises
    ------
    ModelError
        If there is none.
    """
    layers = measurable_layers(network)
    left_out = len(network.layers) - len(layers)
    if not layers:
        raise ModelError(
            f"{network.path}: no layer's activations are integers in the file, and energy needs both operands: "
            "quantize activations too"
        )
    if not left_out:
        return layers, ()
    return layers, (f"Energy of {left_out} layers is left out: their activations are not integers in the file.",)


def samples_or_random(network: Network, inputs: str | Path | None, seed: int) -> tuple[Samples, tuple[str, ...]]:
    """Sample inputs, or one random input where none are given, and what the report has to say about them."""
    samples, notes = read_samples(network, inputs)
    return (samples, notes[:1]) if samples is not None else random_sample(network, seed)


def random_sample(network: Network, seed: int) -> tuple[Samples, tuple[str, ...]]:
    """One random input, and a note that says so."""
    with Runtime(network.path, network.file_format) as runtime:
        feeds = random_feeds(runtime.inputs, 1, seed)
    note = "Activations are those of one random input: no sample inputs were given (--inputs)."
    return Samples(feeds, "random", note), (note,)


def _orders(
    network: Network, accelerator: str | Path | Accelerator | None, schedule: str | Path | None
) -> tuple[Accelerator, LayerOrders]:
    if schedule is None:
        array = load_accelerator(accelerator or "edge16")
        return array, natural_orders(network, array)
    content = read_schedule(Path(schedule))
    if accelerator is None:
        return content.accelerator, schedule_orders(content, network)
    array = load_accelerator(accelerator)
    unlike = [
        name for name in ("dataflow", "lanes", "columns") if getattr(array, name) != getattr(content.accelerator, name)
    ]
    if unlike:
        raise AcceleratorError(
            f"{schedule}: made for {content.accelerator.name}, whose {', '.join(unlike)} differ from those of "
            f"{array.name}: optimize for {array.name}, or leave --accelerator out"
        )
    return array, schedule_orders(content, network)


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
