"""Files of a model that a step has rewritten, kept until they are checked and saved."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fewflips.errors import ModelError, VerificationError
from fewflips.files.leftovers import temporary_folder
from fewflips.files.result_folder import digests
from fewflips.network import Network, load


@dataclass(frozen=True, eq=False)
class ModelFiles:
    """A model file, and the files that belong to it.

    Parameters
    ----------
    name : str
        The model file's name.
    folder : TemporaryDirectory
        Where they lie; it is removed with this object.
    digests : dict of str to str
        SHA-256 of each file as it was read back.
    """

    name: str
    folder: tempfile.TemporaryDirectory[str] = field(repr=False)
    digests: dict[str, str] = field(repr=False)

    def contents(self) -> dict[str, bytes]:
        """The files that were checked.

        Returns
        -------
        dict of str to bytes
            Content of each file, by its name.

        Raises
        ------
        VerificationError
            If a file has changed since it was read back.
        """
        contents = _contents(Path(self.folder.name))
        if digests(contents) != self.digests:
            raise VerificationError(f"{self.name} is no longer the file that was checked; it was not written")
        return contents


def write_model(file_format: str, write: Callable[[Path], object]) -> tuple[Network, ModelFiles]:
    """Write a model to a temporary folder and read it back.

    Parameters
    ----------
    file_format : {"tflite", "onnx"}
        Format of the file.
    write : callable
        Writes the model to the path that it is given, and nothing outside that path's folder.

    Returns
    -------
    network : Network
        As read back from the new file.
    files : ModelFiles
        The new file, and those that belong to it.

    Raises
    ------
    VerificationError
        If the file cannot be read back.
    """
    folder = temporary_folder("fewflips-model-")
    path = Path(folder.name) / f"model.{file_format}"
    write(path)
    checked = digests(_contents(path.parent))
    return _read_back(path), ModelFiles(path.name, folder, checked)


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def _read_back(path: Path) -> Network:
    try:
        return load(path)
    except ModelError as error:
        raise VerificationError(f"{path.name} cannot be read back: {error}; it was not written") from error
