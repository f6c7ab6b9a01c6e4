"""What orders are worth on a transformer: `python -m benchmarks.transformers [--models DIR]`.

Flips of the weight port in one inference: in natural order, with an order for each segment (`--mode schedule`), and in
a file whose channels have moved (`--mode drop-in`). Beside the last, what no file of that kind can go below: the sum of
each layer's bound under one order for all of its segments, as if no channel were tied to another's or had to stay.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record
from fewflips import optimize

MODELS = {"MiniLM, int8 QDQ": "minilm_l6_int8_qdq.onnx", "MiniLM, int4 MatMulNBits": "minilm_l6_int4_matmulnbits.onnx"}
MACHINES = ("edge16", "tpu16")


def measured(model: Path, machine: str) -> Row:
    """Figures of one network on one machine.

    Parameters
    ----------
    model : Path
        The network's file.
    machine : str
        A built-in machine.

    Returns
    -------
    dict
        Flips of one inference, groups of channels, and processor time of this process.
    """
    start = time.process_time()
    scheduled = optimize(model, machine, mode="schedule", jobs=1)
    middle = time.process_time()
    dropped = optimize(model, machine, mode="drop-in", jobs=1)
    end = time.process_time()
    schedule, summary = scheduled.report.totals.weights, dropped.report.drop_in
    if summary is None or schedule is None or summary.totals.weights is None:
        raise SystemExit(f"{model.name} on {machine}: expected a schedule and a drop-in file; see the report's notes")
    weights = summary.totals.weights
    return {
        "natural_flips": weights.baseline_flips,
        "schedule_flips": schedule.optimized_flips,
        "drop_in_flips": weights.optimized_flips,
        "drop_in_bound_flips": weights.lower_bound,
        "groups": summary.channel_groups,
        "permuted_groups": summary.permuted_groups,
        "frozen_groups": summary.frozen_groups,
        "equal_percent": 100 * summary.check.equal_share,
        "largest_difference": summary.check.largest_difference,
        "schedule_processor_s": middle - start,
        "drop_in_processor_s": end - middle,
    }


def main() -> int:
    """Measure each network on each machine."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transformers", description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path("../shared/models"), help="folder of the networks")
    add_json_option(parser)
    arguments = parser.parse_args()
    table = Table("network, machine", "natural", "schedule", "drop-in", "at best", "groups moved", "equal values")
    rows: dict[str, Row] = {}
    for name, file in MODELS.items():
        for machine in MACHINES:
            row = rows[f"{name}, {machine}"] = measured(arguments.models / file, machine)
            natural, *others = (
                float(row[f"{what}_flips"] or 0) for what in ("natural", "schedule", "drop_in", "drop_in_bound")
            )
            ratios = [f"{natural / flips:.3f}x" for flips in others]
            moved = f"{row['permuted_groups']} of {row['groups']}"
            table.add_row(
                f"{name}, {machine}", f"{natural / 1e6:.1f} M", *ratios, moved, f"{row['equal_percent']:.4f} %"
            )
            write_record(arguments.json, "transformers", rows, seed=0)
    Console(width=150).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
