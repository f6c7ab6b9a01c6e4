"""A scheduled column as synthesizable Verilog-2005."""

from __future__ import annotations

import re
from typing import Any

from fewflips.datapath.bus_invert_encoder import (
    encoder_name,
    encoder_verilog,
    port_encoder_name,
    port_encoder_verilog,
)
from fewflips.datapath.design import OperandPort
from fewflips.datapath.scheduled_column.design import ColumnDesign, MemoryMacro, address_bits
from fewflips.datapath.verilog import module_name, render, verilog
from fewflips.errors import InputError

_INPUT = re.compile(r"^ *input .*?(\w+),?$", re.MULTILINE)


def column_name(design: ColumnDesign) -> str:
    """Name of the module: that of its unit, as scheduled."""
    return f"scheduled_{module_name(design.datapath)}"


def control_name(design: ColumnDesign) -> str:
    """Name of the controller's module."""
    return f"{column_name(design)}_control"


def control_verilog(design: ColumnDesign) -> str:
    """The controller: everything but units and memories.

    Parameters
    ----------
    design : ColumnDesign
        The column.

    Returns
    -------
    str
        One module, named by :func:`control_name`. Its state and what says that a word is valid have a synchronous
        reset; addresses and counters are set when work begins.
    """
    return render("column_control.v.j2", **values(design))


def column_files(design: ColumnDesign) -> dict[str, str]:
    """All modules of a column.

    Parameters
    ----------
    design : ColumnDesign
        The column.

    Returns
    -------
    dict of str to str
        Verilog texts by file name: the column, with its controller, memories and units; and one file for each of
        these.

    Raises
    ------
    InputError
        If the unit has a port that a column does not drive.
    """
    unit = verilog(design.datapath)
    driven = {"clk", "weights", "activations", "partial_sum", *(f"{port}_invert" for port in _coded(design))}
    driven |= {"load"} if design.datapath.hold_flags else set()
    driven |= {"negate"} if design.datapath.sign_flags else set()
    others = [port for port in _INPUT.findall(unit.partition(");")[0]) if port not in driven]
    if others:
        raise InputError(
            f"scheduled column: its unit has ports that a column does not drive: {', '.join(others)}; take a machine "
            "whose units have none"
        )
    return {
        f"{column_name(design)}.v": render("scheduled_column.v.j2", **values(design)),
        f"{control_name(design)}.v": control_verilog(design),
        "memory_1r1w.v": memory_verilog(),
        f"{module_name(design.datapath)}.v": unit,
        **encoder_files(design),
    }


def encoder_files(design: ColumnDesign) -> dict[str, str]:
    """Encoders in front of the unit's coded ports: Verilog texts by file name, none where both are plain."""
    words = {getattr(design.datapath, port).bits for port in _coded(design)}
    lanes = design.datapath.lanes
    return {f"{encoder_name(bits)}.v": encoder_verilog(bits) for bits in words} | {
        f"{port_encoder_name(lanes, bits)}.v": port_encoder_verilog(lanes, bits) for bits in words
    }


def _coded(design: ColumnDesign) -> tuple[OperandPort, ...]:
    return design.datapath.bus_invert_ports


def memory_verilog() -> str:
    """The memory that stands where a chip has a macro."""
    return render("memory_1r1w.v.j2")


def memory_wrapper(memory: MemoryMacro) -> str:
    """A module ``memory_of_<name>`` of one memory, with its size fixed, and the memory that it instantiates."""
    ports = {
        "read_address": memory.address_bits,
        "write_address": memory.address_bits,
        "write_data": memory.width,
    }
    inputs = [f"input [{bits - 1}:0] {port}" for port, bits in ports.items()]
    listed = ", ".join(["input clk", "input read_enable", "input write_enable", *inputs])
    size = f".WIDTH({memory.width}), .DEPTH({memory.depth}), .ADDRESS_BITS({memory.address_bits})"
    names = ("clk", "read_enable", "write_enable", *ports, "read_data")
    return (
        f"module memory_of_{memory.name} ({listed}, output [{memory.width - 1}:0] read_data);\n"
        f"    memory_1r1w #({size}) memory ({', '.join(f'.{name}({name})' for name in names)});\n"
        f"endmodule\n{memory_verilog()}"
    )


def values(design: ColumnDesign) -> dict[str, Any]:
    """What the templates of the column and of its testbench have in common."""
    memories = {memory.name: memory for memory in design.memories}
    bits = {name: memory.address_bits for name, memory in memories.items()}
    bits |= {"words": bits["indices"], "channels": address_bits(design.channels), "rows": address_bits(design.rows)}
    loaded = [memory for name, memory in memories.items() if name != "sums"]
    shared = [
        ("passes", "load_passes", "pass", "pass_data"),
        ("indices", "load_indices", "index", "index_data"),
        *([("flags", "load_flags", "index", "flag_data")] if design.flag_bits else []),
        *([] if design.datapath.hold_flags else [("weights", "load_weights", "weight", _weight_data(design))]),
        *([("starts", "load_starts", "start", "start_data")] if design.starts else ()),
    ]
    return {
        "name": column_name(design),
        "unit": module_name(design.datapath),
        "title": _title(design),
        "columns": design.columns,
        "latency": design.datapath.latency,
        "delay": design.partial_sum_delay,
        "own_activations": design.own_activations,
        "activation_step": design.activation_words_per_pass,
        "sums": design.sums,
        "tile_rows": design.tile_rows,
        "row_bits": address_bits(design.tile_rows),
        "based": design.based,
        "own_channel": design.based or design.tile_rows > 1,
        "starts": design.starts,
        **_port_values(design),
        "start_sum": design.datapath.sum_offset(0),
        "sum_bits": design.datapath.accumulator_bits,
        "fields": design.pass_fields,
        "next_fields": [f"next_{name}" for name, _ in design.pass_fields],
        "bits": bits,
        "width": {name: memory.width for name, memory in memories.items()},
        "depth": {name: memory.depth for name, memory in memories.items()},
        "shared": [(memories[name], *names) for name, *names in shared],
        "load_address_bits": max(memory.address_bits for memory in loaded),
        "load_width": max(memory.width for memory in loaded),
    }


def _port_values(design: ColumnDesign) -> dict[str, Any]:
    """Flags and codings of the unit's ports; `weight_data` is what the memories of weights drive."""
    unit = design.datapath
    return {
        "lanes": unit.lanes,
        "weight_bits": unit.weights.bits,
        "weight_data": _weight_data(design),
        "holds": unit.hold_flags,
        "signs": unit.sign_flags,
        "flag_bits": design.flag_bits,
        "coded": _coded(design),
        "port_encoders": {port: port_encoder_name(unit.lanes, getattr(unit, port).bits) for port in _coded(design)},
    }


def _weight_data(design: ColumnDesign) -> str:
    return "weight_words" if "weights" in _coded(design) else "weights"


def _title(design: ColumnDesign) -> str:
    lanes, columns = design.datapath.lanes, design.columns
    return (
        f"{columns} column{'s' if columns > 1 else ''} of {lanes} lane{'s' if lanes > 1 else ''}, with memories and a "
        "controller that follows the orders of a schedule"
    )
