"""A machine and a network's simulated energies as an AccelForge specification, or as a component for hwcomponents.

In both, the energy of the compute action depends on values: each layer has its own, simulated with the network's
operands, where component libraries give one figure for all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fewflips.buffers import memory_energy
from fewflips.dataflows import dataflow_of
from fewflips.errors import InputError
from fewflips.files.input_files import read_plain
from fewflips.files.validation import describe_validation_error
from fewflips.machine import Accelerator
from fewflips.machine.buffers import Buffer, BufferContent
from fewflips.network import Network
from fewflips.network.layer import Layer
from fewflips.records.energy import EnergyReport, LayerEnergy
from fewflips.version import __version__

_J_PER_PJ = 1e-12
_W_PER_UW = 1e-6
_M2_PER_UM2 = 1e-12
_HZ_PER_MHZ = 1e6
_BITS_PER_KIB = 8192
_TENSORS: dict[BufferContent, str] = {"weights": "weight", "activations": "input", "partial-sums": "output"}
_ENERGIES = "joules_per_mac"
_HELD_AND_FANOUTS = {  # the tensor that is held, those that lanes and columns reuse
    "weight-stationary": ("weight", "output", "input"),
    "activation-stationary": ("input", "output", "weight"),
    "output-stationary": ("output", "weight", "input"),
}


@dataclass(frozen=True)
class ComponentFigures:
    """What one multiplier's share of the datapath costs.

    Parameters
    ----------
    joules_per_mac : dict of str to float
        Energy of a multiply-accumulate with the operands of each layer, clock included, leakage not.
    leakage_w : float
        Leakage power.
    area_m2 : float
        Area.
    clock_hz : float
        Clock frequency.
    """

    joules_per_mac: dict[str, float]
    leakage_w: float
    area_m2: float
    clock_hz: float


def read_energy_report(path: str | Path) -> EnergyReport:
    """The output of ``fewflips energy --json`` from a file.

    Raises
    ------
    InputError
        If it is not such a file.
    """
    try:
        return EnergyReport.model_validate_json(read_plain(path))
    except ValidationError as error:
        raise InputError(
            f"{path}: expected the output of `fewflips energy --json`: {describe_validation_error(error)}"
        ) from error


def component_figures(report: EnergyReport, network: Network) -> ComponentFigures:
    """The figures of a compute component, from a simulated network.

    Parameters
    ----------
    report : EnergyReport
        The energies.
    network : Network
        The network that they belong to.

    Returns
    -------
    ComponentFigures
        Of one multiplier with its share of everything else in the unit.

    Raises
    ------
    InputError
        If the report belongs to another model.
    """
    _check_model(report, network)
    machine = report.accelerator
    multipliers = machine.lanes * machine.columns
    layers = {layer.name: layer for layer in network.layers}
    clock_hz = report.settings.clock_mhz * _HZ_PER_MHZ
    flow = dataflow_of(machine)
    cycles = sum(
        flow.unit_work(layers[energy.name], flow.segments(layers[energy.name], machine), machine).array_cycles
        for energy in report.layers
    )
    return ComponentFigures(
        joules_per_mac={energy.name: _joules_per_mac(energy) for energy in (*report.layers, report.total)},
        leakage_w=report.total.inertial.leakage_pj * _J_PER_PJ * clock_hz / cycles / multipliers,
        area_m2=report.datapath.area_um2 * report.datapath.units * _M2_PER_UM2 / multipliers,
        clock_hz=clock_hz,
    )


def accelforge_specification(report: EnergyReport, network: Network) -> str:
    """The machine, the network's layers and their energies as one AccelForge file.

    Each layer is an einsum of its matrix product, with tensors renamed ``input``, ``weight`` and ``output``. The energy
    of the compute action is looked up by the layer's weight tensor.

    Parameters
    ----------
    report : EnergyReport
        Result of :func:`fewflips.energy`.
    network : Network
        The network that it belongs to.

    Returns
    -------
    str
        YAML for ``accelforge.Spec.from_yaml``.

    Raises
    ------
    InputError
        If the report belongs to another model, or the dataflow has no counterpart.
    """
    figures = component_figures(report, network)
    layers = {layer.name: layer for layer in network.layers}
    simulated = [layers[energy.name] for energy in report.layers]
    names = [_einsum_name(number, layer) for number, layer in enumerate(simulated)]
    energies = [
        [f"weight_{name}", figures.joules_per_mac[layer.name]] for name, layer in zip(names, simulated, strict=True)
    ]
    content = {
        "arch": {"nodes": [*_memories(report, figures), *fanouts(report.accelerator), _compute(figures)]},
        "variables": {_ENERGIES: energies},
        "workload": {
            "bits_per_value": {"All": 8},
            "einsums": [_einsum(name, layer) for name, layer in zip(names, simulated, strict=True)],
        },
    }
    return _header(report) + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120)


def hwcomponents_component(report: EnergyReport, network: Network) -> str:
    """The datapath as a Python module with a component model for hwcomponents.

    Parameters
    ----------
    report : EnergyReport
        Result of :func:`fewflips.energy`.
    network : Network
        The network that it belongs to.

    Returns
    -------
    str
        Python text; its class ``FewflipsDatapath`` takes ``layer``, a layer's name or ``total``, and has the action
        ``compute``.

    Raises
    ------
    InputError
        If the report belongs to another model.
    """
    figures = component_figures(report, network)
    energies = "".join(f"    {name!a}: {joules!r},\n" for name, joules in figures.joules_per_mac.items())
    return _COMPONENT.format(
        header=_header(report),
        energies=energies,
        area=figures.area_m2,
        leakage=figures.leakage_w,
        clock=figures.clock_hz,
    )


_COMPONENT = '''{header}
from hwcomponents import ActionCost, ComponentModel, action

_JOULES_PER_MAC = {{
{energies}}}


class FewflipsDatapath(ComponentModel):
    """One multiplier with its share of the unit around it; `layer` is a layer's name, or "total" for the mean."""

    component_name = ["FewflipsDatapath", "fewflips_datapath"]
    priority = 0.9

    def __init__(self, layer: str = "total"):
        super().__init__(area={area!r}, leak_power={leakage!r})
        if layer not in _JOULES_PER_MAC:
            raise ValueError(f"layer: expected one of {{', '.join(_JOULES_PER_MAC)}}, got {{layer}}")
        self.layer = layer

    @action
    def compute(self) -> ActionCost:
        """Energy, latency and throughput of one multiply-accumulate."""
        return ActionCost(energy=_JOULES_PER_MAC[self.layer], latency=1 / {clock!r}, throughput={clock!r})
