"""What an exploration returns, and the files it writes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fewflips.files.result_folder import save_together
from fewflips.records.exploration import ExplorationReport, Measures
from fewflips.report.html.exploration_page import exploration_page
from fewflips.report.machine_yaml import explored_machine_yaml


@dataclass(frozen=True, eq=False)
class Exploration:
    """The result of :func:`fewflips.explore`.

    Parameters
    ----------
    report : ExplorationReport
        Everything as data.
    interrupted : bool
        Whether Ctrl-C ended it.
    """

    report: ExplorationReport
    interrupted: bool = False

    def save(self, folder: Path) -> tuple[Path, ...]:
        """Write all files, or none.

        Parameters
        ----------
        folder : Path
            Created if it does not exist.

        Returns
        -------
        tuple of Path
            ``exploration.json``, ``exploration.csv`` (all machines), ``exploration.html``, and the YAML of each
            machine on the front, once for each of its dataflows.

        Raises
        ------
        OutputError
            If a file cannot be written.
        """
        contents = {
            "exploration.json": (self.report.model_dump_json(indent=1) + "\n").encode(),
            "exploration.csv": machines_csv(self.report).encode(),
            "exploration.html": exploration_page(self.report).encode(),
            **dict(_machine_files(self.report)),
        }
        return save_together(Path(folder), "explore", contents)


def machines_csv(report: ExplorationReport) -> str:
    """All machines as CSV, one a row.

    Parameters
    ----------
    report : ExplorationReport
        The report.

    Returns
    -------
    str
        With a line of headings: number, the choice of everything that varies, measures, whether it is on the front.
    """
    dimensions = list(dict.fromkeys(name for machine in report.machines for name in machine.choices))
    measures = list(Measures.model_fields)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["index", *dimensions, *measures, "precision", "allowed", "on_front", "separated"])
    for machine in report.machines:
        choices = [machine.choices.get(name, "") for name in dimensions]
        values = [repr(getattr(machine.measures, name)) for name in measures]
        flags = [str(flag).lower() for flag in (machine.allowed, machine.on_front, machine.separated)]
        writer.writerow([machine.index, *choices, *values, machine.precision, *flags])
    return stream.getvalue()


def _machine_files(report: ExplorationReport) -> Iterator[tuple[str, bytes]]:
    for machine in report.front:
        texts = explored_machine_yaml(machine)
        for dataflow, text in texts.items():
            suffix = f"-{dataflow}" if len(texts) > 1 else ""
            yield f"machine-{machine.index}{suffix}.yaml", text.encode()
