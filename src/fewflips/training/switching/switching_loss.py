"""The expected switching energy of a network's weights on a machine, as a term of the training loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from fewflips.errors import InputError
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.machine import Accelerator, load_accelerator
from fewflips.progress import Progress
from fewflips.training.hamming.hamming_loss import STEPS, WIDEST, WIDTHS, HammingLoss
from fewflips.training.hamming.transition_tables import transition_cost
from fewflips.training.hamming.weight_streams import WeightStream, solve_orders, trained_streams
from fewflips.training.switching.energy_costs import EnergyCosts, held_cost
from fewflips.training.switching.layer_energies import LayerEnergies, MeasuringOptions, check_measurable, layer_energies
from fewflips.training.switching.observed_inputs import InputObserver
from fewflips.training.switching.state import energies_from_state, energies_state

_MEASURED = ("ones", "bit_weights", "bit_costs")
"""Options of the HD term that stand for energy, in place of which energy is measured."""


class SwitchingLoss(HammingLoss):
    """Switching energy of a network's weights on a machine, to be added to a loss.

    ``loss = task_loss + lam * SwitchingLoss(model, "tpu16")`` works in any training loop, as
    :class:`~fewflips.training.hamming.hamming_loss.HammingLoss` does, with the same methods, options and progress.

    The value is the expected data energy of one inference, divided by that at the start: 1 there. What counts depends
    on the machine's dataflow:

    * activation-stationary: the steps from each weight to the next along the order, by pairs of codes; in depthwise
      layers, whose activations change with every word, also what each code costs while it stands;
    * weight-stationary: what each held code costs while the layer's own activations stream past it;
    * output-stationary: both, along the reduction.

    Energies are measured at gate level, glitches included, in the machine's unit, in the first step after a forward
    pass was seen (or at once under `inputs`), and cached; until then the value is 0. Layers count by their energy:
    pixels, and so work, are those of the forward pass.

    Parameters
    ----------
    model : nn.Module
        PyTorch layers, layers of Brevitas, of torchao's quantization-aware training, or of fewflips.
    machine : str or Accelerator
        A built-in machine's name, a YAML file, or a machine; of any dataflow.
    inputs : Tensor, optional
        A batch that is run through the model when the term is made, in evaluation mode, to observe layers' inputs.
        Without it, those of the model's next forward pass are.
    bits : int
        Width of the codes of plain PyTorch layers.
    cells : str, Path or CellLibrary
        A built-in table's name, a cell table, or a Liberty file.
    steps : int
        Length of the training in calls, for loops that do not :meth:`advance` the term.
    seed : int
        Of the choice of lanes, and of measurements.
    jobs : int
        Threads that measure; -1 for all processors.
    progress : callable, optional
        Called as ``progress(phase, done, total)`` while energies are measured.
    **options
        Fields of :class:`~fewflips.training.hamming.options.HammingOptions`, but for `accelerator` and the costs of
        flips and of ones, in place of which energies are measured.

    Raises
    ------
    InputError
        If an option is not possible, or a layer does not fit the method.
    AcceleratorError
        If the machine has no unit for these layers whose energies can be tabulated.
    """

    _costs: list[EnergyCosts]  # type: ignore[assignment]  # the same calls, other costs
    _calibration: MeasuringOptions

    def __new__(
        cls,
        model: nn.Module,
        machine: str | Accelerator = "edge16",
        *,
        inputs: Tensor | None = None,
        bits: int = 8,
        cells: str | Path | CellLibrary = "nangate45",
        steps: int = STEPS,
        seed: int = 0,
        jobs: int = -1,
        progress: Progress | None = None,
        **options: Any,
    ) -> Self:
        """The term that was made before for the same model and options, or a new one."""
        for name in _MEASURED:
            if options.get(name):
                raise InputError(f"SwitchingLoss: {name}: costs are those measured on the machine; leave it out")
        chosen = cls._checked_options({**options, "ones": 0.0}, steps, seed)

        def begin(term: Self) -> None:
            term.options, term.steps, term.seed, term._cost = chosen, steps, seed, None
            term._calibration = MeasuringOptions(cells, seed, jobs, progress)
            term._begin_on(model, machine, bits, inputs)

        return cls._known(model, (cls, machine, bits, str(cells), steps, seed, chosen), begin)

    def _begin_on(self, model: nn.Module, machine: str | Accelerator, bits: int, inputs: Tensor | None) -> None:
        """Find the layers, and measure at once where there are inputs."""
        self._array = load_accelerator(machine) if isinstance(machine, str) else machine
        self.streams, self.method = trained_streams(model, self._array, self.options, bits, held=True)
        views = [stream.view for stream in self.streams]
        check_measurable(views, self._array)
        self._costs, self._start_pj = [], 0.0
        self._start()
        self._observer = InputObserver(views)
        if inputs is not None:
            _run(model, inputs)
            self._measure()

    @property
    def is_measured(self) -> bool:
        """Whether energies are known: until then the term does nothing."""
        return bool(self._costs)

    def __call__(self) -> Tensor:
        """The value: float32, shape (), on the device of the first layer's weights."""
        if not self._measure():
            return torch.zeros((), device=self.streams[0].view.weight.device)
        return super().__call__() + sum(cost.fixed_pj for cost in self._costs) / self._start_pj

    def energy_pj(self) -> float:
        """Expected data energy of one inference with the present codes and orders, in picojoules.

        In an activation-stationary machine, dense layers count what steps of weights add to standing still.

        Raises
        ------
        InputError
            If no forward pass was seen yet.
        """
        if not self._measure():
            raise InputError(
                "SwitchingLoss: expected a forward pass of the model before, got none: run it, or give inputs"
            )
        return sum(self.layer_energies_pj().values())

    def layer_energies_pj(self) -> dict[str, float]:
        """Share of each layer in :meth:`energy_pj`, by the layer's name."""
        values = zip(self.streams, self._costs, self._layer_values(), strict=True)
        return {stream.view.name: cost.weight_pj * value + cost.fixed_pj for stream, cost, value in values}

    def finish(self) -> None:
        """End the training, as :meth:`HammingLoss.finish` does."""
        self._observer.close()
        super().finish()

    def statistics(self) -> dict[str, float]:
        """Figures of :meth:`HammingLoss.statistics` where weights follow one another, and ``energy_pj``."""
        found = super().statistics() if any(stream.transitions for stream in self.streams) else {}
        return {**found, "energy_pj": self.energy_pj()} if self.is_measured else found

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, for a checkpoint; measured energies among them."""
        energies = energies_state([cost.energies for cost in self._costs])
        return {**super().state_dict(), "energies": energies, "start_pj": self._start_pj}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave.

        Raises
        ------
        InputError
            If it is that of another network or machine, or damaged.
        """
        found, start_pj = energies_from_state(state, self.streams)
        super().load_state_dict(state)
        if found:
            self._observer.close()
            self._costs, self._start_pj = self._priced(found), start_pj

    def _measure(self) -> bool:
        """Measure energies as soon as a forward pass was seen; whether they are known."""
        if self._costs:
            return True
        inputs = self._observer.found
        if not inputs:
            return False
        for index, stream in enumerate(self.streams):
            if index not in inputs:
                raise InputError(
                    f"layer {stream.view.name} {stream.view.shape}: expected it to take part in the forward pass, got "
                    "one without it; leave the layer out (exclude)"
                )
        self._observer.close()
        given = [inputs[index] for index in range(len(self.streams))]
        present = [stream.view.integer_codes().cpu().numpy() for stream in self.streams]
        self._costs = self._priced(layer_energies(self.streams, given, present, self._array, self._calibration))
        self._reorder()
        self._start_pj = self.energy_pj()
        return True

    def _priced(self, energies: Sequence[LayerEnergies]) -> list[EnergyCosts]:
        return [EnergyCosts(stream, found) for stream, found in zip(self.streams, energies, strict=True)]

    def _advance(self, progress: float) -> None:
        if self._measure():
            super()._advance(progress)
        self._progress = progress

    def _assign(self) -> None:
        if self._costs:
            super()._assign()

    def _reorder(self) -> None:
        codes = [layer.numpy() for layer in self._assigned] or self._codes()
        for stream, layer, cost in zip(self.streams, codes, self._costs, strict=bool(self._costs)):
            if cost.order_cost is not None:
                solve_orders([stream], [layer], cost=cost.order_cost, seed=self.seed, jobs=torch.get_num_threads())
        self._places, self._value = self._ordered_places(), None

    def _layer_values(self) -> list[float]:
        values = []
        for (stream, words), cost in zip(self._words(), self._costs, strict=True):
            energies, total_fj = cost.energies, 0.0
            for block in words:
                if energies.steps_fj is not None:
                    total_fj += float(energies.steps_fj[block[:-1], block[1:]].sum())
                if energies.held_fj is not None:
                    total_fj += float((energies.held_fj[block] - cost.least_fj).sum())
            values.append(total_fj / cost.unit_fj / self._bits_of(stream))
        return values

    def _weights(self) -> Sequence[float]:
        return [cost.weight_pj for cost in self._costs]

    def _bits_of(self, stream: WeightStream) -> int:
        return stream.size * stream.word_bits

    def _overall(self, layers: Any) -> Any:
        shares = np.array(self._weights()) / self._start_pj
        if isinstance(layers, Tensor):
            return (layers * torch.from_numpy(shares).to(layers.device, layers.dtype)).sum()
        return (layers * shares).sum()

    def _interpolated(self) -> Tensor:
        """Energy of steps and words in a share of the lanes."""
        falling = 1.0 - min(self._progress / self.options.ramp, 1.0) if self.options.ramp else 0.0
        width = WIDEST * math.ceil(falling * WIDTHS) / WIDTHS if self.method == "smoothed" else 0.0
        lanes_of = np.random.default_rng((self.seed, self._step))
        values = [self._sampled(index, width, lanes_of) for index in range(len(self.streams))]
        return self._overall(torch.stack(values))

    def _sampled(self, index: int, width: float, lanes_of: np.random.Generator) -> Tensor:
        """A layer's value, from some lanes of each of its blocks."""
        stream, cost = self.streams[index], self._costs[index]
        table, words = self._table(cost, width), self._held_table(cost, width)
        latent = stream.view.latent_codes().float().reshape(-1)
        total = latent.sum() * 0.0
        for places in self._places[index]:
            lanes = places.shape[1]
            count = max(round(lanes * self.options.share), 1)
            chosen = latent[places[:, lanes_of.integers(lanes, size=count)] if count < lanes else places]
            scale = lanes / chosen.shape[1]
            if cost.energies.steps_fj is not None and len(chosen) > 1:
                total = total + scale * transition_cost(chosen, table, stream.view.low)
            if cost.energies.held_fj is not None:
                total = total + scale * held_cost(chosen, words, stream.view.low)
        return total / self._bits_of(stream)

    def _held_table(self, cost: EnergyCosts, width: float) -> Tensor:
        """Smoothed costs of held values, kept as those of steps are."""
        kind = ("held", *cost.kind)
        found = self._tables[1].get(kind)
        if found is None:
            found = cost.smoothed_words(width * len(cost.stream.words), self._places[0][0].device)
            self._tables[1][kind] = found
        return found


@torch.no_grad()
def _run(model: nn.Module, inputs: Tensor) -> None:
    """A forward pass that changes nothing."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        model(inputs)
    finally:
        for module, mode in modes.items():
            module.training = mode
