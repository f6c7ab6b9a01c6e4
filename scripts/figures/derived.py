"""What pages say of several figures at once."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from statistics import fmean

from fewflips.errors import InputError

from .origin import DELAYS, Fact


def derived_facts(found: Mapping[str, Fact]) -> dict[str, Fact]:
    """Ratios, shares and ranges over records.

    Raises
    ------
    InputError
        If a record lacks what they are made of.
    """
    saved = [
        100 * (1 - 1 / float(value))
        for name, value in found.items()
        if name.startswith("networks/") and name.endswith("/schedule_reduction")
    ]
    reduction = _known(found, "networks/mobilenet_v2_1.0_224_quant.tflite/schedule_reduction")
    before, after = (
        _known(found, f"optimized_energy/inertial, data_pj/{order}_pj") for order in ("baseline", "schedule")
    )
    longest = _known(found, "ordering_baselines/LKH (elkai), 1 run/longest_ratio_to_it")
    untrained, trained = (
        _known(found, f"training_methods/{run}/ordered_nhd") for run in ("none, 0", "assignment, 0.3")
    )
    blocks = (_known(found, f"calibration/{delays}/blocks r2 from flips") for delays in DELAYS)
    return {
        "calibration/blocks r2 from flips": fmean(blocks),
        "networks/least saved_percent": min(saved),
        "networks/most saved_percent": max(saved),
        "mobilenet_v2/flips saved_percent": 100 * (1 - 1 / reduction),
        "mobilenet_v2/energy saved_percent": 100 * (1 - after / before),
        "ordering_baselines/longer than LKH_percent": 100 * (longest - 1),
        "training_methods/assignment, fewer flips": untrained / trained,
        "lane_clusters/search saves_percent": 100 * (1 - _known(found, "lane_clusters/baseline, searched/of_natural")),
        **{
            f"rounding/chosen, {field}": _known(found, f"rounding/MobileNetV2 0.5, CIFAR-10, edge4: 20 dB/{field}")
            for field in ("data_ratio", "points_lost", "standard_error_points")
        },
        **_libraries(found),
    }


def _libraries(found: Mapping[str, Fact]) -> dict[str, Fact]:
    """How far the built-in cells are from the whole libraries that they were taken from."""
    derived: dict[str, Fact] = {}
    for built_in, whole in (("nangate45", "nangate45_typ.lib.gz"), ("sky130hd", "sky130hd_tt.lib.gz")):
        for delays in DELAYS:
            ratios = [
                _known(found, f"cell_libraries/{built_in}/{delays}_{figure}")
                / _known(found, f"cell_libraries/{whole}/{delays}_{figure}")
                for figure in ("data_pj", "total_pj")
            ]
            off = max(abs(ratio - 1) for ratio in ratios)
            derived[f"cell_libraries/{built_in}, {delays}/off_percent"] = 100 * off
            derived[f"cell_libraries/{built_in}, {delays}/within_percent"] = ceil(100 * off)
    whole_table = (float(derived[f"cell_libraries/nangate45, {delays}/within_percent"]) for delays in DELAYS)
    derived["cell_libraries/nangate45/within_percent"] = int(max(whole_table))
    return derived


def _known(found: Mapping[str, Fact], name: str) -> float:
    if name not in found:
        raise InputError(f"{name}: expected in a record, found none of that name: run `python -m benchmarks` again")
    return float(found[name])
