"""Area and critical path of a scheduled column, after synthesis.

Units, controller and encoders of coded ports are synthesized one by one. All paths between them begin or end at a
register of the unit, so that the longest path of the whole is the longest of theirs, and areas add up. Where registers
of weights are held, the unit is the one whose energy is simulated: without the flags, and an estimated clock gate in
front of each lane.
"""

from __future__ import annotations

from fewflips.datapath.bus_invert_encoder import encoder_verilog, port_encoder_name, port_encoder_verilog
from fewflips.datapath.design import OperandPort
from fewflips.datapath.scheduled_column.design import ColumnDesign, MemoryMacro
from fewflips.datapath.scheduled_column.verilog import control_name, control_verilog, memory_wrapper
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.netlist.prepared import unit_netlist
from fewflips.gates.netlist.synthesis import netlist_area_um2, synthesize_verilog
from fewflips.gates.netlist.yosys import find_yosys
from fewflips.gates.parasitics.wires import WireModel, fanout_wire_ff
from fewflips.gates.power.clock_gates import clock_gate
from fewflips.gates.timing import analyze_timing
from fewflips.progress import Progress
from fewflips.records.column import ColumnGates, ColumnMemory, ColumnPart
from fewflips.simulation.records import cells_record


def column_gates(design: ColumnDesign, library: CellLibrary, progress: Progress | None = None) -> ColumnGates:
    """Synthesize the units and the controller of a column.

    Parameters
    ----------
    design : ColumnDesign
        The column.
    library : CellLibrary
        Its cells.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    ColumnGates
        Area and critical path, wires estimated from fanout.

    Raises
    ------
    FewflipsError
        If Yosys is missing or fails, or the cells do not suffice.
    """
    yosys = find_yosys()
    unit = _unit_part(design, library, progress)
    control = _part(
        synthesize_verilog(control_verilog(design), control_name(design), library, progress, yosys=yosys), library
    )
    encoders = {port: _encoder_part(design, port, library, progress) for port in design.datapath.bus_invert_ports}
    copies = {"weights": 1, "activations": design.columns}
    area = design.columns * unit.area_um2 + control.area_um2
    area += sum(copies[port] * part.area_um2 for port, part in encoders.items())
    return ColumnGates(
        unit=unit,
        weight_encoders=encoders.get("weights"),
        activation_encoders=encoders.get("activations"),
        control=control,
        area_um2=area,
        control_percent=100 * control.area_um2 / area,
        critical_path_ps=max(part.critical_path_ps for part in (unit, control, *encoders.values())),
        netlist=yosys.short_version,
        cells=cells_record(library),
    )


def _unit_part(design: ColumnDesign, library: CellLibrary, progress: Progress | None) -> ColumnPart:
    netlist, _ = unit_netlist(design.datapath.ungated, library, progress)
    part = _part(netlist, library)
    if not design.datapath.hold_flags:
        return part
    cells = (library.cells[instance.cell] for instance in netlist.instances)
    gate = clock_gate(library, next(cell for cell in cells if cell.flip_flop is not None), 1, 0.0)
    return part.model_copy(update={"area_um2": part.area_um2 + design.datapath.lanes * gate.area_um2})


def _encoder_part(
    design: ColumnDesign, port: OperandPort, library: CellLibrary, progress: Progress | None
) -> ColumnPart:
    lanes, bits = design.datapath.lanes, getattr(design.datapath, port).bits
    text = port_encoder_verilog(lanes, bits) + encoder_verilog(bits)
    return _part(synthesize_verilog(text, port_encoder_name(lanes, bits), library, progress), library)


def memory_record(memory: MemoryMacro) -> ColumnMemory:
    """A memory that is left to a macro."""
    return _memory(memory, None)


def flip_flop_memory(memory: MemoryMacro, library: CellLibrary, progress: Progress | None = None) -> ColumnMemory:
    """Build a memory of flip-flops.

    Parameters
    ----------
    memory : MemoryMacro
        The memory.
    library : CellLibrary
        Cells.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    ColumnMemory
        Its area and critical path.

    Raises
    ------
    FewflipsError
        If Yosys is missing or fails, or the cells do not suffice.
    """
    netlist = synthesize_verilog(memory_wrapper(memory), f"memory_of_{memory.name}", library, progress)
    return _memory(memory, _part(netlist, library))


def _memory(memory: MemoryMacro, part: ColumnPart | None) -> ColumnMemory:
    return ColumnMemory.model_validate(
        {
            "name": memory.name,
            "width": memory.width,
            "depth": memory.depth,
            "copies": memory.copies,
            "bits": memory.bits * memory.copies,
            "area_um2": None if part is None else part.area_um2 * memory.copies,
            "critical_path_ps": None if part is None else part.critical_path_ps,
        }
    )


def _part(netlist: Netlist, library: CellLibrary) -> ColumnPart:
    wires = WireModel.estimated(netlist, library)
    timing = analyze_timing(netlist, library, fanout_wire_ff(netlist, library, wires.per_fanout_ff, wires.base_ff))
    return ColumnPart(
        cells=len(netlist.instances),
        registers=sum(library.cells[instance.cell].flip_flop is not None for instance in netlist.instances),
        area_um2=netlist_area_um2(netlist, library),
        critical_path_ps=timing.critical_path_ps,
    )
