"""The accelerator as a validated object, and the machines that ship with the package."""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationError, field_validator

from fewflips.errors import AcceleratorError
from fewflips.files.input_files import size_of
from fewflips.files.settings_text import LARGEST_BYTES, parse_settings
from fewflips.files.validation import bounded_text, describe_validation_error
from fewflips.formats.number_formats import NumberFormat
from fewflips.machine.buffers import Buffers, Tiling
from fewflips.machine.coding_names import CODINGS, PLAIN
from fewflips.machine.compact import Compact
from fewflips.machine.dataflow_names import DATAFLOWS
from fewflips.near_misses import did_you_mean


class Operand(Compact):
    """How one operand is put on the wires.

    Attributes
    ----------
    format : NumberFormat
        Encoding.
    bits : int or None
        Width of a word, 2 to 16. None: the width in which the file stores the operand, widened if the
        format needs more to hold a layer's values (an unsigned 8-bit weight less its zero point may take 9).
    coding : str
        How codes are put on the wires: ``plain``, ``bus-invert``, or what other packages register. Written only where
        it is not plain.
    """

    left_out: ClassVar[tuple[str, ...]] = ("coding",)

    format: NumberFormat = NumberFormat.AS_STORED
    bits: Annotated[int, Field(ge=2, le=16)] | None = None
    coding: Annotated[str, Field(description="how codes are put on the wires; left out where plain")] = PLAIN

    @property
    def is_coded(self) -> bool:
        """Whether the wires hold something else than the codes."""
        return self.coding != PLAIN

    @field_validator("coding")
    @classmethod
    def _known_coding(cls, name: str) -> str:
        if name not in CODINGS:
            raise ValueError(f"expected one of {', '.join(CODINGS.names)}")
        return name


class DatapathOptions(Compact):
    """How the arithmetic units are built; needed for energy, not for flips.

    Attributes
    ----------
    multiplier : {"synthesizer", "booth"}
        The synthesizer's own choice, or radix-4 Booth recoding of the weight.
    accumulator_bits : int or None
        Width of sums, 8 to 64. None: the narrowest that no layer of the network can overflow.
    adder : {"tree", "one-sum", "bit-planes"}
        Whether an activation-stationary column adds its products by a tree, followed by the partial sum; or all in
        one expression that the synthesizer arranges; or bit by bit of the activations, by ripple-carry adders.
    product_registers : bool
        Whether an activation-stationary column stores its products in registers before adding them.
    partial_sum_input : bool
        Whether a column adds the partial sum of earlier segments.
    tree_register : bool
        Whether an activation-stationary column stores the sum of its products before adding the partial sum, which
        comes a cycle later.
    offset_sums : bool
        Whether partial sums of a column carry an offset that keeps small ones from changing their upper bits.
    sign_flags : bool
        Whether an activation-stationary column subtracts the products of words that stream negated, as a flag beside
        each word says. Written only where it does.
    hold_flags : bool
        Whether a weight that repeats on its lane is neither fetched nor clocked, as a flag beside it says.
    zero_gating : bool
        Whether an activation-stationary column keeps weights from multipliers whose activation is zero.
    activation_converter : bool
        Whether sign-magnitude activations come in two's complement, and are converted in front of their registers.
    """

    left_out: ClassVar[tuple[str, ...]] = ("sign_flags",)

    multiplier: Annotated[
        Literal["synthesizer", "booth"], Field(description="the synthesizer's choice, or radix-4 Booth recoding")
    ] = "synthesizer"
    accumulator_bits: Annotated[
        int | None, Field(ge=8, le=64, description="accumulator width; null for the narrowest that fits the network")
    ] = None
    adder: Annotated[
        Literal["tree", "one-sum", "bit-planes"],
        Field(description="products by a tree, then the partial sum; all at once; bit planes"),
    ] = "tree"
    product_registers: Annotated[bool, Field(description="whether a column stores products before adding them")] = False
    partial_sum_input: Annotated[bool, Field(description="whether a column adds the sum of earlier segments")] = True
    tree_register: Annotated[
        bool, Field(description="whether a column stores the sum of its products before adding the partial sum")
    ] = False
    offset_sums: Annotated[
        bool, Field(description="whether a column's sums carry an offset that spares small ones their sign extension")
    ] = False
    sign_flags: Annotated[
        bool, Field(description="whether a column subtracts the products of words that stream negated")
    ] = False
    hold_flags: Annotated[
        bool, Field(description="whether weights that repeat on their lane are neither fetched nor clocked")
    ] = False
    zero_gating: Annotated[
        bool, Field(description="whether a column keeps weights from multipliers whose activation is zero")
    ] = False
    activation_converter: Annotated[
        bool, Field(description="whether sign-magnitude activations are converted from two's complement in the unit")
    ] = False


Scan = Literal["raster", "serpentine", "blocked", "hilbert"]
"""In which order output pixels stream; see :func:`fewflips.dataflows.scans.scan_order`."""


