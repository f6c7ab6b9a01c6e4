"""Whether the words that a schedule negates can be, on its machine."""

from __future__ import annotations

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.sign_flags import NO_SIGN_FLAGS, negatable
from fewflips.dataflows.unit_words import stored_word
from fewflips.errors import InputError
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer
from fewflips.streams.codes import weight_codes


def check_signs(layer: Layer, segments: tuple[Segment, ...], array: Accelerator) -> None:
    """Raise :class:`InputError` unless a machine can stream the words of a layer with their signs.

    Parameters
    ----------
    layer : Layer
        The layer.
    segments : tuple of Segment
        Its passes, which visit every product once.
    array : Accelerator
        The machine.

    Raises
    ------
    InputError
        If there is not one flag for each word, words are negated on a machine without sign flags, or one has no
        negative.
    """
    signed = [segment for segment in segments if segment.negated is not None]
    for segment in signed:
        if len(segment.sign_flags) != len(segment.order):
            raise InputError(
                f"{layer}: expected a sign flag for each of {len(segment.order)} words, got {len(segment.sign_flags)}"
            )
    signed = [segment for segment in signed if segment.sign_flags.any()]
    if not signed:
        return
    if not array.datapath.sign_flags:
        raise InputError(f"{layer}: {NO_SIGN_FLAGS}")
    codes, bits = weight_codes(layer, array.weights)
    word = stored_word(layer.weight_type, array.weights, bits)
    for segment in signed:
        words = dataflow_of(array).segment_words(codes, segment)
        if not negatable(words[segment.sign_flags], word).all():
            raise InputError(
                f"{layer}: a word that is to stream negated has a weight without a negative in {word.bits} bits: "
                "optimize this model again"
            )
