"""A model opened in its format's runtime, and the runtimes by format: the package's own and those that others add."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import FewflipsError, InputError
from fewflips.registry import Registry


@dataclass(frozen=True)
class InputSpec:
    """One input of a model.

    Parameters
    ----------
    name : str
        Name in the runtime.
    shape : tuple of int
        Symbolic axes are 1.
    dtype : numpy.dtype
        Type of its elements.
    scale : float or None
        Real value of one step; None if it is not quantized.
    zero_point : int or None
        The integer that represents zero; None if it is not quantized.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float | None = None
    zero_point: int | None = None


def check_feeds(path: Path, inputs: Sequence[InputSpec], feeds: Mapping[str, NDArray[Any]]) -> None:
    """Raise :class:`InputError` unless there is a value of the right shape and type for every input of a model."""
    for spec in inputs:
        value = feeds.get(spec.name)
        if value is None:
            raise InputError(f"{path}: expected a value for the input '{spec.name}', got {sorted(feeds)}")
        if value.shape != spec.shape or value.dtype != spec.dtype:
            raise InputError(
                f"{path}: input '{spec.name}': expected shape {spec.shape} and type {spec.dtype}, got "
                f"{value.shape} and {value.dtype}"
            )


class Session(Protocol):
    """A model that a runtime has opened.

    Attributes
    ----------
    inputs : tuple of InputSpec
        The model's inputs.
    outputs : tuple of str
        Names of its outputs.
    """

    inputs: tuple[InputSpec, ...]
    outputs: tuple[str, ...]

    def run(self, feeds: Mapping[str, NDArray[Any]], fetch: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Values of the tensors in `fetch` for the inputs in `feeds`."""
        ...


class ModelRuntime(ABC):
    """The runtime of a format of model files; `docs/readers.md` shows how to add one.

    A subclass is registered by :func:`register_runtime`, or by an entry point of the group ``fewflips.runtimes`` with
    the format's name. Its module is imported in this process, and again in the worker process in which models run:
    whatever may crash is to be imported by the methods. Objects have no state but what can be pickled.

    Attributes
    ----------
    file_format : str
        The name of the format's reader.
    name : str
        What messages call the runtime.
    """

    file_format: ClassVar[str]
    name: ClassVar[str]

    @abstractmethod
    def open(self, path: Path, fetch: Sequence[str]) -> Session:
        """Open a model; called in the worker process.

        Parameters
        ----------
        path : Path
            The file.
        fetch : sequence of str
            Names of intermediate tensors that runs will request.

        Returns
        -------
        Session
            Ready to run. Errors of any class may be raised: they are told with the runtime's name.
        """

    def executes_in_integers(self, path: Path) -> bool:
        """Whether all quantized products of a model are computed in integers; called in the worker process.

        Integer sums do not depend on the order of their terms, so that the outputs of a model with its channels in
        another order have to be equal; float ones may differ in their last bits.

        Parameters
        ----------
        path : Path
            The file.

        Returns
        -------
        bool
            False unless a subclass knows better.
        """
        return False


RuntimeClass = TypeVar("RuntimeClass", bound="type[ModelRuntime]")

RUNTIMES: Registry[Any] = Registry(
    "fewflips.runtimes",
    {
        "tflite": "fewflips.execution.own_runtimes:LiteRT",
        "onnx": "fewflips.execution.own_runtimes:OnnxRuntime",
    },
)
"""By the name of the format."""


def runtime_of(file_format: str) -> ModelRuntime | None:
    """The runtime of a format.

    Parameters
    ----------
    file_format : str
        The name of the format's reader.

    Returns
    -------
    ModelRuntime or None
        None where the format has none: its models are counted and scheduled, but not run.

    Raises
    ------
    FewflipsError
        If the package that announces it cannot be imported, or gives something else than a runtime.
    """
    if file_format not in RUNTIMES:
        return None
    runtime = RUNTIMES[file_format]
    if not isinstance(runtime, ModelRuntime):
        raise FewflipsError(f"runtime {file_format}: expected a fewflips.ModelRuntime, got {type(runtime).__name__}")
    return runtime


def register_runtime(runtime: RuntimeClass) -> RuntimeClass:
    """Add a format's runtime, as a decorator of its class.

    Parameters
    ----------
    runtime : type
        A subclass of ModelRuntime with a `file_format` and a `name`, in a module that can be imported.

    Returns
    -------
    type
        The class as it is.

    Raises
    ------
    FewflipsError
        If the package itself has a runtime for the format, or the class is defined in a script: the worker process
        could not import it.

    Examples
    --------
    >>> @fewflips.register_runtime
    ... class OwnRuntime(fewflips.ModelRuntime):
    ...     file_format = "renamed"
    ...     name = "Own runtime"
    ...
    ...     def open(self, path, fetch):
    ...         raise NotImplementedError("gives a session of your runtime")
    """
    if runtime.__module__ == "__main__":
        raise FewflipsError(
            f"runtime {runtime.__qualname__}: expected a class in a module of its own, got one in the script "
            f"{sys.argv[0]!r}, which the process that runs models does not import; move it to a module"
        )
    return RUNTIMES.register(runtime.file_format)(runtime)
