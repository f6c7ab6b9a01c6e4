"""Orders of a transformer, in flips and in energy: `python -m benchmarks.transformer_energy [--share SHARE]`.

Protocol: all-MiniLM-L6-v2 (22.7 million parameters, 6 blocks) as quantized by mainstream tools: int8 in QDQ form with
64 tokens, int4 as `MatMulNBits` with 64 tokens, and Q4_0 in GGUF with 1 token (decoding) and 64 (prefill). Schedules
and drop-in files are those of `fewflips optimize`, at the default effort; drop-in files where the format has a runtime.
Energy is simulated at gate level with glitches, a share of the cycles drawn alike for all orders, built-in Nangate45
figures. Where activations are floats in the file, the machine makes int8 of them, row by row. Inputs: 64 random token
identifiers in the ONNX files (orders are those of weights, whatever the text), normally distributed rows in GGUF,
which has no runtime.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import fewflips
from benchmarks.record import RESULTS, Row, add_json_option, read_record, write_record
from fewflips.records.energy import LayerEnergy
from fewflips.simulation.run import EnergyOptions

MACHINES = ("edge16", "tpu16")
TOKENS, VOCABULARY = 64, 30522


@dataclass(frozen=True)
class Case:
    """A file, and how it is run.

    Parameters
    ----------
    file : str
        In the folder of public models.
    tokens : int or None
        Tokens at once, where the file does not say it.
    activations : str or None
        What the machine makes of float activations.
    """

    file: str
    tokens: int | None = None
    activations: str | None = None


CASES = {
    "int8, QDQ": Case("minilm_l6_int8_qdq.onnx"),
    "int4, MatMulNBits": Case("minilm_l6_int4_matmulnbits.onnx", None, "int8"),
    "Q4_0, GGUF, 64 tokens": Case("minilm_l6_q4_0.gguf", TOKENS, "int8"),
    "Q4_0, GGUF, 1 token": Case("minilm_l6_q4_0.gguf", 1, "int8"),
}


def token_inputs(folder: Path) -> Path:
    """Inputs of the ONNX files, random identifiers, none of them masked."""
    identifiers = np.random.default_rng(0).integers(0, VOCABULARY, (1, 1, TOKENS))
    path = folder / "tokens.npz"
    np.savez(
        path,
        input_ids=identifiers,
        attention_mask=np.ones_like(identifiers),
        token_type_ids=np.zeros_like(identifiers),
    )
    return path


def compared(
    case: Case, model: Path, machine: str, inputs: Path, folder: Path, share: float
) -> Iterator[tuple[str, Row]]:
    """Natural order, the schedule, and the drop-in file where there is one."""
    network = fewflips.load(model, tokens=case.tokens)
    runs = network.tokens is None
    options = EnergyOptions(share=share)

    def energy(path: Path, schedule: Path | None = None) -> LayerEnergy:
        return fewflips.energy(
            fewflips.load(path, tokens=case.tokens),
            machine,
            schedule=schedule,
            inputs=inputs if runs else None,
            activations=case.activations,
            options=options,
        ).total

    natural = energy(model)
    yield "natural order", _figures(natural, natural) | {"flips_ratio": 1.0}
    for step in ("schedule", "drop-in") if runs else ("schedule",):
        started = time.process_time()
        found = fewflips.optimize(network, machine, steps=[step])
        seconds, own = time.process_time() - started, folder / step
        found.save(own)
        stage = found.report.stages[-1]
        after = energy(model, own / "schedule.json") if step == "schedule" else energy(own / "model.onnx")
        flips = found.report.totals.weights
        row: Row = {"flips_ratio": flips.baseline_flips / flips.optimized_flips, "processor_s": seconds}
        yield stage.name, _figures(natural, after) | row


def _figures(before: LayerEnergy, after: LayerEnergy) -> Row:
    assert before.bill is not None
    assert after.bill is not None
    return {
        "data_pj": after.inertial.data_pj,
        "datapath_pj": after.bill.datapath_pj,
        "whole_pj": after.bill.whole_pj,
        "data_ratio": before.inertial.data_pj / after.inertial.data_pj,
        "datapath_ratio": before.bill.datapath_pj / after.bill.datapath_pj,
        "whole_ratio": before.bill.whole_pj / after.bill.whole_pj,
        "ci95_percent": after.ci95_percent,
        "macs": after.macs,
    }


def main() -> None:
    """Order, simulate, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", default=[], help="beginning of a case's name; all without it")
    parser.add_argument("--machine", action="append", default=[], help="edge16 or tpu16; both without it")
    parser.add_argument("--share", type=float, default=0.01, help="share of the cycles that is simulated")
    parser.add_argument("--merge", action="store_true", help="keep rows of the committed record that are not made anew")
    parser.add_argument("--models", type=Path, default=Path("../shared/models"), help="folder of public models")
    add_json_option(parser)
    arguments = parser.parse_args()
    merged = arguments.merge and (RESULTS / "transformer_energy.json").is_file()
    rows: dict[str, Row] = read_record("transformer_energy").rows if merged else {}
    for name, case in CASES.items():
        if arguments.case and not name.startswith(tuple(arguments.case)):
            continue
        for machine in arguments.machine or MACHINES:
            with tempfile.TemporaryDirectory() as folder:
                inputs = token_inputs(Path(folder))
                model = arguments.models / case.file
                for order, row in compared(case, model, machine, inputs, Path(folder), arguments.share):
                    rows[f"{name}, {machine}: {order}"] = row
                    print(f"{name}, {machine}: {order}", row, flush=True)
                    write_record(arguments.json, "transformer_energy", rows, seed=0)
    table = Table("weights, machine", "flips", "data", "less", "datapath", "whole bill", "interval", "processor s")
    for name, row in rows.items():
        cells = [f"{row['flips_ratio']:.3f}x", f"{float(row['data_pj'] or 0) / 1e6:.2f} uJ"]
        cells += [f"{row[f'{figure}_ratio']:.3f}x" for figure in ("data", "datapath", "whole")]
        table.add_row(name, *cells, f"{row['ci95_percent']:.2f} %", f"{row.get('processor_s', 0.0):.0f}")
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