class Accelerator(Compact):
    """An array of multipliers and the way operands reach it.

    Attributes
    ----------
    name : str
        Name in reports.
    description : str
        One sentence.
    dataflow : str
        ``activation-stationary``, ``weight-stationary``, ``output-stationary``, or one registered by another package.
    lanes : int
        Height of the array: words of the reduction that enter in one cycle (output-stationary: output
        pixels).
    columns : int
        Width of the array: output pixels (activation-stationary) or output channels (weight- and
        output-stationary) computed at once.
    forwarding : {"broadcast", "systolic"}
        ``broadcast``: a word toggles one register, and reaches all units by wire. ``systolic``: a word
        toggles one register in every unit it passes.
    weights, activations : Operand
        Number format, width and coding of each operand.
    datapath : DatapathOptions
        How the arithmetic units are built.
    buffers : Buffers or None
        The memories around the array. None: they are left off the bill. Written only where there are some.
    tiling : Tiling
        What a pass covers before partial sums leave the array. Written only where it is not the default.
    replay : {"forward", "serpentine"}
        Whether what streams repeatedly starts again from its first word, or runs backwards every other time. Written
        only where it is serpentine.
    scan : {"raster", "serpentine", "blocked", "hilbert"}
        In which order output pixels stream past held weights. Written only where it is not the raster.
    """

    left_out: ClassVar[tuple[str, ...]] = ("buffers", "tiling", "replay", "scan")

    name: Annotated[str, Field(min_length=1, max_length=100)]
    description: str = ""
    dataflow: str = "activation-stationary"
    lanes: Annotated[int, Field(ge=1, le=4096)]
    columns: Annotated[int, Field(ge=1, le=4096)]
    forwarding: Literal["broadcast", "systolic"] = "broadcast"
    weights: Operand = Operand()
    activations: Operand = Operand()
    datapath: DatapathOptions = DatapathOptions()
    buffers: Buffers | None = None
    tiling: Tiling = Tiling()
    replay: Annotated[
        Literal["forward", "serpentine"],
        Field(description="how passes repeat: from their first word, or backwards every other time"),
    ] = "forward"
    scan: Annotated[Scan, Field(description="in which order output pixels stream past held weights")] = "raster"

    @field_validator("dataflow")
    @classmethod
    def _known_dataflow(cls, name: str) -> str:
        if name not in DATAFLOWS:
            raise ValueError(f"expected one of {', '.join(DATAFLOWS.names)}")
        return name

    @property
    def is_coded(self) -> bool:
        """Whether any port has a coding other than plain."""
        return self.weights.is_coded or self.activations.is_coded

    @property
    def uncoded(self) -> Accelerator:
        """The same machine with plain ports."""
        plain = {port: getattr(self, port).model_copy(update={"coding": PLAIN}) for port in ("weights", "activations")}
        return self.model_copy(update=plain)

    @property
    def is_tiled(self) -> bool:
        """Whether a pass covers fewer output channels than a layer has, or several output pixels of a column."""
        return self.tiling != Tiling()

    @property
    def turns(self) -> bool:
        """Whether passes run backwards every other time that they repeat."""
        return self.replay == "serpentine"


def load_accelerator(source: str | Path | Accelerator) -> Accelerator:
    """An accelerator by built-in name or from a YAML file.

    Parameters
    ----------
    source : str, Path or Accelerator
        The name of a built-in machine, a path to a YAML file, or an accelerator, which is returned unchanged.

    Returns
    -------
    Accelerator
        The validated machine.

    Raises
    ------
    AcceleratorError
        If there is no such machine or file, or the description is not valid.

    Examples
    --------
    >>> load_accelerator("edge16").lanes
    16
    """
    if isinstance(source, Accelerator):
        return source
    machines = builtin_accelerators()
    if str(source) in machines:
        return machines[str(source)]
    path = Path(source)
    if not os.path.isfile(path):  # False for invalid names, for which Path.is_file raises
        raise AcceleratorError(
            f"accelerator {str(source)!r}: expected one of {', '.join(machines)} or a YAML file, found neither"
            f"{did_you_mean(str(source), machines)}"
        )
    return _parse(_read(path), str(path))


@cache
def builtin_accelerators() -> dict[str, Accelerator]:
    """The machines that ship with the package.

    Returns
    -------
    dict of str to Accelerator
        By name, the default first.

    Examples
    --------
    >>> list(builtin_accelerators())
    ['edge16', 'edge8', 'edge4', 'tpu16', 'os16']
    """
    folder = files("fewflips.machine") / "builtin"
    machines = [
        _parse(entry.read_text(encoding="utf-8"), entry.name)
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    ]
    order = ("edge16", "edge8", "edge4", "tpu16", "os16")
    return {machine.name: machine for machine in sorted(machines, key=lambda machine: order.index(machine.name))}


def _read(path: Path) -> str:
    try:
        if size_of(path) > LARGEST_BYTES:
            raise AcceleratorError(f"{path}: expected a YAML file of at most {LARGEST_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AcceleratorError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def _parse(text: str, source: str) -> Accelerator:
    try:
        content = parse_settings(text, "YAML")
    except ValueError as error:
        raise AcceleratorError(f"{source}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise AcceleratorError(
            f"{source}: expected keys such as name, lanes, columns, dataflow; got {bounded_text(content)}"
        )
    try:
        return Accelerator.model_validate(content)
    except ValidationError as error:
        raise AcceleratorError(f"{source}: {describe_validation_error(error, Accelerator)}") from error
