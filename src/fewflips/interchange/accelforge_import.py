"""The array and the buffers of an AccelForge architecture as an accelerator of ours.

AccelForge (T. Andrulis et al., https://accelergy.mit.edu) describes a machine as a hierarchy of memories, spatial
fanouts and a compute node. What corresponds to what:

========================================  =====================================================================
AccelForge                                here
========================================  =====================================================================
fanout that reuses ``output``             lanes: products that are added in one cycle
fanout that reuses ``input``              columns of a weight- or output-stationary array: output channels
fanout that reuses ``weight``             columns of an activation-stationary array, lanes of an output-stationary
                                          one: output pixels
fanout that reuses nothing                copies of the array; one of them is described
memory below the array                    the register of the operand that is held, which names the dataflow
innermost memory above the array          the buffer of each tensor that it keeps
memories above that                       ``beyond``
========================================  =====================================================================

Sizes and energies are those that AccelForge computes, by the architecture's own figures or by the component models that
are installed.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fewflips.errors import AcceleratorError
from fewflips.files.validation import describe_validation_error
from fewflips.interchange.accelforge_package import accelforge, accelforge_errors
from fewflips.machine import Accelerator
from fewflips.machine.buffers import BufferContent, Buffers, MemoryKind

_TENSORS = ("input", "weight", "output")
_HELD = {"weight": "weight-stationary", "input": "activation-stationary", "output": "output-stationary"}
"""The dataflow in which each tensor stays in the array."""
_FANOUTS = {  # the tensor that a fanout reuses, for lanes and for columns
    "weight-stationary": ("output", "input"),
    "activation-stationary": ("output", "weight"),
    "output-stationary": ("weight", "input"),
}
_CONTENTS: dict[str, BufferContent] = {
    "weight": "weights",
    "input": "activations",
    "output": "partial-sums",
}
_LARGEST_KIB = float(1 << 30)
"""Size of a memory that AccelForge calls infinite."""
_BITS_PER_KIB = 8192
_OPERAND_BITS = 8
_SUM_BITS = 32
# One product of each tensor, by the names that architectures use; sizes do not matter to the figures that are read.
_WORKLOAD = f"""
workload:
  bits_per_value: {{input: {_OPERAND_BITS}, weight: {_OPERAND_BITS}, output: {_OPERAND_BITS}}}
  einsums:
  - name: product
    rank_sizes: {{M: 4096, K: 4096, N: 4096}}
    tensor_accesses:
    - {{name: input, projection: [m, k]}}
    - {{name: weight, projection: [k, n]}}
    - {{name: output, projection: [m, n], output: True}}
