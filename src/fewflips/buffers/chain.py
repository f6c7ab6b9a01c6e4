"""The memories that an operand passes through on its way to the array, and the words that it takes in each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from fewflips.dataflows.accesses import Accesses, Runs, Traffic
from fewflips.machine.buffers import Buffer, BufferContent, Buffers

OPERANDS: tuple[BufferContent, ...] = ("weights", "activations", "index-table")
"""What the array only reads."""


@dataclass(frozen=True)
class Memory:
    """A memory by its name in the machine.

    Parameters
    ----------
    label : str
        ``weights``, ``activations``, ``partial_sums`` or ``index_table``, or ``beyond.`` and the name of a level.
    buffer : Buffer
        Its size, width and figures.
    """

    label: str
    buffer: Buffer

    @property
    def is_beyond(self) -> bool:
        """Whether it is a level beyond the buffers."""
        return self.label.startswith("beyond.")


Chain = tuple[Memory, ...]
"""The buffer of an operand and the memories behind it, nearest first."""


@dataclass(frozen=True)
class Transfer:
    """Words of one memory.

    Parameters
    ----------
    memory : Memory
        The memory.
    content : {"weights", "activations", "partial-sums", "index-table"}
        Whose words.
    reads, writes : int
        Words of the memory.
    """

    memory: Memory
    content: BufferContent
    reads: int
    writes: int


def chains(buffers: Buffers) -> dict[BufferContent, Chain]:
    """The memories of each operand; an operand without a buffer is left out."""
    own: dict[BufferContent, Buffer | None] = {
        "weights": buffers.weights,
        "activations": buffers.activations,
        "partial-sums": buffers.partial_sums,
        "index-table": buffers.index_table,
    }
    return {
        content: (
            Memory(content.replace("-", "_"), buffer),
            *(Memory(f"beyond.{level.name}", level) for level in buffers.beyond if content in level.holds),
        )
        for content, buffer in own.items()
        if buffer is not None
    }


def memories(buffers: Buffers) -> tuple[Memory, ...]:
    """All memories of a machine, each once."""
    own = tuple(chain[0] for chain in chains(buffers).values())
    return own + tuple(Memory(f"beyond.{level.name}", level) for level in buffers.beyond)


def traffic_of(accesses: Accesses, content: BufferContent) -> Traffic:
    """What an array reads and writes of an operand."""
    found: dict[BufferContent, Traffic] = {
        "weights": accesses.weights,
        "activations": accesses.activations,
        "partial-sums": accesses.partial_sums,
        "index-table": accesses.index_table,
    }
    return found[content]


def transfers(accesses: Accesses, buffers: Buffers) -> Iterator[Transfer]:
    """Words of every memory in one inference of a layer.

    Parameters
    ----------
    accesses : Accesses
        What the array reads and writes.
    buffers : Buffers
        The memories.

    Yields
    ------
    Transfer
        A memory occurs several times.
    """
    found = chains(buffers)
    for content in OPERANDS:
        if content in found:
            yield from _operand(content, found[content], traffic_of(accesses, content))
    yield from _results(found["activations"], accesses.results)
    if "partial-sums" in found:
        yield from _sums(found["partial-sums"], accesses.partial_sums)


def _operand(content: BufferContent, chain: Chain, traffic: Traffic) -> Iterator[Transfer]:
    """The array reads the buffer; each memory is filled from the one behind it."""
    yield _moved(content, traffic, chain[0], read=traffic.read)
    held = 0
    for near, far in pairwise(chain):
        held = max(held, near.buffer.capacity_bits)
        asked = traffic.read_behind(held)
        yield _moved(content, traffic, far, read=asked)
        yield _moved(content, traffic, near, written=asked)


def _results(chain: Chain, traffic: Traffic) -> Iterator[Transfer]:
    """The array writes the buffer, from where results go through all memories to the last one."""
    yield _moved("activations", traffic, chain[0], written=traffic.written)
    for near, far in pairwise(chain):
        yield _moved("activations", traffic, near, read=traffic.written)
        yield _moved("activations", traffic, far, written=traffic.written)


def _sums(chain: Chain, traffic: Traffic) -> Iterator[Transfer]:
    """Partial sums stay in the nearest memory that holds all that are not complete; those before it pass them on."""
    yield _moved("partial-sums", traffic, chain[0], read=traffic.read, written=traffic.written)
    for near, far in pairwise(chain):
        if traffic.live * traffic.code_bits <= near.buffer.capacity_bits:
            return
        yield _moved("partial-sums", traffic, near, read=traffic.written, written=traffic.read)
        yield _moved("partial-sums", traffic, far, read=traffic.read, written=traffic.written)


def _moved(
    content: BufferContent,
    traffic: Traffic,
    memory: Memory,
    read: tuple[Runs, ...] = (),
    written: tuple[Runs, ...] = (),
) -> Transfer:
    reads, writes = (traffic.words(runs, memory.buffer.word_bits) for runs in (read, written))
    return Transfer(memory, content, reads, writes)
