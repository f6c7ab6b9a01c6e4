"""What an optimization found, and its files: written all or nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.orders import LayerOrders
from fewflips.errors import OutputError, VerificationError
from fewflips.files.atomic import check_name
from fewflips.files.leftovers import temporary_folder
from fewflips.files.result_folder import STAGING, digests, save_together
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.optimization.drop_in import DropIn
from fewflips.records.optimization import OptimizeReport
from fewflips.records.schedule import Schedule
from fewflips.report.html.page import render_html
from fewflips.report.html.picture import StreamPicture
from fewflips.schedule.file import parse_schedule, same_orders, schedule_orders
from fewflips.streams.codes import weight_codes

COMMAND = "fewflips optimize"


RESULT_NAMES = ("model.tflite", "model.onnx", "model.onnx.data", "schedule.json", "report.json", "report.html")
"""Files that an optimization may write."""


@dataclass(frozen=True, eq=False)
class Optimization:
    """Everything that :func:`optimize` found.

    Parameters
    ----------
    network : Network
        The original.
    accelerator : Accelerator
        The machine.
    schedule : Schedule or None
        Orders for a compiler.
    drop_in : DropIn or None
        The rewritten model.
    report : OptimizeReport
        Figures of every layer.
    checked_orders : dict of str to tuple of Segment
        Orders of the schedule as they were executed; empty without one.
    """

    network: Network
    accelerator: Accelerator
    schedule: Schedule | None = field(repr=False)
    drop_in: DropIn | None = field(repr=False)
    report: OptimizeReport = field(repr=False)
    checked_orders: LayerOrders = field(repr=False)

    @property
    def reduction(self) -> float:
        """Weight flips of one inference, baseline / optimized; infinite where none are left."""
        reduction = self.report.totals.weights.reduction
        return inf if reduction is None else reduction

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Write ``model.*``, ``schedule.json``, ``report.json`` and ``report.html``.

        Parameters
        ----------
        folder : str or Path
            Created where it does not exist. Files of the same names are replaced, all at the end.

        Returns
        -------
        tuple of Path
            The files.

        Raises
        ------
        OutputError
            If they cannot be written; then nothing is left half-written.
        """
        return save_optimization(self, Path(folder))


def save_optimization(result: Optimization, folder: Path) -> tuple[Path, ...]:
    """Write the model, the schedule and the reports of an optimization.

    Parameters
    ----------
    result : Optimization
        What to write.
    folder : Path
        Created where it does not exist. What an earlier optimization wrote there is replaced or removed.

    Returns
    -------
    tuple of Path
        The files, in the folder.

    Raises
    ------
    OutputError
        If anything cannot be written; then the folder is as it was.
    VerificationError
        If the model or the schedule is no longer the one that was checked.
    """
    check_writable(folder, result.network.path)
    try:
        contents = _contents(result)
    except OSError as error:
        raise OutputError(f"{folder}: its files cannot be made: {error.strerror or error}") from error
    return save_together(folder, COMMAND, contents)


def check_writable(folder: Path, model: Path) -> None:
    """Find out now, rather than after long work, whether results can be written to a folder.

    Parameters
    ----------
    folder : Path
        May be missing; it is not created.
    model : Path
        The model that is optimized; it must not be among the files that would be replaced.

    Raises
    ------
    OutputError
        If the folder cannot be written, holds a folder where a file is to be, or the model itself would be
        replaced.
    """
    check_name(folder)
    place_of_model = os.path.dirname(os.path.realpath(model))
    for name in RESULT_NAMES:
        target = folder / name
        if os.path.isdir(target):
            raise OutputError(f"{target}: expected a file or nothing, got a folder; choose another --output")
        if os.path.exists(target) and os.path.exists(model) and os.path.samefile(target, model):
            raise OutputError(f"{target}: is the model itself and would be replaced; choose another --output")
        if name.endswith(".data") and os.path.exists(target) and os.path.realpath(folder) == place_of_model:
            raise OutputError(f"{target}: may belong to the model and would be replaced; choose another --output")
    existing = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    try:
        temporary_folder(STAGING, existing).cleanup()
    except OSError as error:
        raise OutputError(f"{existing}: cannot be written: {error.strerror}; choose another --output") from error


def _contents(result: Optimization) -> dict[str, bytes]:
    contents = {}
    if result.drop_in:
        contents.update(_checked_model(result.drop_in))
    if result.schedule:
        contents["schedule.json"] = _checked_schedule(result, (result.schedule.model_dump_json() + "\n").encode())
    contents["report.json"] = (result.report.model_dump_json(indent=1) + "\n").encode()
    contents["report.html"] = render_html(result.report, stream_picture(result)).encode()
    return contents


def _checked_model(drop_in: DropIn) -> dict[str, bytes]:
    """The files whose constants and outputs were compared with the original's."""
    contents = {file.name: file.read_bytes() for file in sorted(Path(drop_in.folder.name).iterdir())}
    if digests(contents) != drop_in.digests:
        raise VerificationError(
            f"{drop_in.network.path.name} is no longer the file that was checked; it was not written"
        )
    return contents


def _checked_schedule(result: Optimization, text: bytes) -> bytes:
    """The text of a schedule, from which the orders come back that were executed."""
    read = schedule_orders(parse_schedule(text, "schedule.json"), result.network)
    if not same_orders(read, result.checked_orders):
        raise VerificationError("schedule.json does not hold the orders that were checked; it was not written")
    return text


def stream_picture(result: Optimization) -> StreamPicture | None:
    """Words of the segment that gained most, before and after.

    Parameters
    ----------
    result : Optimization
        With a schedule: the segment's scheduled order is shown. Without one: its order in the rewritten model.

    Returns
    -------
    StreamPicture or None
        None where nothing gained, or where the weights are coded on the wires: words and flips would not belong
        together.
    """
    array, report = result.accelerator, result.report
    gains = [(layer.weights.baseline_flips - layer.weights.optimized_flips) * layer.repeats for layer in report.layers]
    best = max(range(len(gains)), key=gains.__getitem__)
    if gains[best] <= 0 or array.weights.is_coded:
        return None
    layer, orders = result.network.layers[best], dataflow_of(array).segments(result.network.layers[best], array)
    new_layer, new_orders = layer, orders
    if result.schedule:
        new_orders = schedule_orders(result.schedule, result.network)[layer.name]
    elif result.drop_in:
        new_layer = result.drop_in.network.layers[best]
    codes, bits = weight_codes(layer, array.weights)
    new_codes, _ = weight_codes(new_layer, array.weights)
    before = dataflow_of(array).weight_stream(layer, codes, bits, orders[:1], array).words
    after = dataflow_of(array).weight_stream(new_layer, new_codes, bits, new_orders[:1], array).words
    return StreamPicture(layer=layer.name, segment=0, bits=bits, before=before, after=after)
