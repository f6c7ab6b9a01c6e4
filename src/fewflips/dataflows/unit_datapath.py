"""The arithmetic unit that an accelerator needs for a network."""

from __future__ import annotations

from collections.abc import Sequence

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.accesses import CodeWidths
from fewflips.dataflows.scale_blocks import longest_sum
from fewflips.dataflows.unit_words import common_word, sum_bits
from fewflips.datapath.design import Datapath, OperandPort, Word, WordFormat
from fewflips.datapath.kinds import UNIT_KINDS
from fewflips.errors import AcceleratorError, InputError
from fewflips.formats.number_formats import NumberFormat, StorageType
from fewflips.machine import Accelerator
from fewflips.machine.coding_names import BUS_INVERT
from fewflips.network.layer import Layer
from fewflips.streams.codes import operand_width, weight_codes


def network_datapath(layers: Sequence[Layer], array: Accelerator) -> Datapath:
    """The unit that an accelerator needs for some layers, with the width of the widest possible operand."""
    activations = common_word([activation_width(layer, array) for layer in layers], array.activations)
    return unit_datapath(layers, array, activations)


def unit_datapath(layers: Sequence[Layer], array: Accelerator, activations: Word) -> Datapath:
    """The arithmetic unit that makes up an accelerator's array.

    Parameters
    ----------
    layers : sequence of Layer
        Layers that the accelerator computes.
    array : Accelerator
        Its dataflow and forwarding determine the unit: a column for activation-stationary arrays and for
        weight-stationary ones that broadcast, a chain of processing elements for systolic weight-stationary ones,
        a multiply-accumulate unit for output-stationary ones.
    activations : Word
        Result of :func:`common_word`.

    Returns
    -------
    Datapath
        Wide enough for every layer.

    Raises
    ------
    AcceleratorError
        If sums are wider than the accelerator's accumulators, or its unit cannot have the options it asks for.
    """
    weights = common_word(
        [(layer.weight_type, weight_codes(layer, array.weights)[1]) for layer in layers], array.weights
    )
    _check_hold_flags(array)
    check_sign_flags(array)
    options = array.datapath
    if options.activation_converter:
        activations = _converted_word(activations, array)
    kind = dataflow_of(array).unit(array)
    traits = UNIT_KINDS[kind]
    needed = sum_bits(weights, activations, max(longest_sum(layer) for layer in layers))
    accumulator_bits = options.accumulator_bits or needed
    if accumulator_bits < needed:
        raise AcceleratorError(
            f"{array.name}: sums of this network take {needed} bits, datapath.accumulator_bits is "
            f"{options.accumulator_bits}: raise it, or leave it out"
        )
    try:
        return Datapath(
            kind=kind,
            weights=weights,
            activations=activations,
            lanes=array.lanes if traits.many_lanes else 1,
            accumulator_bits=accumulator_bits,
            multiplier=options.multiplier,
            adder=options.adder if traits.has_adder else "tree",
            product_registers=options.product_registers and traits.has_adder,
            partial_sum_input=options.partial_sum_input and traits.takes_partial_sum,
            tree_register=options.tree_register,
            offset_sums=options.offset_sums and (weights.signed or activations.signed),
            sign_flags=options.sign_flags,
            hold_flags=options.hold_flags,
            activation_converter=options.activation_converter,
            zero_gating=options.zero_gating,
            bus_invert_ports=bus_invert_ports(array),
        )
    except InputError as error:
        raise AcceleratorError(f"{array.name}: {error}") from error


def code_widths(layer: Layer, array: Accelerator, datapath: Datapath) -> CodeWidths:
    """Bits of a layer's codes in the memories: as wide as the layer needs, not as the unit's ports.

    Parameters
    ----------
    layer : Layer
        The layer.
    array : Accelerator
        Number formats.
    datapath : Datapath
        The unit, for the width of sums.

    Returns
    -------
    CodeWidths
        Of each operand.
    """
    return CodeWidths(
        weights=_weight_width(layer, array),
        activations=activation_width(layer, array)[1],
        partial_sums=datapath.accumulator_bits,
    )


def bus_invert_ports(array: Accelerator) -> tuple[OperandPort, ...]:
    """Ports whose decoders are part of the unit."""
    if not dataflow_of(array).has_coded_units:
        return ()
    coded: list[OperandPort] = []
    if array.weights.coding == BUS_INVERT:
        coded.append("weights")
    if array.activations.coding == BUS_INVERT:
        coded.append("activations")
    return tuple(coded)


def _converted_word(activations: Word, array: Accelerator) -> Word:
    """What is in front of a converter to sign and magnitude."""
    if activations.format is not WordFormat.SIGN_MAGNITUDE:
        raise AcceleratorError(
            f"{array.name}: datapath.activation_converter: expected activations of format sign-magnitude, got "
            f"{array.activations.format.value}: change the format, or leave activation_converter out"
        )
    return Word(WordFormat.TWOS_COMPLEMENT, activations.bits)


def _check_hold_flags(array: Accelerator) -> None:
    if array.datapath.hold_flags and not (dataflow_of(array).has_hold_flags and array.forwarding == "broadcast"):
        raise AcceleratorError(
            f"{array.name}: datapath.hold_flags: expected weights that stream past held activations and are broadcast "
            f"(dataflow activation-stationary, forwarding broadcast), got {array.dataflow}, {array.forwarding}: leave "
            "hold_flags out"
        )


def check_sign_flags(array: Accelerator) -> None:
    """Raise :class:`AcceleratorError` where a machine is to have sign flags, and its words do not stream with them."""
    if array.datapath.sign_flags and not dataflow_of(array).has_sign_flags:
        raise AcceleratorError(
            f"{array.name}: datapath.sign_flags: expected weights that stream past held activations (dataflow "
            f"activation-stationary), got {array.dataflow}: leave sign_flags out"
        )


def _weight_width(layer: Layer, array: Accelerator) -> int:
    """Width of a layer's weights; they are read only where it depends on their values."""
    if array.weights.format is NumberFormat.AS_STORED:
        return array.weights.bits or layer.weight_type.bits
    return weight_codes(layer, array.weights)[1]


def activation_width(layer: Layer, array: Accelerator) -> tuple[StorageType, int]:
    """Type of a layer's activations, and the width that holds all possible values."""
    storage, operand = layer.activation_type, array.activations
    if storage is None:
        raise AcceleratorError(f"{layer}: its activations are not integers in the file")
    if operand.bits is not None or operand.format is NumberFormat.AS_STORED:
        return storage, operand.bits or storage.bits
    if operand.format is NumberFormat.UNSIGNED:
        return storage, storage.bits
    zero_point = layer.activation_zero_point or 0
    low, high = storage.low - zero_point, storage.high - zero_point
    return storage, operand_width(storage, operand.format, low, high, f"activations of {layer}")
