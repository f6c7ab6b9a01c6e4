"""Figures of every epoch, as lines of JSON and, if TensorBoard is installed, as its events."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fewflips.errors import OutputError
from fewflips.files.atomic import atomic_write

Figures = dict[str, Any]
"""One epoch: names mapped to strings, numbers, or a dictionary of numbers."""


class Metrics:
    """The epochs of a run, kept in ``metrics.jsonl`` of its folder.

    The file is rewritten with every epoch: it always holds each known epoch exactly once, however a run was stopped and
    resumed.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    epochs : sequence of dict
        Epochs from a checkpoint.
    tensorboard : bool
        Whether to write TensorBoard events if it is installed.
    on_epoch : callable, optional
        Called with each epoch that is added.

    Raises
    ------
    OutputError
        If the files cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        epochs: Sequence[Figures] = (),
        *,
        tensorboard: bool = False,
        on_epoch: Callable[[Figures], None] | None = None,
    ) -> None:
        self.path = folder / "metrics.jsonl"
        self.epochs: list[Figures] = list(epochs)
        self._on_epoch = on_epoch
        self._events = _events(folder / "tensorboard", len(self.epochs)) if tensorboard else None
        self._write()

    def add(self, figures: Figures) -> None:
        """Record an epoch.

        Raises
        ------
        OutputError
            If the files cannot be written.
        """
        self.epochs.append(figures)
        self._write()
        if self._on_epoch is not None:
            self._on_epoch(figures)
        if self._events is None:
            return
        try:
            for name, value in _scalars(figures).items():
                self._events.add_scalar(f"{figures['stage']}/{name}", value, len(self.epochs))
            self._events.flush()
        except OSError as error:
            raise OutputError(f"cannot write TensorBoard events: {error.strerror or error}") from error

    def close(self) -> None:
        """Finish the events."""
        if self._events is not None:
            self._events.close()

    def _write(self) -> None:
        atomic_write(self.path, "".join(json.dumps(epoch) + "\n" for epoch in self.epochs).encode())


def _events(folder: Path, known: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    try:
        return SummaryWriter(folder, purge_step=known + 1)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from error


def _scalars(figures: Figures) -> dict[str, float]:
    scalars: dict[str, float] = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            scalars |= {f"{name}/{part}": number for part, number in value.items()}
        elif isinstance(value, int | float) and name != "epoch":
            scalars[name] = value
    return scalars
