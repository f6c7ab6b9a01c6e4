"""SwitchingLoss against the simulation of the same layers on the same machine, and its gradient."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
nn = torch.nn

from fewflips.dataflows import dataflow_of  # noqa: E402
from fewflips.dataflows.layer_operands import layer_operands  # noqa: E402
from fewflips.errors import AcceleratorError, InputError  # noqa: E402
from fewflips.formats.number_formats import NumberFormat, StorageType  # noqa: E402
from fewflips.gates.liberty.load import load_cells  # noqa: E402
from fewflips.gates.power.energy import energy_of  # noqa: E402
from fewflips.gates.switching import simulate  # noqa: E402
from fewflips.machine import Accelerator  # noqa: E402
from fewflips.machine.accelerator import DatapathOptions, Operand  # noqa: E402
from fewflips.simulation.run import EnergyOptions  # noqa: E402
from fewflips.simulation.setup import network_unit  # noqa: E402
from fewflips.training import SwitchingLoss  # noqa: E402
from fewflips.training.hamming.weight_streams import layer_of  # noqa: E402
from fewflips.training.quantization.quantized_layers import QuantizedLinear  # noqa: E402

MACHINES = {
    "weight-stationary": Accelerator(name="ws", dataflow="weight-stationary", lanes=2, columns=2),
    "activation-stationary": Accelerator(
        name="as", lanes=2, columns=2, datapath=DatapathOptions(partial_sum_input=False)
    ),  # whose sums would change with the weights, too, beside steps
    "output-stationary": Accelerator(name="os", dataflow="output-stationary", lanes=2, columns=2),
}
BITS, PIXELS = 4, 48


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def layer(scale: float = 2.5, outputs: int = 6) -> Any:
    """A linear layer of 8 inputs whose codes have a spread of `scale`."""
    generator = torch.Generator().manual_seed(3)
    codes = (torch.randn(outputs, 8, generator=generator) * scale).round().clamp(-7, 7)
    module = QuantizedLinear(codes / 10, torch.zeros(outputs), BITS)
    with torch.no_grad():
        module.weight_scale.fill_(0.1)
    return module


def inputs() -> Any:
    """One image of some pixels: slow changes, many zeros, largest value 1."""
    generator = torch.Generator().manual_seed(5)
    found = (torch.randn(1, PIXELS, 8, generator=generator).cumsum(1) / 4 - 0.2).clamp(min=0)
    return found / found.max()


def simulated_pj(module: Any, array: Accelerator, orders: list[Any]) -> float:
    """Data energy of the layer with its own operands in the machine's units, gate by gate."""
    view = SwitchingLoss(nn.Sequential(copy.deepcopy(module)), array).streams[0].view
    codes = module.integer_codes().numpy()
    plain = array.model_copy(update={"buffers": None})
    rows = np.rint(inputs().numpy() * 255).astype(np.uint8)
    known = layer_of(view, codes, m=PIXELS, activation_type=StorageType(8, signed=False), activation_zero_point=0)
    unit = network_unit([known], plain, load_cells("nangate45"), EnergyOptions())
    flow = dataflow_of(plain)
    natural = flow.segments(known, plain)
    segments = tuple(type(s)(s.lanes, s.order[order]) for s, order in zip(natural, orders, strict=True))
    work = flow.unit_work(known, segments, plain)
    operands = layer_operands(known, rows, plain, unit.datapath)
    model = unit.shared_model(work.weight_share, work.activation_share)
    (part,) = flow.unit_parts(operands, segments, plain)
    toggles = simulate(unit.circuit, part.sequences, "inertial")
    return energy_of(model, toggles, 0.0, 0.0).data_fj / 1000


@pytest.mark.parametrize("dataflow", MACHINES)
def test_energies_are_those_of_the_simulation(dataflow: str) -> None:
    array, expected, measured = MACHINES[dataflow], [], []
    for scale in (3.0, 0.7):
        module = layer(scale, 6 if dataflow != "activation-stationary" else 32)  # few seams between long passes
        term = SwitchingLoss(nn.Sequential(module), array, inputs=inputs(), strength=0.0, jobs=1)
        assert term().item() == pytest.approx(1.0, rel=1e-5)
        expected.append(term.energy_pj())
        measured.append(simulated_pj(module, array, term.streams[0].orders))
    saved, saved_in_simulation = expected[0] - expected[1], measured[0] - measured[1]
    assert saved_in_simulation > 0.1 * measured[0]
    assert saved == pytest.approx(saved_in_simulation, rel=0.35)
    if dataflow != "activation-stationary":  # there, only steps of weights count
        assert expected == pytest.approx(measured, rel=0.25)


def test_an_order_saves_what_it_does_in_the_simulation() -> None:
    array, module = MACHINES["activation-stationary"], layer(3.0, 32)
    term = SwitchingLoss(nn.Sequential(module), array, inputs=inputs(), strength=0.0, jobs=1)
    natural = [np.arange(32)] * 4
    ordered_pj, simulated = term.energy_pj(), simulated_pj(module, array, term.streams[0].orders)
    term.streams[0].orders, term._value = natural, None
    saved = term.energy_pj() - ordered_pj
    assert saved == pytest.approx(simulated_pj(module, array, natural) - simulated, rel=0.12)


