"""What the memories of a scheduled column hold for one layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.datapath.design import Datapath
from fewflips.datapath.scheduled_column.design import ColumnDesign
from fewflips.datapath.scheduled_column.passes import Pass
from fewflips.errors import InputError


@dataclass(frozen=True, eq=False)
class ColumnCodes:
    """A layer's operands as the unit takes them.

    Parameters
    ----------
    weights : ndarray of uint8 or uint16, shape (words, lanes)
        Codes of a pixel as they stream: in the order of the passes' words, negated where these are; idle lanes hold
        zero.
    activations : ndarray of uint8 or uint16, shape (G, M, K)
        Codes of the rows of each group.
    groups : ndarray of int64, shape (N,)
        Group of each output channel.
    starts : ndarray of int64, shape (N,), or None
        What the sums of each channel start from; 0 by default.
    loads : ndarray of bool, shape (words, lanes), or None
        Which weights are fetched, for a unit with hold flags.
    """

    weights: NDArray[np.unsignedinteger] = field(repr=False)
    activations: NDArray[np.unsignedinteger] = field(repr=False)
    groups: NDArray[np.int64] = field(repr=False)
    starts: NDArray[np.int64] | None = field(default=None, repr=False)
    loads: NDArray[np.bool_] | None = field(default=None, repr=False)

    @property
    def pixels(self) -> int:
        """Rows of the activations."""
        return self.activations.shape[1]

    def rows(self, columns: int) -> int:
        """Pixels of each column."""
        return -(-self.pixels // columns)


@dataclass(frozen=True, eq=False)
class MemoryContent:
    """The words of one memory.

    Parameters
    ----------
    codes : ndarray of integers, shape (depth, fields)
        Fields of each word, the lowest first.
    bits : int
        Width of a field; the word's is `bits` times the number of fields.
    """

    codes: NDArray[np.integer] = field(repr=False)
    bits: int


def memory_contents(
    design: ColumnDesign, passes: Sequence[Pass], codes: ColumnCodes
) -> dict[str, tuple[MemoryContent, ...]]:
    """What each memory holds before the column starts; partial sums are not among them.

    Parameters
    ----------
    design : ColumnDesign
        The column.
    passes : sequence of Pass
        The layer's passes.
    codes : ColumnCodes
        Its operands.

    Returns
    -------
    dict of str to tuple of MemoryContent
        By the memory's name, one for each copy.

    Raises
    ------
    InputError
        If the design has preloaded values or hold flags and the layer has none, or the layer does not fit its memories.
    """
    _check_sizes(design, passes, codes)
    sum_bits = design.datapath.accumulator_bits
    contents = {
        "passes": (_pass_table(design, passes),),
        "indices": (
            MemoryContent(np.concatenate([one.addresses for one in passes])[:, None], design.memory("indices").width),
        ),
        **_weight_contents(design, codes),
        **_flag_contents(design, passes, codes.loads),
        "activations": tuple(
            MemoryContent(words, design.datapath.activations.bits) for words in _activation_words(design, passes, codes)
        ),
    }
    if design.starts:
        if codes.starts is None:
            raise InputError("scheduled column: expected what the sums start from, got nothing; give starts")
        offset = np.int64(design.datapath.sum_offset(0))
        contents["starts"] = (MemoryContent(codes.starts[:, None] + offset, sum_bits),)
    return contents


def result_offsets(datapath: Datapath, passes: Sequence[Pass], n: int) -> NDArray[np.int64]:
    """What the result of each channel has above the sum of its products, where sums carry an offset.

    Parameters
    ----------
    datapath : Datapath
        The unit.
    passes : sequence of Pass
        The layer's passes.
    n : int
        Output channels.

    Returns
    -------
    ndarray of int64, shape (N,)
        Modulo two to the power of `accumulator_bits`; zeros without such an offset.
    """
    channels = np.concatenate([one.channels for one in passes])
    negated = np.concatenate([one.sign_flags for one in passes])
    visits, subtracted = (np.bincount(of_words, minlength=n) for of_words in (channels, channels[negated]))
    offsets = [datapath.sum_offset(int(count), int(less)) for count, less in zip(visits, subtracted, strict=True)]
    return np.array(offsets, dtype=np.uint64).astype(np.int64)


def _check_sizes(design: ColumnDesign, passes: Sequence[Pass], codes: ColumnCodes) -> None:
    needed = {
        "rows": codes.rows(design.columns),
        "channels": len(codes.groups),
        "passes": len(passes),
        "words": sum(len(one.channels) for one in passes),
        "longest_pass": max(len(one.channels) for one in passes),
        "sums": 1 + max(int(one.addresses.max()) for one in passes),
    }
    for what, count in needed.items():
        if count > getattr(design, what):
            raise InputError(
                f"scheduled column: the layer takes {what} = {count}, the column has room for {getattr(design, what)}"
            )


def _pass_table(design: ColumnDesign, passes: Sequence[Pass]) -> MemoryContent:
    words = np.zeros(len(passes), dtype=np.int64)
    for number, one in enumerate(passes):
        fields = {
            "end": int(number == len(passes) - 1),
            "last": int(one.last),
            "first": int(one.first),
            "base": one.base,
            "remaining": len(one.channels) - 1,
        }
        for name, bits in design.pass_fields:
            words[number] = words[number] << bits | fields[name]
    return MemoryContent(words[:, None], design.memory("passes").width)


def _weight_contents(design: ColumnDesign, codes: ColumnCodes) -> dict[str, tuple[MemoryContent, ...]]:
    """All lanes in one memory; with hold flags a memory for each lane, with what it fetches."""
    bits, words, loads = design.datapath.weights.bits, codes.weights, codes.loads
    if words.shape[1] != design.datapath.lanes:
        raise InputError(
            f"scheduled column: expected weights on {design.datapath.lanes} lanes, got shape {words.shape}"
        )
    if not design.datapath.hold_flags:
        return {"weights": (MemoryContent(words, bits),)}
    if loads is None or loads.shape != words.shape:
        found = "nothing" if loads is None else f"shape {loads.shape}"
        raise InputError(f"scheduled column: expected hold flags of shape {words.shape}, got {found}; give loads")
    most = int(loads.sum(axis=0).max())
    if most > design.fetches:
        raise InputError(
            f"scheduled column: a lane fetches {most} weights, the column has room for {design.fetches} a lane"
        )
    lanes = [words[loads[:, lane], lane] for lane in range(design.datapath.lanes)]
    return {"weights": tuple(MemoryContent(fetched[:, None], bits) for fetched in lanes)}


def _flag_contents(
    design: ColumnDesign, passes: Sequence[Pass], loads: NDArray[np.bool_] | None
) -> dict[str, tuple[MemoryContent, ...]]:
    """For each word the flags of its lanes, and above them that of its sign."""
    flags = [] if loads is None or not design.datapath.hold_flags else [loads]
    negated = np.concatenate([one.sign_flags for one in passes])
    if design.datapath.sign_flags:
        flags.append(negated[:, None])
    elif negated.any():
        raise InputError("scheduled column: expected words that do not stream negated, its unit has no sign flags")
    return {"flags": (MemoryContent(np.concatenate(flags, axis=1).astype(np.uint8), 1),)} if flags else {}


def _activation_words(
    design: ColumnDesign, passes: Sequence[Pass], codes: ColumnCodes
) -> list[NDArray[np.unsignedinteger]]:
    """Words of each column in the order of its visits; lanes and pixels that are left over hold zeros."""
    blocks = []
    for one in passes:
        if design.own_activations:
            channels = np.minimum(one.base + np.arange(design.sums), len(codes.groups) - 1)
            blocks.append(codes.activations[codes.groups[channels]][:, :, one.lanes].swapaxes(0, 1))
        else:
            group = codes.groups[one.channels[0]]
            blocks.append(codes.activations[group][:, None, one.lanes])
    rows = codes.rows(design.columns)
    missing = rows * design.columns - codes.pixels
    padded = [np.pad(_padded(block, design.datapath.lanes), [(0, missing), (0, 0), (0, 0)]) for block in blocks]
    tiles = range(0, rows, design.tile_rows)
    return [
        np.concatenate(
            [
                block[column :: design.columns][tile : tile + design.tile_rows].reshape(-1, design.datapath.lanes)
                for tile in tiles
                for block in padded
            ]
        )
        for column in range(design.columns)
    ]


def _padded(words: NDArray[np.unsignedinteger], lanes: int) -> NDArray[np.unsignedinteger]:
    """Zeros on the lanes that a pass leaves idle; zero is the code of zero in every format."""
    idle = lanes - words.shape[-1]
    return np.pad(words, [(0, 0)] * (words.ndim - 1) + [(0, idle)])
