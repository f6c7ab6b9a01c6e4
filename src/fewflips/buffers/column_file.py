"""The register file that a machine's tiling asks of each column."""

from __future__ import annotations

from fewflips.datapath.register_file import RegisterFile
from fewflips.errors import AcceleratorError, InputError
from fewflips.machine import Accelerator


def column_file(array: Accelerator, accumulator_bits: int) -> RegisterFile | None:
    """The register file of a machine's columns: an entry for each output of a tile.

    Parameters
    ----------
    array : Accelerator
        The machine.
    accumulator_bits : int
        Width of a sum.

    Returns
    -------
    RegisterFile or None
        None where partial sums go to a buffer.

    Raises
    ------
    AcceleratorError
        If its tiles have more sums than a register file holds.
    """
    outputs, pixels = array.tiling.outputs, array.tiling.pixels
    if outputs is None:
        return None
    try:
        return RegisterFile(outputs * pixels, accumulator_bits)
    except InputError as error:
        raise AcceleratorError(f"{array.name}: a tiling of {outputs} outputs and {pixels} pixels: {error}") from error