'''


def _header(report: EnergyReport) -> str:
    return (
        f"# Written by fewflips {__version__}: {_plain(report.model.file)} on {_plain(report.accelerator.name)}, cells "
        f"{_plain(report.cells.name)},\n# simulated at gate level with the network's operands, glitches included.\n"
    )


def _plain(text: str) -> str:
    """Text that ends no comment and starts no template."""
    return re.sub(r"[^\w .()+-]", "_", text)


def _check_model(report: EnergyReport, network: Network) -> None:
    if report.model.sha256 != network.sha256:
        raise InputError(
            f"{network.path}: expected the model of the energy report, {report.model.file}: give that file, or "
            "simulate this one"
        )


def _joules_per_mac(energy: LayerEnergy) -> float:
    return (energy.inertial.data_pj + energy.inertial.clock_pj) / energy.macs * _J_PER_PJ


class _Node(dict[str, Any]):
    """A mapping with the tag of a kind of node."""

    def __init__(self, tag: str, content: dict[str, Any]) -> None:
        super().__init__(content)
        self.tag = tag


class _Dumper(yaml.SafeDumper):
    """Writes nodes with their tags."""


_Dumper.add_representer(_Node, lambda dumper, node: dumper.represent_mapping(f"!{node.tag}", dict(node)))


def _memories(report: EnergyReport, figures: ComponentFigures) -> list[_Node]:
    """Memories, outermost first; without any in the machine, an outer memory that costs nothing."""
    buffers = report.accelerator.buffers
    if buffers is None:
        free = {"energy": 0, "bits_per_action": 8, "throughput": "inf"}
        return [
            _Node(
                "Memory",
                {
                    "name": "MainMemory",
                    "size": "inf",
                    "leak_power": 0,
                    "area": 0,
                    "tensors": {"keep": "All"},
                    "actions": [{"name": "read", **free}, {"name": "write", **free}],
                },
            )
        ]
    nodes = [_memory(level.name, level, _tensors(level.holds), figures) for level in reversed(buffers.beyond)]
    nearest: dict[BufferContent, Buffer | None] = {
        "weights": buffers.weights,
        "activations": buffers.activations,
        "partial-sums": buffers.partial_sums,
    }
    for content, buffer in nearest.items():
        if buffer is not None:
            nodes.append(_memory(f"{content} buffer", buffer, _tensors((content,)), figures))
    return nodes


def _tensors(held: Sequence[BufferContent]) -> list[str]:
    """Names of tensors in AccelForge, which knows no index table."""
    return [_TENSORS[content] for content in held if content in _TENSORS]


def _memory(name: str, buffer: Buffer, tensors: Sequence[str], figures: ComponentFigures) -> _Node:
    found = memory_energy(buffer, name)
    words = {"bits_per_action": buffer.word_bits, "throughput": figures.clock_hz}
    return _Node(
        "Memory",
        {
            "name": _identifier(name.title()),
            "size": buffer.size_kib * _BITS_PER_KIB,
            "leak_power": (found.leakage_uw or 0.0) * _W_PER_UW,
            "area": 0,
            "tensors": {"keep": " | ".join(tensors)},
            "actions": [
                {"name": "read", "energy": found.read_pj * _J_PER_PJ, **words},
                {"name": "write", "energy": found.write_pj * _J_PER_PJ, **words},
            ],
        },
    )


def fanouts(machine: Accelerator) -> list[_Node]:
    """Fanouts of the array, and the register of the operand that is held, whose energy is in the compute action.

    Raises
    ------
    InputError
        If the dataflow has no counterpart.
    """
    if machine.dataflow not in _HELD_AND_FANOUTS:
        raise InputError(
            f"{machine.name}: AccelForge's fanouts are known for {', '.join(_HELD_AND_FANOUTS)}, not for "
            f"{machine.dataflow}: write the component alone (--component)"
        )
    held, lanes_reuse, columns_reuse = _HELD_AND_FANOUTS[machine.dataflow]
    register = {"energy": 0, "bits_per_action": 8, "throughput": "inf"}
    return [
        _Node(
            "Container",
            {
                "name": "Array",
                "spatial": [
                    {"name": "columns", "fanout": machine.columns, "reuse": columns_reuse},
                    {"name": "lanes", "fanout": machine.lanes, "reuse": lanes_reuse},
                ],
            },
        ),
        _Node(
            "Memory",
            {
                "name": "Register",
                "size": f"{held}.bits_per_value if {held} else 0",
                "leak_power": 0,
                "area": 0,
                "tensors": {"keep": held},
                "actions": [{"name": "read", **register}, {"name": "write", **register}],
            },
        ),
    ]


def _compute(figures: ComponentFigures) -> _Node:
    return _Node(
        "Compute",
        {
            "name": "MAC",
            "leak_power": figures.leakage_w,
            "area": figures.area_m2,
            "actions": [
                {
                    "name": "compute",
                    "energy": f"sum(joules for tensor, joules in {_ENERGIES} if tensor in weight)",
                    "throughput": figures.clock_hz,
                }
            ],
        },
    )


def _einsum_name(number: int, layer: Layer) -> str:
    return f"layer{number}_{_identifier(layer.name)}"


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _einsum(name: str, layer: Layer) -> dict[str, Any]:
    """Y[m, n] = X[m, k] W[k, n], for each group of a grouped layer."""
    ranks = {"M": layer.m, "K": layer.k, "N": layer.n // layer.groups}
    shared = []
    if layer.groups > 1:
        ranks["G"] = layer.groups
        shared = ["g"]
    own = {rank: f"{rank}_{name}".upper() for rank in ranks}
    variables = {rank.lower(): own[rank].lower() for rank in ranks}

    def access(tensor: str, axes: Sequence[str]) -> dict[str, Any]:
        return {"name": f"{tensor}_{name}", "projection": [variables[axis] for axis in (*shared, *axes)]}

    return {
        "name": name,
        "rank_sizes": {own[rank]: size for rank, size in ranks.items()},
        "tensor_accesses": [
            access("input", "mk"),
            access("weight", "kn"),
            {**access("output", "mn"), "output": True},
        ],
        "renames": {tensor: f"{tensor}_{name}" for tensor in ("input", "weight", "output")},
    }
