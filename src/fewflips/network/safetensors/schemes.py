"""How the tools that quantize language models lay out a matrix: GPTQ, AWQ, compressed-tensors.

Each function takes the tensors of one module, checks that their shapes agree, and gives an operand. No weight is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import ModelError
from fewflips.formats.number_formats import StorageType
from fewflips.network.operand import ConstantOperand
from fewflips.network.quantization_values import QuantizationValues, StoredQuantizationValues
from fewflips.network.safetensors.elements import StoredTensor
from fewflips.network.safetensors.matrices import (
    AWQ_BITS,
    AWQ_ORDER,
    AwqCodes,
    GroupValues,
    PackedCodes,
    PlainCodes,
)

Parts = Mapping[str, StoredTensor]
"""Tensors of a module, by the last part of their names."""

_FLOATS = ("F16", "BF16", "F32")
_WORD_BITS = 32
_GPTQ_BITS = (2, 3, 4, 8)


def gptq(module: str, parts: Parts, settings: Mapping[str, Any]) -> ConstantOperand:
    """A matrix as GPTQ's tools store it: ``qweight``, ``qzeros``, ``scales``, and ``g_idx`` where order counts.

    Words hold codes along K, the first in the lowest bits. Zero points are stored less 1, save in the format
    ``gptq_v2``.

    Parameters
    ----------
    module : str
        Its name.
    parts : mapping of str to StoredTensor
        Its tensors.
    settings : mapping
        The model's ``quantization_config``.

    Returns
    -------
    ConstantOperand
        Unsigned codes with the zero points and scales of their groups.

    Raises
    ------
    ModelError
        If the tensors contradict each other, or the settings.
    """
    bits = settings.get("bits")
    if not isinstance(bits, int) or bits not in _GPTQ_BITS:
        raise ModelError(f"module '{module}': expected GPTQ of 2, 3, 4 or 8 bits, got {str(bits)[:20]}")
    words = _part(module, parts, "qweight", ("I32",), 2)
    n, k = words.shape[1], words.shape[0] * _WORD_BITS // bits
    scales = _part(module, parts, "scales", _FLOATS, 2)
    groups = scales.shape[0]
    _expect(module, scales, "scales", (groups, n))
    zeros = _part(module, parts, "qzeros", ("I32",), 2)
    _expect(module, zeros, "qzeros", (groups, -(-n * bits // _WORD_BITS)))
    group_of, block = _groups(module, parts.get("g_idx"), k, groups, settings.get("group_size", -1))
    added = 0 if settings.get("checkpoint_format") == "gptq_v2" else 1
    zero_points = GroupValues(zeros, "columns", bits, bits == 3, n, added, True, group_of, integers=True)
    return ConstantOperand(
        f"{module}.qweight",
        (n, k),
        StorageType(bits, signed=False),
        _values(zero_points, n, k, groups, block),
        PackedCodes(words, bits, k, words_first=True, in_stream=bits == 3),
        _values(GroupValues(scales, groups_first=True, group_of=group_of), n, k, groups, block),
    )


def awq(module: str, parts: Parts, settings: Mapping[str, Any]) -> ConstantOperand:
    """A matrix as AWQ's tools store it (``gemm``): ``qweight``, ``qzeros`` and ``scales``, 4 bits.

    Words hold codes along N, in the order 0, 2, 4, 6, 1, 3, 5, 7. Parameters, result and errors are those of
    :func:`gptq`.
    """
    bits, version = settings.get("bits", settings.get("w_bit")), settings.get("version", "gemm")
    if bits != AWQ_BITS or str(version).lower() != "gemm":
        raise ModelError(
            f"module '{module}': expected AWQ of 4 bits, version gemm, got {str(bits)[:20]} bits, {str(version)[:20]}"
        )
    words = _part(module, parts, "qweight", ("I32",), 2)
    k, n = words.shape[0], words.shape[1] * len(AWQ_ORDER)
    scales = _part(module, parts, "scales", _FLOATS, 2)
    groups = scales.shape[0]
    _expect(module, scales, "scales", (groups, n))
    zeros = _part(module, parts, "qzeros", ("I32",), 2)
    _expect(module, zeros, "qzeros", (groups, words.shape[1]))
    size = settings.get("group_size", settings.get("q_group_size", -1))
    _, block = _groups(module, None, k, groups, size)
    zero_points = GroupValues(zeros, "awq", groups_first=True, integers=True)
    return ConstantOperand(
        f"{module}.qweight",
        (n, k),
        StorageType(bits, signed=False),
        _values(zero_points, n, k, groups, block),
        AwqCodes(words),
        _values(GroupValues(scales, groups_first=True), n, k, groups, block),
    )


def compressed(module: str, parts: Parts, settings: Mapping[str, Any]) -> ConstantOperand:
    """A matrix as compressed-tensors has it: ``weight`` (int8) or ``weight_packed``, and ``weight_scale``.

    Packed codes are unsigned, the integers plus half of their range; plain ones are signed. Zero points, where there
    are any, are those of the integers. Where 32 is no multiple of the width, earlier versions leave the rest of a word
    unused, and later ones have codes go on in the next; the number of words tells. Parameters, result and errors are
    those of :func:`gptq`.
    """
    scales = _part(module, parts, "weight_scale", _FLOATS, None)
    packed = parts.get("weight_packed")
    if packed is None:
        plain = _part(module, parts, "weight", ("I8",), 2)
        n, k = plain.shape
        bits = _bits(module, settings, None)
        storage, half, in_stream = StorageType(bits, signed=True), 0, False
        codes: PackedCodes | PlainCodes = PlainCodes(plain, storage, module)
    else:
        packed = _part(module, parts, "weight_packed", ("I32",), 2)
        n, k = _stated_shape(module, parts)
        bits = _bits(module, settings, (k, packed.shape[1]))
        _expect(module, packed, "weight_packed", (n, packed.shape[1]))
        storage, half = StorageType(bits, signed=False), 1 << (bits - 1)
        in_stream = bool(_is_stream(k, bits, packed.shape[1]))
        codes = PackedCodes(packed, bits, k, in_stream=in_stream)
    groups = scales.shape[1] if len(scales.shape) == 2 else 1
    rows = 1 if len(scales.shape) < 2 else n
    if len(scales.shape) == 2 or scales.shape not in ((), (1,)):
        _expect(module, scales, "weight_scale", (n, groups))
    group_of, block = _groups(module, parts.get("weight_g_idx"), k, groups, _group_size(settings))
    name = f"{module}.weight" if packed is None else f"{module}.weight_packed"
    zero_points = QuantizationValues.per_tensor(np.int32(half))
    zeros = parts.get("weight_zero_point")
    if zeros is not None:
        values = _compressed_zeros(module, zeros, bits, half, in_stream, (n, groups), scales.shape, group_of)
        zero_points = _values(values, rows, k, groups, block)
    scale_values = _values(GroupValues(scales, group_of=group_of), rows, k, groups, block)
    return ConstantOperand(name, (n, k), storage, zero_points, codes, scale_values)


def _compressed_zeros(
    module: str,
    zeros: StoredTensor,
    bits: int,
    half: int,
    in_stream: bool,
    shape: tuple[int, int],
    of_scales: tuple[int, ...],
    group_of: NDArray[np.int32] | None,
) -> GroupValues:
    """Zero points of signed integers: plain, or packed like the codes of output channels that follow each other."""
    n, groups = shape
    if zeros.dtype == "I32":
        _expect(module, zeros, "weight_zero_point", (_words(n, bits, in_stream), groups))
        added = 0 if half else -(1 << (bits - 1))
        return GroupValues(zeros, "rows", bits, in_stream, n, added, group_of=group_of, integers=True)
    if zeros.dtype not in ("I8", "I64"):
        raise ModelError(f"module '{module}': expected a weight_zero_point of integers, got {zeros.dtype}")
    _expect(module, zeros, "weight_zero_point", of_scales)
    return GroupValues(zeros, added=half, group_of=group_of, integers=True)


def _values(source: GroupValues, n: int, k: int, groups: int, block: int) -> QuantizationValues:
    """Values that are read when they are asked for: one a row, one a block, or one an element."""
    if source.group_of is not None:
        return StoredQuantizationValues(source, (n, k))
    if groups == 1:
        return StoredQuantizationValues(source, (n, 1))
    return StoredQuantizationValues(source, (n, groups), 1, block)


def _groups(
    module: str, indices: StoredTensor | None, k: int, groups: int, size: Any
) -> tuple[NDArray[np.int32] | None, int]:
    """Group of each index of the reduction, where groups are not blocks, and the length of a block."""
    block = k if groups == 1 else size
    if not isinstance(block, int) or isinstance(block, bool) or block < 1 or -(-k // block) != groups:
        raise ModelError(
            f"module '{module}': expected a group_size that makes {groups} groups of {k} weights, got {str(size)[:40]}"
        )
    if indices is None:
        return None, block
    if indices.dtype != "I32":
        raise ModelError(f"module '{module}': expected group indices of I32, got {indices.dtype}")
    _expect(module, indices, "group indices", (k,))
    group_of = indices().astype(np.int32)
    if k and (group_of.max() < 0 or np.array_equal(group_of, np.arange(k) // block)):
        return None, block  # -1 throughout: not in use
    if k and not 0 <= group_of.min() <= group_of.max() < groups:
        raise ModelError(
            f"module '{module}': expected group indices from 0 to {groups - 1}, got {group_of.min()} to "
            f"{group_of.max()}"
        )
    return group_of, block


def _weight_settings(settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    groups = settings.get("config_groups")
    if not isinstance(groups, dict):
        return []
    found = [group.get("weights") for group in groups.values() if isinstance(group, dict)]
    return [weights for weights in found if isinstance(weights, dict)]


def _bits(module: str, settings: Mapping[str, Any], words: tuple[int, int] | None) -> int:
    """Width of a code: of those that the model's groups of modules have, the one that fits K and words of a row."""
    widths = [weights.get("num_bits") for weights in _weight_settings(settings)]
    whole = sorted({bits for bits in widths if isinstance(bits, int) and 2 <= bits <= 8})
    if words is not None:
        k, count = words
        whole = [bits for bits in whole if _is_stream(k, bits, count) is not None]
    if not whole:
        raise ModelError(
            f"module '{module}': expected num_bits that fit its weights in config_groups, got {str(widths)[:80]}"
        )
    return whole[-1]


