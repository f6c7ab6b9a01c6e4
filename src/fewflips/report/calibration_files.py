"""The files of a calibration: data, table, picture."""

from __future__ import annotations

from pathlib import Path

from fewflips.estimation.calibration_files import calibration_text
from fewflips.files.atomic import atomic_write, make_folder
from fewflips.files.result_folder import save_together
from fewflips.records.calibration import Calibration
from fewflips.report.calibration_plot import calibration_plot
from fewflips.report.markdown.calibration import calibration_markdown

NAMES = ("calibration.json", "calibration.md", "calibration.svg")
"""Names of the files written."""


def check_folder(folder: Path) -> None:
    """Raise :class:`OutputError`, before any work, if a folder cannot be created or written to."""
    make_folder(folder)
    probe = folder / ".fewflips-probe"
    atomic_write(probe, b"")
    probe.unlink(missing_ok=True)


def save_calibration(calibration: Calibration, folder: Path) -> tuple[Path, ...]:
    """Write a calibration as data, as a table in Markdown and as a picture.

    Parameters
    ----------
    calibration : Calibration
        What to write.
    folder : Path
        Created if it does not exist.

    Returns
    -------
    tuple of Path
        The files.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    data, table, picture = NAMES
    contents = {
        data: calibration_text(calibration).encode(),
        table: calibration_markdown(calibration).encode(),
        picture: calibration_plot(calibration).encode(),
    }
    return save_together(folder, "fewflips calibrate", contents)
