"""The weights of a layer as a matrix, made of the blocks of a file when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fewflips.network.gguf.elements import BLOCK_TYPES
from fewflips.network.operand import Matrix
from fewflips.network.stored_bytes import StoredBytes

_BLOCKS_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class BlockMatrix:
    """Weights that a file holds in blocks along the reduction.

    Parameters
    ----------
    stored : StoredBytes
        Its bytes: rows of whole blocks.
    type_name : str
        ggml's name of the type, one of `BLOCK_TYPES`.
    block, block_bytes : int
        Weights of a block, and its bytes.
    shape : (int, int)
        N, and K, a multiple of `block`.
    """

    stored: StoredBytes
    type_name: str
    block: int
    block_bytes: int
    shape: tuple[int, int]

    def codes(self) -> Matrix:
        """Read the codes.

        Returns
        -------
        ndarray of int8 or uint8, shape (N, K)
            Not to be written to.
        """
        kind = BLOCK_TYPES[self.type_name]
        return self._of_blocks(kind.codes, self.block, np.int8 if kind.storage.signed else np.uint8)

    def scales(self) -> NDArray[np.float32]:
        """Read the scales of sub-blocks, shape (N, K / weights of a sub-block)."""
        kind = BLOCK_TYPES[self.type_name]
        return self._of_blocks(kind.scales, self.block // kind.sub_block, np.float32)

    def offsets(self) -> NDArray[np.float32]:
        """Read the offsets of sub-blocks, shape (N, K / weights of a sub-block): zeros where the type has none."""
        kind = BLOCK_TYPES[self.type_name]
        if kind.offsets is None:
            return np.zeros((self.shape[0], self.shape[1] // kind.sub_block), np.float32)
        return self._of_blocks(kind.offsets, self.block // kind.sub_block, np.float32)

    def _of_blocks(
        self, function: Callable[[NDArray[np.uint8]], NDArray[Any]], width: int, dtype: DTypeLike
    ) -> NDArray[Any]:
        """What a function gives of each block, as rows of the matrix."""
        blocks = np.frombuffer(self.stored.read(), np.uint8).reshape(-1, self.block_bytes)
        values = np.empty((len(blocks), width), dtype)
        for first in range(0, len(blocks), _BLOCKS_AT_ONCE):
            values[first : first + _BLOCKS_AT_ONCE] = function(blocks[first : first + _BLOCKS_AT_ONCE])
        matrix = values.reshape(self.shape[0], -1)
        matrix.setflags(write=False)
        return matrix