@pytest.mark.parametrize("dataflow", MACHINES)
@pytest.mark.parametrize("method", ["bilinear", "smoothed"])
def test_the_gradient_is_that_of_finite_differences(dataflow: str, method: str) -> None:
    module = layer()
    with torch.no_grad():
        module.weight.add_(0.033)  # 0.33 steps off whole codes
    term = SwitchingLoss(
        nn.Sequential(module), MACHINES[dataflow], inputs=inputs(), method=method, ramp=0.5, share=1.0, jobs=1
    )
    term.advance(0.25)
    term().backward()
    found = module.weight.grad.clone()
    assert float(found.abs().max()) > 0
    for place in ((0, 0), (2, 5), (5, 7)):
        values = []
        for step in (-0.01, 0.01):
            with torch.no_grad():
                module.weight[place] += step
            values.append(term().item())
            with torch.no_grad():
                module.weight[place] -= step
        assert (values[1] - values[0]) / 0.02 == pytest.approx(found[place].item(), rel=0.02, abs=2e-4)


@pytest.mark.parametrize("dataflow", MACHINES)
def test_one_line_in_a_loop_lowers_the_energy(dataflow: str) -> None:
    model = nn.Sequential(layer(), nn.ReLU())
    wanted = model(inputs()).detach()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    values = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (model(inputs()) - wanted).square().mean()
        term = SwitchingLoss(model, MACHINES[dataflow], steps=20, every=4, strength=3.0, jobs=1)
        values.append(term().item())
        (loss + 0.1 * term).backward()
        optimizer.step()
    before = SwitchingLoss(nn.Sequential(layer()), MACHINES[dataflow], inputs=inputs(), jobs=1).energy_pj()
    term.finish()
    after = SwitchingLoss(model, MACHINES[dataflow], inputs=inputs(), jobs=1).energy_pj()
    assert values[0] == 0.0  # no forward pass was seen when the term was made
    assert values[-1] < 0.9
    assert after < 0.9 * before


def test_codes_of_a_weight_stationary_machine_are_the_cheapest_in_sum() -> None:
    module = layer()
    term = SwitchingLoss(
        nn.Sequential(module), MACHINES["weight-stationary"], inputs=inputs(), strength=2.0, ramp=0.0, jobs=1
    )
    latent = term.streams[0].view.latent_codes().detach().numpy()
    term.advance(0.0)
    found = term.streams[0].view.integer_codes().numpy()
    (cost,) = term._costs
    price = 2.0 * float(np.square(latent).mean()) / BITS / cost.unit_fj  # a layer alone has the average sensitivity
    values = np.arange(-7, 8)
    total = (values - latent[..., None]) ** 2 + price * cost.words_fj
    assert np.array_equal(found, values[total.argmin(axis=2)])
    assert (found == 0).mean() > (np.rint(latent) == 0).mean()


def test_the_state_is_taken_over() -> None:
    array = MACHINES["output-stationary"]
    term = SwitchingLoss(nn.Sequential(layer()), array, inputs=inputs(), jobs=1)
    term.advance(0.5)
    other = SwitchingLoss(nn.Sequential(layer()), array, jobs=1)
    assert not other.is_measured
    state = term.state_dict()
    other.load_state_dict(state)
    assert (other.energy_pj(), other._start_pj) == (
        sum(other.layer_energies_pj().values()),
        term._start_pj,
    )
    other.streams[0].view.module.code_shift = term.streams[0].view.module.code_shift
    other._value = None
    assert other().item() == pytest.approx(term().item(), rel=1e-6)
    for name, wrong in (("energies", None), ("start_pj", 0.0), ("start_pj", "much")):
        with pytest.raises(InputError, match="SwitchingLoss: expected the state"):
            other.load_state_dict({**state, name: wrong})
    table = copy.deepcopy(state)
    table["energies"]["tables"][0][0] = float("nan")
    with pytest.raises(InputError, match="other energies of layer 0"):
        other.load_state_dict(table)


def test_what_cannot_be_measured_is_one_line() -> None:
    model = nn.Sequential(layer())
    with pytest.raises(InputError, match="ones: costs are those measured"):
        SwitchingLoss(model, MACHINES["weight-stationary"], ones=0.5)
    wide = MACHINES["weight-stationary"].model_copy(
        update={"weights": Operand(format=NumberFormat.TWOS_COMPLEMENT, bits=12)}
    )
    with pytest.raises(AcceleratorError, match="at most 9 bits"):
        SwitchingLoss(model, wide)
    with pytest.raises(InputError, match="expected a forward pass of the model before"):
        SwitchingLoss(model, MACHINES["weight-stationary"]).energy_pj()
    apart = nn.Sequential(layer())
    apart[0].unused = layer()
    with pytest.raises(InputError, match="expected it to take part in the forward pass"):
        SwitchingLoss(apart, MACHINES["weight-stationary"], inputs=inputs())


def _brevitas() -> Any:
    quantized = pytest.importorskip("brevitas.nn", reason="needs Brevitas")
    return quantized.QuantLinear(8, 6, bias=True, weight_bit_width=BITS)


def _torchao() -> Any:
    qat = pytest.importorskip("torchao.quantization.qat", reason="needs torchao")
    config = qat.IntxFakeQuantizeConfig(torch.int4, granularity="per_channel", is_symmetric=True)
    return qat.FakeQuantizedLinear(8, 6, weight_config=config)


@pytest.mark.parametrize("made", [lambda: nn.Linear(8, 6), _brevitas, _torchao], ids=["plain", "Brevitas", "torchao"])
def test_layers_of_other_libraries_are_drawn_to_cheap_codes(made: Any) -> None:
    model = nn.Sequential(made())
    term = SwitchingLoss(
        model, MACHINES["weight-stationary"], inputs=inputs(), bits=BITS, strength=3.0, steps=8, every=2, jobs=1
    )
    before = term.energy_pj()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    for _ in range(8):
        optimizer.zero_grad()
        term().backward()
        optimizer.step()
    term.finish()
    assert term.method == "envelope"
    assert SwitchingLoss(model, MACHINES["weight-stationary"], inputs=inputs(), bits=BITS, jobs=1).energy_pj() < before
