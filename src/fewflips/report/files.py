"""Write the results of an optimization, all or nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fewflips.errors import OutputError
from fewflips.report.html import render_html
from fewflips.report.picture import StreamPicture
from fewflips.schedule import schedule_orders
from fewflips.streams import weight_codes

if TYPE_CHECKING:
    from fewflips.optimization import Optimization


RESULT_NAMES = ("model.tflite", "model.onnx", "model.onnx.data", "schedule.json", "report.json", "report.html")
"""Files that an optimization may write."""


def save_optimization(result: Optimization, folder: Path) -> tuple[Path, ...]:
    """Write the model, the schedule and the reports of an optimization.

    Parameters
    ----------
    result : Optimization
        What to write.
    folder : Path
        Created where it does not exist.

    Returns
    -------
    tuple of Path
        The files, in the folder.

    Raises
    ------
    OutputError
        If anything cannot be written; then nothing is left behind.
    """
    check_writable(folder, result.network.path)
    staging = _staging_folder(folder)
    try:
        _stage(result, staging)
        files = [folder / file.name for file in sorted(staging.iterdir())]
        _put_in_place(staging, files)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}; choose another --output") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return tuple(files)


def _put_in_place(staging: Path, files: list[Path]) -> None:
    """Move staged files to their places; if one cannot be moved, put back what was there before."""
    former = Path(tempfile.mkdtemp(dir=staging))
    try:
        for file in files:
            if file.exists():
                os.replace(file, former / file.name)
            os.replace(staging / file.name, file)
    except BaseException:  # Ctrl-C, too: where each file is tells how far it came
        for file in files:
            if (former / file.name).exists():
                os.replace(former / file.name, file)
            elif not (staging / file.name).exists():
                file.unlink(missing_ok=True)
        raise


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
    for name in RESULT_NAMES:
        target = folder / name
        if target.is_dir():
            raise OutputError(f"{target}: expected a file or nothing, got a folder; choose another --output")
        if target.exists() and model.exists() and target.samefile(model):
            raise OutputError(f"{target}: is the model itself and would be replaced; choose another --output")
        if name.endswith(".data") and target.exists() and folder.resolve() == model.resolve().parent:
            raise OutputError(f"{target}: may belong to the model and would be replaced; choose another --output")
    existing = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    _staging_folder(existing).rmdir()


def _staging_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".fewflips-", dir=folder))
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}; choose another --output") from error


def _stage(result: Optimization, staging: Path) -> None:
    if result.drop_in:
        for file in Path(result.drop_in.folder.name).iterdir():
            shutil.copyfile(file, staging / file.name)
    if result.schedule:
        (staging / "schedule.json").write_text(result.schedule.model_dump_json() + "\n", encoding="utf-8")
    (staging / "report.json").write_text(result.report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    html = render_html(result.report, stream_picture(result))
    (staging / "report.html").write_text(html, encoding="utf-8")


def stream_picture(result: Optimization) -> StreamPicture | None:
    """Words of the segment that gained most, before and after.

    Parameters
    ----------
    result : Optimization
        With a schedule: the segment's scheduled order is shown. Without one: its order in the rewritten model.

    Returns
    -------
    StreamPicture or None
        None where nothing gained.
    """
    array, report = result.accelerator, result.report
    gains = [(layer.weights.baseline_flips - layer.weights.optimized_flips) * layer.repeats for layer in report.layers]
    best = max(range(len(gains)), key=gains.__getitem__)
    if gains[best] <= 0:
        return None
    layer, orders = result.network.layers[best], array.flow.segments(result.network.layers[best], array)
    new_layer, new_orders = layer, orders
    if result.schedule:
        new_orders = schedule_orders(result.schedule, result.network)[layer.name]
    elif result.drop_in:
        new_layer = result.drop_in.network.layers[best]
    codes, bits = weight_codes(layer, array.weights)
    new_codes, _ = weight_codes(new_layer, array.weights)
    before = array.flow.weight_stream(layer, codes, bits, orders[:1], array).words
    after = array.flow.weight_stream(new_layer, new_codes, bits, new_orders[:1], array).words
    return StreamPicture(layer=layer.name, segment=0, bits=bits, before=before, after=after)
