"""The words of an accelerator's arithmetic units for a network, and a layer's codes at that width.

One machine computes all layers, so its units are as wide as the widest layer needs; narrower codes are extended, as in
hardware.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.formats.number_formats import NumberFormat, StorageType
from fewflips.machine.accelerator import Operand


def sum_bits(weights: Word, activations: Word, terms: int) -> int:
    """Width of the narrowest integer in which no sum of products overflows.

    Parameters
    ----------
    weights, activations : Word
        Factors.
    terms : int
        Products in a sum.

    Returns
    -------
    int
        Bits including the sign; at least the width of a product.

    Examples
    --------
    >>> byte = Word(WordFormat.UNSIGNED, 8)
    >>> sum_bits(byte, byte, 16)
    20
    """
    product = Datapath("multiplier", weights, activations)
    return max(product.bits_for_products(terms), product.product_bits, 8)


def stored_word(storage: StorageType, operand: Operand, bits: int) -> Word:
    """Format and width of the codes of one layer."""
    if operand.format is NumberFormat.AS_STORED:
        return Word(WordFormat.TWOS_COMPLEMENT if storage.signed else WordFormat.UNSIGNED, bits)
    return Word(WordFormat(operand.format.value), bits)


def widen(codes: NDArray[np.unsignedinteger], narrow: Word, wide: Word) -> NDArray[np.unsignedinteger]:
    """Codes of the same values in a wider word.

    Parameters
    ----------
    codes : ndarray of uint8 or uint16, any shape
        Codes in `narrow`.
    narrow, wide : Word
        Words of the same format, or `narrow` unsigned and `wide` two's complement.

    Returns
    -------
    ndarray of uint8 (up to 8 bits) or uint16, same shape
        Zero-, sign- or magnitude-extended.

    Examples
    --------
    >>> byte, wider = Word(WordFormat.TWOS_COMPLEMENT, 8), Word(WordFormat.TWOS_COMPLEMENT, 9)
    >>> widen(np.array([255, 1], dtype=np.uint8), byte, wider).tolist()
    [511, 1]
    """
    dtype = np.uint8 if wide.bits <= 8 else np.uint16
    if narrow == wide:
        return codes.astype(dtype, copy=False)
    wider = codes.astype(np.uint16)
    top = np.uint16(1 << (narrow.bits - 1))
    if narrow.format is WordFormat.TWOS_COMPLEMENT:
        extension = ((1 << wide.bits) - 1) ^ ((1 << narrow.bits) - 1)
        wider = np.where(wider & top, wider | np.uint16(extension), wider)
    elif narrow.format is WordFormat.SIGN_MAGNITUDE:
        wider = np.where(wider & top, (wider ^ top) | np.uint16(1 << (wide.bits - 1)), wider)
    return wider.astype(dtype)


def common_word(found: Sequence[tuple[StorageType, int]], operand: Operand) -> Word:
    """The word that holds an operand of all layers.

    Parameters
    ----------
    found : sequence of (StorageType, int)
        Type and code width of each layer's operand.
    operand : Operand
        The accelerator's format.

    Returns
    -------
    Word
        Format and width.
    """
    words = {stored_word(storage, operand, bits) for storage, bits in found}
    formats = {word.format for word in words}
    if len(formats) == 1:
        return Word(formats.pop(), max(word.bits for word in words))
    # as stored, signed in some layers and unsigned in others: signed units, with one more bit for the latter
    bits = max(word.bits + (not word.signed) for word in words)
    return Word(WordFormat.TWOS_COMPLEMENT, bits)