"""


@dataclass(frozen=True)
class ImportedMachine:
    """A machine that was read from another format.

    Parameters
    ----------
    accelerator : Accelerator
        What could be represented.
    notes : tuple of str
        What could not.
    """

    accelerator: Accelerator
    notes: tuple[str, ...]


def read_accelforge(path: str | Path, dataflow: str | None = None) -> ImportedMachine:
    """Read an AccelForge architecture.

    AccelForge evaluates the expressions in the file as Python: read only files that you trust.

    Parameters
    ----------
    path : str or Path
        YAML with an ``arch`` section.
    dataflow : str, optional
        The dataflow; by default that of the tensor whose register lies next to the compute node.

    Returns
    -------
    ImportedMachine
        The accelerator, and notes on what has no counterpart.

    Raises
    ------
    ToolError
        If AccelForge is not installed.
    AcceleratorError
        If the file cannot be read, or describes no array of a known dataflow.
    """
    if dataflow is not None and dataflow not in _FANOUTS:
        raise AcceleratorError(f"dataflow: expected one of {', '.join(_FANOUTS)}, got {dataflow}")
    nodes = _nodes(Path(path))
    array = [index for index, node in enumerate(nodes) if node.is_array]
    if not array:
        raise AcceleratorError(
            f"{path}: expected a spatial fanout that reuses input, weight or output, got "
            f"{', '.join(node.name for node in nodes)}: an array needs one"
        )
    first, last = array[0], array[-1]
    memories = [node for node in nodes[:first] if node.is_memory]
    inside = [node for node in nodes[first:] if node.is_memory]
    flow = dataflow or _dataflow(inside, path)
    fanouts = _fanouts(nodes[first : last + 1])
    try:
        accelerator = Accelerator(
            name=Path(path).stem[:100],
            description=f"From the AccelForge architecture {Path(path).name}.",
            dataflow=flow,
            lanes=fanouts.get(_FANOUTS[flow][0], 1),
            columns=fanouts.get(_FANOUTS[flow][1], 1),
            buffers=Buffers.model_validate(_buffers(memories, fanouts, path)),
        )
    except ValidationError as error:
        raise AcceleratorError(f"{path}: {describe_validation_error(error)}") from error
    return ImportedMachine(accelerator, _notes(nodes, inside, flow, fanouts))


@dataclass(frozen=True)
class _Node:
    """A node of the hierarchy, evaluated."""

    name: str
    is_memory: bool
    fanouts: tuple[tuple[str, int], ...]  # the tensor that is reused ("" for none), and the size
    tensors: tuple[str, ...] = ()
    size_bits: float = 0.0
    bits_per_read: float = 1.0
    read_j: float = 0.0
    write_j: float = 0.0
    leakage_w: float = 0.0

    @property
    def is_array(self) -> bool:
        return not self.is_memory and any(tensor for tensor, _ in self.fanouts)


def _nodes(path: Path) -> list[_Node]:
    """The enabled nodes from the outermost memory to the compute node."""
    package = accelforge()
    with accelforge_errors(path), tempfile.TemporaryDirectory() as folder:
        workload = Path(folder) / "workload.yaml"
        workload.write_text(_WORKLOAD, encoding="utf-8")
        specification = package.Spec.from_yaml(str(path))
        product = package.Spec.from_yaml(str(workload))
        specification.workload, specification.renames = product.workload, product.renames
        evaluated = specification.calculate_component_costs(einsum_name="product")
        leaves = [leaf for leaf, _ in evaluated.arch.iterate_hierarchically()]
        return [_node(leaf) for leaf in leaves if getattr(leaf, "enabled", True) is not False]


def _node(leaf: Any) -> _Node:
    fanouts = tuple((_reused(spatial), int(spatial.fanout)) for spatial in leaf.spatial)
    if type(leaf).__name__ != "Memory":
        return _Node(leaf.name, False, fanouts)
    actions = {action.name: action for action in leaf.actions}
    return _Node(
        name=leaf.name,
        is_memory=True,
        fanouts=fanouts,
        tensors=_kept(leaf.tensors),
        size_bits=float(leaf.size),
        bits_per_read=float(actions["read"].bits_per_action),
        read_j=float(actions["read"].energy),
        write_j=float(actions["write"].energy)
        * float(actions["read"].bits_per_action / actions["write"].bits_per_action),
        leakage_w=float(leaf.leak_power),
    )


def _reused(spatial: Any) -> str:
    """The one tensor that a fanout reuses; empty for none or several."""
    reused = [name for name in _TENSORS if name in spatial.reuse]
    return reused[0] if len(reused) == 1 else ""


def _kept(tensors: Any) -> tuple[str, ...]:
    """Tensors that a memory keeps; those it may keep where that depends on the mapping."""
    for kept in (tensors.keep, tensors.may_keep):
        if not isinstance(kept, str):
            names = tuple(name for name in _TENSORS if name in kept)
            if names:
                return names
    return _TENSORS


def _fanouts(nodes: Sequence[_Node]) -> dict[str, int]:
    """Product of the fanouts that reuse each tensor; of those that reuse nothing under the empty name."""
    found: dict[str, int] = {}
    for node in nodes:
        for tensor, size in node.fanouts:
            found[tensor] = found.get(tensor, 1) * size
    return found


def _dataflow(inside: Sequence[_Node], path: str | Path) -> str:
    if inside and len(inside[-1].tensors) == 1 and len(inside) == 1:
        return _HELD[inside[-1].tensors[0]]
    held = ", ".join(f"{node.name} ({', '.join(node.tensors)})" for node in inside) or "none"
    raise AcceleratorError(
        f"{path}: expected one memory inside the array, which holds the stationary operand, got {held}: "
        f"say which dataflow it is (--dataflow {'|'.join(_FANOUTS)})"
    )


def _buffers(memories: Sequence[_Node], fanouts: dict[str, int], path: str | Path) -> dict[str, Any]:
    """The buffers' section of a machine: the innermost memory of each tensor, then those beyond."""
    nearest: dict[str, _Node] = {}
    for node in memories:
        nearest.update(dict.fromkeys(node.tensors, node))
    missing = [tensor for tensor in ("weight", "input") if tensor not in nearest]
    if missing:
        raise AcceleratorError(f"{path}: expected a memory above the array for {' and '.join(missing)}, got none")
    words = {
        "weight": fanouts.get("output", 1) * _OPERAND_BITS,
        "input": fanouts.get("output", 1) * _OPERAND_BITS,
        "output": _SUM_BITS,
    }
    section: dict[str, Any] = {
        _CONTENTS[tensor].replace("-", "_"): _memory(node, words[tensor]) for tensor, node in nearest.items()
    }
    section["beyond"] = [
        {"name": node.name, "holds": holds, "kind": _kind(node), **_memory(node, words["weight"])}
        for node in reversed(memories)
        if (holds := [_CONTENTS[tensor] for tensor in node.tensors if nearest[tensor] is not node])
    ]
    _leak_once(section, nearest)
    return section


