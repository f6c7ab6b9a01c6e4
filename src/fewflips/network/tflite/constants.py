"""The constants of a TFLite file: which share their bytes, and how their channels are moved in place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.network.tflite.elements import BITS, pack, unpack
from fewflips.network.tflite.file import FileTensor, TFLiteFile, address
from fewflips.network.tflite.quantization import Quantization


def constant_names(file: TFLiteFile) -> tuple[dict[int, str], frozenset[str]]:
    """Name of each constant, and the constants that must stay as they are.

    Converters store equal bytes once, so that several tensors may share a buffer. Tensors of one shape and
    type that do are one constant, under the first one's name. Where all the bytes are equal (biases of zeros),
    moving them changes nothing, and each keeps its own name. Constants that share bytes in any other way, that
    another subgraph or the network's output reads, or whose layout is not plain, stay as they are.

    Parameters
    ----------
    file : TFLiteFile
        The decoded file.

    Returns
    -------
    names : dict of int to str
        Name by tensor index.
    fixed : frozenset of str
        Names of constants that must not be moved.
    """
    constants = [tensor for tensor in file.tensors if tensor.is_constant]
    names = {tensor.index: tensor.name for tensor in constants}
    elsewhere = {address(data) for data in file.elsewhere}
    fixed = {tensor.name for tensor in constants if not _is_plain(tensor)}
    fixed.update(file.tensors[index].name for index in file.outputs if index in names)
    by_bytes: defaultdict[int, list[FileTensor]] = defaultdict(list)
    for tensor in constants:
        if tensor.data is not None:
            by_bytes[address(tensor.data)].append(tensor)
    for place, sharers in by_bytes.items():
        if _is_uniform(sharers[0]):
            continue
        if place in elsewhere or len({(tensor.shape, tensor.dtype) for tensor in sharers}) > 1:
            fixed.update(tensor.name for tensor in sharers)
            continue
        names.update((tensor.index, sharers[0].name) for tensor in sharers)
        if any(tensor.name in fixed for tensor in sharers):
            fixed.add(sharers[0].name)
    fixed.update(_sharing_quantization(file.tensors, names))
    return names, frozenset(fixed)


def moved(tensor: FileTensor, permutations: Mapping[int, NDArray[np.integer]]) -> Iterator[tuple[Any, Any]]:
    """Give the arrays of a constant that change when its channels move, each with its new content.

    Parameters
    ----------
    tensor : FileTensor
        A constant of plain layout.
    permutations : mapping of int to ndarray of int
        Axis -> permutation p of it: ``new = old.take(p, axis)``.

    Yields
    ------
    (ndarray, ndarray)
        The array in the file, and a new one of the same type and shape: first the elements, then the vectors of
        quantization parameters that lie along a moved axis.
    """
    data, bits = tensor.data, BITS[tensor.dtype]
    if data is None:
        return
    if bits >= 8:
        elements = data.reshape(*tensor.shape, bits // 8)
    else:
        elements = unpack(data, bits, tensor.elements).reshape(tensor.shape)
    for axis, permutation in permutations.items():
        elements = elements.take(permutation, axis=axis)
    yield data, elements.reshape(-1) if bits >= 8 else pack(elements.reshape(-1), bits)
    parameters = tensor.quantization
    along = permutations.get(parameters.axis)
    if along is not None:
        for vector in parameters.vectors:
            if vector.size == along.size:
                yield vector, vector.take(along)


def _is_plain(tensor: FileTensor) -> bool:
    as_described = tensor.dtype in BITS and not tensor.quantization_fault
    return as_described and not tensor.is_sparse and not tensor.is_variable and not tensor.quantization.has_details


def _is_uniform(tensor: FileTensor) -> bool:
    """Whether all bytes are equal, so that reordering elements changes none of them."""
    data = tensor.data
    return data is not None and bool((data == data[0]).all())


def _lengths(parameters: Quantization) -> Iterable[NDArray[Any]]:
    return (vector for vector in parameters.vectors if vector.size > 1)


def _sharing_quantization(tensors: Iterable[FileTensor], names: Mapping[int, str]) -> set[str]:
    """Constants that share a vector of quantization parameters with another tensor."""
    users: defaultdict[int, set[str]] = defaultdict(set)
    for tensor in tensors:
        for vector in _lengths(tensor.quantization):
            users[address(vector)].add(names.get(tensor.index, tensor.name))
    shared = set().union(*(sharers for sharers in users.values() if len(sharers) > 1))
    return shared & set(names.values())
