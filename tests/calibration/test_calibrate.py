"""From a small network to its calibration, and back to an estimate."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from fewflips.cli.calibration_command import calibrate as command
from fewflips.dataflows.orders import natural_orders
from fewflips.errors import InputError
from fewflips.estimation.calibration.calibrate import CalibrationRequest, calibrate
from fewflips.estimation.calibration_files import read_calibration, write_calibration
from fewflips.estimation.estimate import estimate_energy, missing_note, sum_of
from fewflips.execution.activations import lowered_rows, measurable_layers, run_samples
from fewflips.files.result_folder import MANIFEST
from fewflips.machine import Accelerator
from fewflips.measurement.counting import count_network
from fewflips.measurement.observed import observe
from fewflips.network import load
from fewflips.records.calibration import Calibration, EstimatedEnergy
from fewflips.report.calibration_files import NAMES, save_calibration
from fewflips.report.calibration_plot import calibration_plot
from fewflips.report.calibration_words import estimate_words
from fewflips.report.markdown.calibration import calibration_markdown
from fewflips.report.numbers import telling_names
from fewflips.report.terminal.calibration import calibration_table
from fewflips.simulation.run import EnergyOptions
from fewflips.simulation.setup import samples_or_random
from fewflips.streams.codes import activation_codes
from tests.calibration import hand_made
from tests.network import build_tflite as small

TWO = Accelerator(name="two", lanes=2, columns=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "branching.tflite"
    path.write_bytes(small.branching())
    return path


@pytest.fixture(scope="module")
def found(model: Path) -> Calibration:
    steps: dict[str, tuple[int, int]] = {}
    request = CalibrationRequest(samples=1, options=EnergyOptions(seed=3, jobs=1))
    calibration = calibrate(model, TWO, request, lambda phase, done, total: steps.__setitem__(phase, (done, total)))
    for phase in ("sweeping operands", "looking at operands", "simulating gates", "simulating blocks"):
        assert steps[phase][0] == steps[phase][1], phase
    return calibration


def test_predictions_are_near_what_was_simulated(found: Calibration):
    assert found.network is not None
    for order in found.network.orders:
        assert len(order.layers) == len(load_layers(found))
        for fit in (order.accuracy.zero_delay, order.accuracy.inertial):
            assert abs(fit.total_error_percent) < 15
            assert fit.median_error_percent < 15
        for layer in order.layers:
            assert 0 < layer.simulated.zero_delay_data_pj < layer.simulated.inertial_data_pj


def load_layers(found: Calibration) -> list[str]:
    assert found.network is not None
    return [layer.name for layer in found.network.orders[0].layers]


def test_the_curves_have_their_shape(found: Calibration):
    for curves in (found.zero_delay, found.inertial):
        for surface in (curves.first, curves.later):
            assert surface is not None
            table = np.array(surface.curve_fj)
            assert (table >= np.array(surface.simulated_fj) - 1e-9).all()
            axes = (np.array(curves.weights.weighted_nhd), np.array(curves.activations.weighted_nhd))
            for places, lines in zip(axes, (table.T, table), strict=True):
                steps = np.diff(lines, axis=1) / np.diff(places)
                assert (steps >= -1e-6).all()
                assert (np.diff(steps, axis=1) <= 1e-6 * table.max()).all()
        assert np.mean(curves.weights.bit_costs) == pytest.approx(1)
        assert curves.lane_shares[-1] == 1
        assert found.zero_delay.first.curve_fj[0][0] == pytest.approx(0, abs=1e-9)  # nothing moves
    glitches = np.array(found.inertial.first.simulated_fj) - np.array(found.zero_delay.first.simulated_fj)
    assert (glitches >= -1e-6).all()


def test_the_sign_costs_more_than_the_lowest_bit(found: Calibration):
    costs = found.inertial.weights.bit_costs
    assert costs[-1] > costs[0]


def test_the_mean_cost_of_held_words_is_one(found: Calibration):
    for curves in (found.zero_delay, found.inertial):
        assert np.dot(found.means.held_ones, curves.ones_costs) == pytest.approx(1)
        assert curves.ones_costs[0] < 1 < curves.ones_costs[-1]


def test_same_seed_same_calibration(model: Path, found: Calibration):
    again = calibrate(model, TWO, CalibrationRequest(samples=1, options=EnergyOptions(seed=3, jobs=2)))
    assert again == found


def test_an_estimate_is_what_the_calibration_predicts(model: Path, found: Calibration, tmp_path: Path):
    write_calibration(found, tmp_path / "c.json")
    network = load(model)
    orders = natural_orders(network, TWO)
    counts = count_network(network, TWO, [orders], None)[0]
    estimate = estimate_energy(network, TWO, orders, counts, calibration=tmp_path / "c.json")
    assert estimate is not None
    assert found.network is not None
    assert list(estimate.layers) == load_layers(found)
    assert estimate.total == sum_of(tuple(estimate.layers.values()))
    assert estimate.calibration.activations == "calibration"
    assert estimate.calibration.accuracy is not None
    words = estimate_words(EstimatedEnergy(total=estimate.total, calibration=estimate.calibration), " ")
    assert words.startswith("Data energy of one inference, estimated from flips: ")
    assert (
        "Against gate level on branching.tflite, with which it was made, without sample inputs: layers are off by "
        in words
    )
    simulated = sum(layer.simulated.inertial_data_pj for layer in found.network.orders[0].layers)
    error = found.network.without_inputs.inertial.total_error_percent
    assert estimate.total.inertial_data_pj == pytest.approx(simulated * (1 + error / 100), rel=1e-4)


def test_an_estimate_without_a_calibration(model: Path, tmp_path: Path):
    network = load(model)
    orders = natural_orders(network, TWO)
    counts = count_network(network, TWO, [orders], None)[0]
    assert estimate_energy(network, TWO, orders, counts) is None
    assert missing_note(network, TWO) == (
        "Energy was not estimated: no calibration for column2-twos-complement8-twos-complement8-partial-sum; make one "
        "with `fewflips calibrate` and give it (--calibration)."
    )
    write_calibration(hand_made.calibration(), tmp_path / "c.json")
    with pytest.raises(InputError, match=r"^c.json: made for a column4-unsigned8-unsigned8, expected column2-"):
        estimate_energy(network, TWO, orders, counts, calibration=tmp_path / "c.json")


def test_what_is_shown(found: Calibration, tmp_path: Path):
    console = Console(width=80)
    with console.capture() as captured:
        console.print(calibration_table(found))
    shown = captured.get()
    assert all(len(line) <= 80 for line in shown.splitlines())
    markdown = calibration_markdown(found)
    for name in telling_names(load_layers(found)):
        assert name in markdown
    assert found.settings.command in markdown
    first = ElementTree.fromstring(calibration_plot(found))
    assert first.tag.endswith("svg")
    assert calibration_plot(found) == calibration_plot(found)
    files = save_calibration(found, tmp_path / "new" / "folder")
    assert tuple(file.name for file in files) == NAMES
    kept = read_calibration(files[0])
    assert (kept.datapath.kind, kept.datapath.lanes) == (found.datapath.kind, found.datapath.lanes)
    assert kept.inertial.first.curve_fj[1][1] == pytest.approx(found.inertial.first.curve_fj[1][1], rel=1e-5)
    assert kept.network is not None
    assert kept.network.blocks.blocks == ()


def test_without_a_model(tmp_path: Path):
    array = tmp_path / "one.yaml"
    array.write_text("{name: one, dataflow: output-stationary, lanes: 2, columns: 2, forwarding: systolic}")
    result = CliRunner().invoke(
        command, ["--accelerator", str(array), "--output", str(tmp_path / "out"), "--jobs", "1", "--json"]
    )
    assert result.exit_code == 0, result.output
    found = Calibration.model_validate(json.loads(result.stdout))
    assert found.network is None
    assert found.datapath.kind == "mac"
    assert found.inertial.later is None
    assert found.means.source == "synthetic activations: 45% zeros, the rest half-normal"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*NAMES, MANIFEST])
    assert "--accelerator" in found.settings.command


def test_inputs_without_a_model():
    result = CliRunner().invoke(command, ["--inputs", "images"])
    assert result.exit_code == 2
    assert "--inputs: expected a MODEL that they are inputs of." in result.output


def test_an_estimate_with_sample_inputs(model: Path, found: Calibration, tmp_path: Path):
    """The calibration's own sample, counted again: the estimate is the prediction."""
    write_calibration(found, tmp_path / "c.json")
    network = load(model)
    orders = natural_orders(network, TWO)
    samples, _ = samples_or_random(network, None, found.settings.seed)
    counts = count_network(network, TWO, [orders], samples)[0]
    tensors = next(iter(run_samples(network, samples)))
    observed = {
        layer.name: observe(*activation_codes(layer, lowered_rows(layer, tensors), TWO.activations), TWO)
        for layer in measurable_layers(network)
    }
    estimate = estimate_energy(network, TWO, orders, counts, observed, tmp_path / "c.json")
    assert estimate is not None
    assert found.network is not None
    assert estimate.calibration.activations == "sample inputs"
    for layer in found.network.orders[0].layers:
        pair = estimate.layers[layer.name]
        assert pair.inertial_data_pj == pytest.approx(layer.predicted.inertial_data_pj, rel=1e-4)
        assert pair.zero_delay_data_pj == pytest.approx(layer.predicted.zero_delay_data_pj, rel=1e-4)