def _leak_once(section: dict[str, Any], nearest: dict[str, _Node]) -> None:
    """Leave the leakage of a memory that holds several tensors to the first of its entries."""
    counted: set[str] = set()
    entries = [(node.name, section[_CONTENTS[tensor].replace("-", "_")]) for tensor, node in nearest.items()]
    for name, entry in (*entries, *((level["name"], level) for level in section["beyond"])):
        if name in counted:
            entry["leakage_uw"] = 0.0
        counted.add(name)


def _kind(node: _Node) -> MemoryKind:
    return "dram" if math.isinf(node.size_bits) else "sram"


def _memory(node: _Node, word_bits: int) -> dict[str, Any]:
    """One memory's figures, for words of its own width, or of `word_bits` where it is priced by the bit."""
    bits = round(node.bits_per_read) if node.bits_per_read > 1 else word_bits
    scale = bits / node.bits_per_read * 1e12
    return {
        "size_kib": min(node.size_bits / _BITS_PER_KIB, _LARGEST_KIB),
        "word_bits": bits,
        "read_pj": node.read_j * scale,
        "write_pj": node.write_j * scale,
        "leakage_uw": node.leakage_w * 1e6,
    }


def _notes(nodes: Sequence[_Node], inside: Sequence[_Node], flow: str, fanouts: dict[str, int]) -> tuple[str, ...]:
    notes = []
    used = _FANOUTS[flow]
    copies = math.prod(size for node in nodes for tensor, size in node.fanouts if tensor not in used)
    if copies > 1:
        notes.append(f"One of {copies} copies of the array is described.")
    left_out = [node.name for node in inside if {_HELD[tensor] for tensor in node.tensors} != {flow}]
    if left_out:
        notes.append(f"Memories inside the array are left out: {', '.join(left_out)}.")
    if any(math.isinf(node.size_bits) for node in nodes):
        notes.append(f"A memory of infinite size is given {_LARGEST_KIB:g} KiB.")
    notes.append(
        f"Operands of {_OPERAND_BITS} bits and partial sums of {_SUM_BITS} bits are assumed where memories are priced "
        "by the bit."
    )
    return tuple(notes)
