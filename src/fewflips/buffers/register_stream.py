"""Words that pass through a register file in the order in which they are used, as weights and orders do.

Word after word is written to the next entry, the first after the last one again, and read half a file later. A stream
that repeats goes on with its first word.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.buffers.register_file import FileRows
from fewflips.datapath.register_file import RegisterFile


def memory_words(codes: list[NDArray[np.unsignedinteger]], bits: int, word_bits: int) -> NDArray[np.uint8]:
    """Codes packed into the words of a memory.

    Parameters
    ----------
    codes : list of ndarray of unsigned integers
        Runs, each of which begins at a word of its own; the last axis is read first.
    bits : int
        Width of a code.
    word_bits : int
        Width of a word.

    Returns
    -------
    ndarray of uint8, shape (words, word_bits)
        The bits of each word, the first code's least significant one first; zeros behind the last code of a run.

    Examples
    --------
    >>> memory_words([np.array([1, 2, 3], dtype=np.uint8)], 2, 4).tolist()
    [[1, 0, 0, 1], [1, 1, 0, 0]]
    """
    words = []
    for run in codes:
        flat = run.reshape(-1, 1)
        stream = ((flat >> np.arange(bits, dtype=flat.dtype)) & 1).astype(np.uint8).reshape(-1)
        words.append(np.pad(stream, (0, -len(stream) % word_bits)).reshape(-1, word_bits))
    return np.concatenate(words)


def streamed_rows(file: RegisterFile, words: NDArray[np.uint8], first: int, cycles: int) -> FileRows:
    """A block of cycles, each of which writes a word and reads another.

    Parameters
    ----------
    file : RegisterFile
        Entries and width.
    words : ndarray of uint8, shape (W, bits)
        Bits of each word of the stream, which repeats.
    first : int
        The word that is written in the first cycle.
    cycles : int
        Cycles of the block.

    Returns
    -------
    FileRows
        One block.
    """
    written = first + np.arange(cycles)
    read = written - (file.entries + 1) // 2
    entry = np.arange(file.entries)
    held = written[:, None] - 1 - (written[:, None] - 1 - entry) % file.entries  # the last word of each entry
    every = np.ones(cycles, dtype=np.bool_)
    return FileRows(
        read=every,
        write=every,
        read_address=read % file.entries,
        write_address=written % file.entries,
        write_data=words[written % len(words)],
        contents=words[held % len(words)].reshape(cycles, -1),
        lengths=np.array([cycles], dtype=np.int64),
    )