def _words(codes: int, bits: int, in_stream: bool) -> int:
    """Words that hold codes without a gap, or leave the rest of each unused."""
    return -(-codes * bits // _WORD_BITS) if in_stream else -(-codes // (_WORD_BITS // bits))


def _is_stream(codes: int, bits: int, words: int) -> bool | None:
    """Whether so many words hold codes without a gap, or leave the rest of each unused; None where neither fits."""
    if _WORD_BITS % bits and words == _words(codes, bits, True):
        return True
    return False if words == _words(codes, bits, False) else None


def _group_size(settings: Mapping[str, Any]) -> Any:
    stated = [weights.get("group_size") for weights in _weight_settings(settings)]
    sizes = {size for size in stated if isinstance(size, int) and size > 0}
    return sizes.pop() if len(sizes) == 1 else None


def _stated_shape(module: str, parts: Parts) -> tuple[int, int]:
    shape = _part(module, parts, "weight_shape", ("I64", "I32"), 1)
    _expect(module, shape, "weight_shape", (2,))
    n, k = (int(length) for length in shape())
    if n < 1 or k < 1:
        raise ModelError(f"module '{module}': expected a weight_shape from 1 on, got {n} and {k}")
    return n, k


def _part(module: str, parts: Parts, name: str, dtypes: tuple[str, ...], rank: int | None) -> StoredTensor:
    tensor = parts.get(name)
    if tensor is None:
        raise ModelError(f"module '{module}': expected a tensor {name} beside {', '.join(sorted(parts))}, got none")
    if tensor.dtype not in dtypes or (rank is not None and len(tensor.shape) != rank) or not all(tensor.shape):
        raise ModelError(
            f"module '{module}': expected {name} of type {' or '.join(dtypes)} and {rank or 'some'} axes, got "
            f"{tensor.dtype} of shape {list(tensor.shape)}"
        )
    return tensor


def _expect(module: str, tensor: StoredTensor, name: str, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise ModelError(f"module '{module}': expected {name} of shape {list(shape)}, got {list(tensor.shape)}")
