"""A report of an exploration without any simulation."""

from __future__ import annotations

from typing import Any

from fewflips.machine import Accelerator
from fewflips.records.bill import Bill, BufferBill, UnitBill
from fewflips.records.exploration import (
    AblationEntry,
    Against,
    BestForNetwork,
    ContradictionCount,
    DetailedMachine,
    ExplorationReport,
    ExploredMachine,
    Measures,
    NetworkCost,
    SearchSettings,
    SearchWork,
    WeightedNetwork,
)
from fewflips.records.model_file import ModelFile

NETWORKS = ("one.tflite", "<b>two</b>.tflite")


def bill(scale: float) -> Bill:
    units = UnitBill(
        multipliers_pj=3 * scale,
        adders_pj=2 * scale,
        partial_sums_pj=2 * scale,
        registers_pj=scale,
        clock_pj=scale,
        leakage_pj=scale,
    )
    buffers = BufferBill(
        weights_pj=scale, activations_pj=scale, partial_sums_pj=7 * scale, index_table_pj=0, leakage_pj=scale
    )
    return Bill(units=units, buffers=buffers, datapath_pj=10 * scale, whole_pj=20 * scale)


def measures(scale: float, area: float) -> Measures:
    return Measures(
        whole_pj=20 * scale,
        datapath_pj=10 * scale,
        area_um2=area,
        critical_path_ns=2,
        index_table_bits=20_000,
        cycles=100,
        latency_us=0.5,
        slack_ns=3,
        half_width_pj=scale,
    )


def explored(index: int, scale: float, area: float, *, on_front: bool) -> dict[str, Any]:
    return {
        "index": index,
        "choices": {"lanes": str(index + 1), "<i>unit</i>": "plain"},
        "orders": "schedule",
        "cells": "nangate45",
        "clock_mhz": 200,
        "measures": measures(scale, area),
        "precision": "gate-level",
        "share": 0.1,
        "allowed": True,
        "on_front": on_front,
        "separated": on_front and index != 2,
    }


def detailed(index: int, scale: float, area: float) -> DetailedMachine:
    costs = tuple(
        NetworkCost(
            network=name,
            whole_pj=20 * scale / 2,
            datapath_pj=10 * scale / 2,
            half_width_pj=scale / 2,
            cycles=50,
            index_table_bits=10_000,
            bill=bill(scale / 2),
            dataflows={},
        )
        for name in NETWORKS
    )
    machine = Accelerator(name=f"tiny-{index}", lanes=max(index + 1, 1), columns=2)
    return DetailedMachine(**explored(index, scale, area, on_front=index >= 0), modes=(machine,), networks=costs)


def exploration_report(**changes: Any) -> ExplorationReport:
    """Three machines on the front, two behind it."""
    front = [(0, 1000.0, 30.0), (1, 2000.0, 20.0), (2, 3000.0, 10.0)]
    behind = [(3, 2500.0, 25.0), (4, 3500.0, 11.0)]
    report = ExplorationReport(
        fewflips="0",
        space={"name": "tiny"},
        networks=tuple(
            WeightedNetwork(
                model=ModelFile(file=name, format="tflite", sha256="0" * 64), weight=1, inputs=None, samples=1
            )
            for name in NETWORKS
        ),
        settings=SearchSettings(
            method="exhaustive",
            seed=0,
            jobs=1,
            cluster=None,
            time_limit_s=None,
            share=0.1,
            largest_share=0.1,
            step_ps=10,
        ),
        work=SearchWork(
            machines=6,
            evaluated=5,
            gate_level=5,
            outside=0,
            simulations=5,
            layers_found=0,
            layers_simulated=5,
            estimate_error_percent=0.5,
            seconds=1,
        ),
        complete=True,
        objectives=("whole_pj", "area_um2"),
        contradictions=(ContradictionCount(reason="lanes: too few", machines=1, example=5),),
        machines=tuple(
            ExploredMachine(**explored(*machine, on_front=machine in front)) for machine in (*front, *behind)
        ),
        front=tuple(detailed(*machine) for machine in front),
        best_per_network=tuple(
            BestForNetwork(network=name, index=0, objective="whole_pj", value=1) for name in NETWORKS
        ),
        ablation=(
            AblationEntry(
                dimension="lanes",
                best="1",
                other="2",
                index=1,
                change_percent={"whole_pj": 100.0, "area_um2": -33.3},
                precision="estimate",
            ),
            AblationEntry(
                dimension="lanes",
                best="1",
                other="6",
                index=None,
                change_percent={},
                precision=None,
                reason="lanes: too few",
            ),
        ),
        against=Against(
            source="old.yaml", baseline=detailed(-1, 5000.0, 40.0), best=0, times={"whole_pj": 5.0, "area_um2": 1.33}
        ),
        notes=("a note",),
    )
    return report.model_copy(update=changes)
