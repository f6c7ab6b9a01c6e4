"""Measure a network: flips of every layer's operand streams on an accelerator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fewflips.api.measure_report import measurement_report
from fewflips.coding.notes import coding_notes
from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.dataflows.unit_datapath import bus_invert_ports
from fewflips.errors import AcceleratorError, RuntimeFailure
from fewflips.execution.activations import read_samples
from fewflips.machine import Accelerator, load_accelerator
from fewflips.measurement.between_activations import notes_without, products_between, with_products_between
from fewflips.measurement.counting import LayerCount, count_network
from fewflips.network import Network, load
from fewflips.network.on_the_fly import quantize_on_the_fly
from fewflips.progress import Progress
from fewflips.records.optimization import MeasureReport

if TYPE_CHECKING:
    from fewflips.estimation.estimate import NetworkEstimate


def measure(
    model: str | Path | Network,
    accelerator: str | Path | Accelerator = "edge16",
    *,
    inputs: str | Path | None = None,
    calibration: str | Path | None = None,
    activations: str | None = None,
    progress: Progress | None = None,
) -> MeasureReport:
    """Count the bit flips of a quantized network's operand streams.

    Parameters
    ----------
    model : str, Path or Network
        A TFLite or ONNX file, or a network from :func:`fewflips.load`.
    accelerator : str, Path or Accelerator
        A built-in machine's name, a YAML file, or an accelerator.
    inputs : str or Path, optional
        Sample inputs: a folder of images or an ``.npz`` file. Without them activations are not measured.
    calibration : str or Path, optional
        A ``calibration.json`` from ``fewflips calibrate`` with which to estimate energy. By default one that ships
        with the package, if one fits.
    activations : {"int8", "int16"}, optional
        Float activations of a weight-only network are quantized to this on the fly, each row by itself; without it
        they are left out.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    MeasureReport
        Flips of every layer and in total.

    Raises
    ------
    FewflipsError
        If the model, the accelerator or the inputs cannot be used.

    Examples
    --------
    >>> report = fewflips.measure("shapes.onnx", "edge4", inputs="shapes_onnx.npz")
    >>> report.totals.macs, len(report.layers)
    (65024, 5)
    >>> 0 < report.totals.weights.nhd < 0.6
    True
    """
    network = model if isinstance(model, Network) else load(model)
    array = load_accelerator(accelerator)
    orders = natural_orders(network, array)
    network, on_the_fly = quantize_on_the_fly(network, activations)
    try:
        samples, notes = read_samples(network, inputs)
    except RuntimeFailure as failure:
        advice = "leave out the sample inputs to count weights alone"
        raise RuntimeFailure(f"{failure}; {advice}", failure.model) from failure
    counts = count_network(network, array, [orders], samples, progress)[0]
    estimate, missing = _estimate(network, array, orders, counts, calibration)
    remarks = network.notes
    if samples is not None and products_between(network):
        joined, further, counted = with_products_between(network, array, samples, progress)
        remarks = notes_without(network, joined)
        network, orders, counts = joined, {**orders, **further}, {**counts, **counted}
    notes = (*remarks, *on_the_fly, *notes, *coding_notes(array, simulated=bus_invert_ports(array)), *missing)
    return measurement_report(network, array, orders, counts, samples, notes, estimate)


def _estimate(
    network: Network,
    array: Accelerator,
    orders: LayerOrders,
    counts: Mapping[str, LayerCount],
    calibration: str | Path | None,
) -> tuple[NetworkEstimate | None, tuple[str, ...]]:
    """Estimated energy, or a note on why there is none."""
    from fewflips.estimation.estimate import estimate_energy, missing_note

    known = {name: count.observed for name, count in counts.items() if count.observed is not None}
    path = None if calibration is None else Path(calibration)
    try:
        estimate = estimate_energy(network, array, orders, counts, known or None, path)
        return estimate, () if estimate else (missing_note(network, array),)
    except AcceleratorError as error:  # no such unit can be built, but flips can still be counted
        if path is not None:
            raise
        return None, (f"Energy was not estimated: {error}.",)
