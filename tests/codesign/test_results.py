"""Rows of the codesign: they are kept by network and cells, and add up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
from scripts.codesign.results import read_results, store_results
from scripts.codesign.rows import LayerRow, Row

from fewflips.errors import InputError
from fewflips.machine import load_accelerator
from fewflips.records.bill import Bill, BufferBill, UnitBill

RESULTS = Path(__file__).parents[2] / "results"


@dataclass(frozen=True)
class _Figures:
    network: str
    cells: str = "nangate45"
    machine: str = "edge4"
    adders_pj: float = 2.0
    weights_pj: float = 3.0


def _row(figures: _Figures) -> Row:
    units = UnitBill(
        multipliers_pj=1,
        adders_pj=figures.adders_pj,
        partial_sums_pj=0,
        registers_pj=0,
        clock_pj=0,
        leakage_pj=0,
    )
    buffers = BufferBill(
        weights_pj=figures.weights_pj, activations_pj=0, partial_sums_pj=0, index_table_pj=0, leakage_pj=0
    )
    datapath = 1 + figures.adders_pj
    bill = Bill(units=units, buffers=buffers, datapath_pj=datapath, whole_pj=datapath + figures.weights_pj)
    return Row(
        network=figures.network,
        variant="8 bits, natural",
        training="8 bits",
        order="natural",
        machine=figures.machine,
        cells=figures.cells,
        accuracy_percent=None,
        data_pj=datapath,
        datapath_pj=datapath,
        whole_pj=datapath + figures.weights_pj,
        ci95_percent=0.1,
        area_um2=1,
        critical_path_ns=1,
        bill=bill,
        layers=(LayerRow(name="a", datapath_pj=datapath, data_pj=datapath, whole_pj=datapath + figures.weights_pj),),
    )


def test_rows_of_other_networks_and_cells_stay(tmp_path: Path) -> None:
    """A second run replaces its own rows, and machines that no row names any more are removed."""
    ours = load_accelerator("edge4").model_copy(update={"name": "best whole: A, 8 bits"})
    other = ours.model_copy(update={"name": "best whole: B, 8 bits"})
    old = [_row(_Figures("A", machine=ours.name)), _row(_Figures("A", cells="sky130hd", machine="edge4"))]
    store_results(tmp_path, [*old, _row(_Figures("B", machine=other.name))], [ours, other])
    assert {path.name for path in (tmp_path / "codesign").iterdir()} == {
        "best_whole_A_8_bits.yaml",
        "best_whole_B_8_bits.yaml",
    }

    store_results(tmp_path, [_row(_Figures("A", weights_pj=7.0))], [])
    found = {(row.network, row.cells): (row.machine, row.whole_pj) for row in read_results(tmp_path)}
    assert found == {
        ("A", "nangate45"): ("edge4", 10.0),
        ("A", "sky130hd"): ("edge4", 6.0),
        ("B", "nangate45"): (other.name, 6.0),
    }
    assert [path.name for path in (tmp_path / "codesign").iterdir()] == ["best_whole_B_8_bits.yaml"]
    assert load_accelerator(tmp_path / "codesign" / "best_whole_B_8_bits.yaml") == other


def test_other_content_is_refused(tmp_path: Path) -> None:
    """A file of something else is not overwritten."""
    (tmp_path / "codesign.json").write_text('[{"network": 3}]')
    with pytest.raises(InputError, match="expected rows"):
        store_results(tmp_path, [_row(_Figures("A"))], [])


def test_committed_rows_add_up() -> None:
    """Layers and parts of the bill sum to the totals; every machine lies beside the rows or is built in."""
    rows = read_results(RESULTS)
    assert rows
    machines = {load_accelerator(path).name for path in (RESULTS / "codesign").glob("*.yaml")}
    built_in = {name for name in {row.machine for row in rows} - machines if load_accelerator(name).name == name}
    assert {row.machine for row in rows} == machines | built_in
    for row in rows:
        units, buffers = row.bill.units.model_dump(), row.bill.buffers.model_dump()
        beyond = sum(level["access_pj"] + level["leakage_pj"] for level in buffers.pop("beyond"))
        parts, memories = sum(units.values()), sum(buffers.values()) + beyond
        assert math.isclose(row.datapath_pj, parts, rel_tol=1e-9)
        assert math.isclose(row.whole_pj, parts + memories, rel_tol=1e-9)
        assert math.isclose(row.datapath_pj, sum(layer.datapath_pj for layer in row.layers), rel_tol=1e-9)
        assert math.isclose(row.whole_pj, sum(layer.whole_pj for layer in row.layers), rel_tol=1e-9)
