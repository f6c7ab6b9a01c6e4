"""The result of an optimization, and its files, which are written completely or not at all."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from fewflips.dataflows import dataflow_of
from fewflips.errors import OutputError, VerificationError
from fewflips.files.atomic import check_name
from fewflips.files.leftovers import temporary_folder
from fewflips.files.result_folder import STAGING, save_together
from fewflips.formats.codes import Codes
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.optimization.pipeline import Run
from fewflips.optimization.report import SCHEDULE_FILE
from fewflips.optimization.state import State
from fewflips.records.optimization import OptimizeReport
from fewflips.records.schedule import Schedule
from fewflips.report.html.page import render_html
from fewflips.report.html.picture import StreamPicture
from fewflips.schedule.binary import encode_schedule
from fewflips.schedule.file import parse_schedule, same_orders, schedule_orders
from fewflips.streams.codes import weight_codes

COMMAND = "fewflips optimize"


RESULT_NAMES = (
    *("model.tflite", "model.onnx", "model.onnx.data"),
    *("schedule.json", "schedule.bin", "report.json", "report.html"),
)
"""Files that an optimization may write."""


@dataclass(frozen=True, eq=False)
class Optimization:
    """The result of :func:`optimize`.

    Parameters
    ----------
    network : Network
        The original.
    accelerator : Accelerator
        The machine.
    schedule : Schedule or None
        Orders for a compiler.
    report : OptimizeReport
        Figures of every layer.
    run : Run
        The network as stored, and after each step, as it was checked.
    picture : StreamPicture or None
        What ``report.html`` shows of the segment that gained most.
    interrupted : bool
        Whether the user ended searches before they were through.
    """

    network: Network
    accelerator: Accelerator
    schedule: Schedule | None = field(repr=False)
    report: OptimizeReport = field(repr=False)
    run: Run = field(repr=False)
    picture: StreamPicture | None = field(repr=False)
    interrupted: bool = False

    @property
    def drop_in(self) -> State | None:
        """The rewritten model, as it is to be written."""
        return self.run.rewritten.state if self.run.rewritten else None

    @property
    def reduction(self) -> float:
        """Weight flips of one inference, baseline / optimized; infinite if none remain."""
        reduction = self.report.totals.weights.reduction
        return inf if reduction is None else reduction

    def save(self, folder: str | Path, *, binary_schedule: bool = False) -> tuple[Path, ...]:
        """Write ``model.*``, ``schedule.json``, ``report.json`` and ``report.html``.

        Parameters
        ----------
        folder : str or Path
            Created where it does not exist. Files of the same names are replaced, all at the end.
        binary_schedule : bool
            Whether to write the schedule as ``schedule.bin`` as well, in fewer bytes.

        Returns
        -------
        tuple of Path
            The files.

        Raises
        ------
        OutputError
            If they cannot be written; nothing is left half-written.
        """
        return save_optimization(self, Path(folder), binary_schedule=binary_schedule)


def save_optimization(result: Optimization, folder: Path, *, binary_schedule: bool = False) -> tuple[Path, ...]:
    """Write the model, the schedule and the reports of an optimization.

    Parameters
    ----------
    result : Optimization
        What to write.
    folder : Path
        Created where it does not exist. What an earlier optimization wrote there is replaced or removed.
    binary_schedule : bool
        Whether to write ``schedule.bin`` beside ``schedule.json``.

    Returns
    -------
    tuple of Path
        The files, in the folder.

    Raises
    ------
    OutputError
        If anything cannot be written; the folder is then left as it was.
    VerificationError
        If the model or the schedule is no longer the one that was checked.
    """
    check_writable(folder, result.network.path)
    try:
        contents = _contents(result, binary_schedule)
    except OSError as error:
        raise OutputError(f"{folder}: its files cannot be made: {error.strerror or error}") from error
    return save_together(folder, COMMAND, contents)


def check_writable(folder: Path, model: Path) -> None:
    """Check before the long work whether results can be written to a folder.

    Parameters
    ----------
    folder : Path
        May be missing; it is not created.
    model : Path
        The model that is optimized; it must not be among the files that would be replaced.

    Raises
    ------
    OutputError
        If the folder cannot be written to, contains a folder with the name of a result, or the model itself would
        be replaced.
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


def _contents(result: Optimization, binary_schedule: bool) -> dict[str, bytes]:
    contents = {}
    if result.drop_in and result.drop_in.files:
        contents.update(result.drop_in.files.contents())
    if result.schedule and result.run.scheduled:
        schedules = {SCHEDULE_FILE: (result.schedule.model_dump_json() + "\n").encode()}
        if binary_schedule:
            schedules["schedule.bin"] = encode_schedule(result.schedule)
        state = result.run.scheduled.state
        contents.update({name: _checked_schedule(state, name, content) for name, content in schedules.items()})
    contents["report.json"] = (result.report.model_dump_json(indent=1) + "\n").encode()
    contents["report.html"] = render_html(result.report, result.picture).encode()
    return contents


def _checked_schedule(state: State, name: str, content: bytes) -> bytes:
    """The content of a schedule's file, from which the orders come back that were executed."""
    read = schedule_orders(parse_schedule(content, name), state.network)
    if not same_orders(read, state.orders):
        raise VerificationError(f"{name} does not hold the orders that were checked; it was not written")
    return content


def stream_picture(report: OptimizeReport, run: Run) -> StreamPicture | None:
    """Words of the segment that gained most, before and after.

    Parameters
    ----------
    report : OptimizeReport
        Flips of each layer, before and after.
    run : Run
        With a schedule: the segment's scheduled order is shown. Without one: its order in the rewritten model, or
        after the last step.

    Returns
    -------
    StreamPicture or None
        None if no segment gained, or if the weights are coded on the wires: words and flips would not belong together.
    """
    baseline, after = run.baseline.state, run.main.state
    gains = [(layer.weights.baseline_flips - layer.weights.optimized_flips) * layer.repeats for layer in report.layers]
    best = max(range(len(gains)), key=gains.__getitem__)
    if gains[best] <= 0 or baseline.accelerator.weights.is_coded:
        return None
    before, words = _first_segment(baseline, best), _first_segment(after, best)
    return StreamPicture(
        layer=report.layers[best].name, segment=0, bits=before.bits, before=before.words, after=words.words
    )


def _first_segment(state: State, number: int) -> Codes:
    """Words of the first segment of a layer, cycle by cycle."""
    layer, array = state.network.layers[number], state.accelerator
    codes, bits = weight_codes(layer, array.weights)
    return Codes(dataflow_of(array).weight_stream(layer, codes, bits, state.orders[layer.name][:1], array).words, bits)
