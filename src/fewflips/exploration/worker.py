"""What a process needs for its tasks, made once: networks, their activations, units."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from fewflips.datapath.design import Datapath
from fewflips.errors import InputError
from fewflips.execution.activations import run_samples
from fewflips.execution.samples import Samples
from fewflips.files.leftovers import temporary_folder
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.load import load_cells
from fewflips.network import Network, load
from fewflips.simulation.unit import ArithmeticUnit, build_unit

_Made = TypeVar("_Made")


@dataclass(frozen=True, eq=False)
class NetworkContent:
    """A network as a process needs it that may not see this machine's files.

    Parameters
    ----------
    sha256 : str
        Of the model file.
    file : str
        Its name.
    path : str or None
        Where it lies; None where `content` is given.
    content : bytes or None
        The file itself.
    samples : Samples
        Sample inputs.
    samples_digest : str
        Of these.
    """

    sha256: str
    file: str
    path: str | None
    content: bytes | None = field(repr=False)
    samples: Samples = field(repr=False)
    samples_digest: str = ""


@dataclass(frozen=True, eq=False)
class UnitTask:
    """A unit to synthesize."""

    datapath: Datapath
    cells: str | CellLibrary
    step_ps: float


class Recent:
    """The last few of what a process has made, by key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        """What has this key, made if it is not kept any more."""
        made: _Made = self._kept.pop(key) if key in self._kept else make()
        self._kept[key] = made
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return made


_units, _networks, _tensors = Recent(6), Recent(6), Recent(3)


def unit_of(task: UnitTask) -> ArithmeticUnit:
    """The unit of a task, built once in a process."""
    library = task.cells if isinstance(task.cells, CellLibrary) else _builtin_cells(task.cells)
    key = (task.datapath, library.sha256, task.step_ps)
    return _units.get(key, lambda: build_unit(task.datapath, library, step_ps=task.step_ps))


@lru_cache(maxsize=8)
def _builtin_cells(name: str) -> CellLibrary:
    return load_cells(name)


def network_of(content: NetworkContent) -> Network:
    """The network of a content, read once in a process."""
    network, _ = _networks.get(content.sha256, lambda: _load(content))
    return network


def _load(content: NetworkContent) -> tuple[Network, tempfile.TemporaryDirectory[str] | None]:
    """A network, and the folder of its file, which goes when nobody needs it any more."""
    if content.content is None:
        network = load(Path(str(content.path)))
        if network.sha256 != content.sha256:
            raise InputError(f"{content.path}: has changed while it was explored; run it again")
        return network, None
    folder = temporary_folder("fewflips-explore-")
    path = Path(folder.name) / Path(content.file).name
    path.write_bytes(content.content)
    return load(path), folder


def activations_of(content: NetworkContent) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Input tensors of a network's layers for each sample, computed once in a process."""
    network = network_of(content)
    key = (content.sha256, content.samples_digest)
    yield from _tensors.get(key, lambda: list(run_samples(network, content.samples)))
