"""The Hamming distance of a network's weights as a term of the training loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from fewflips.assignment.nearest_codes import nearest_codes
from fewflips.errors import InputError
from fewflips.files.validation import describe_validation_error
from fewflips.machine import Accelerator
from fewflips.streams.flips import stream_flips
from fewflips.streams.transition_cost import TransitionCost
from fewflips.training.hamming.layer_costs import LayerCosts, TabulatedCosts, layer_costs
from fewflips.training.hamming.options import HammingOptions
from fewflips.training.hamming.sensitivity import Sensitivity
from fewflips.training.hamming.state import check_hamming_state
from fewflips.training.hamming.transition_tables import transition_cost
from fewflips.training.hamming.weight_streams import WeightStream, solve_orders, trained_streams

STEPS = 1000
"""Length of the training in calls of the term, where nobody says how far it is."""

GENTLEST = 1 / 300
"""Strength at the start, as a share of that at the end of the ramp."""

WIDEST = 20 / 255
"""Standard deviation of the Gaussian at the start, as a share of the range of codes."""

WIDTHS = 256
"""Widths that the Gaussian takes one after the other: each needs new tables."""

_TERMS = "_fewflips_hamming_terms"
"""Attribute of a model that keeps its terms, so that they are freed with it."""


class _Terms(dict[Any, Any]):
    """A model's terms, by their arguments; copies of the model and its pickles begin without any."""

    def __reduce__(self) -> Any:
        return dict, ()


class HammingLoss:
    """Flips of a network's weights on an accelerator, to be added to a loss.

    ``loss = task_loss + lam * HammingLoss(model, "edge16")`` works in any training loop: made again for the same
    model and options, the term goes on where it was, with its orders and its progress. Multiplied with or added to
    numbers and tensors it stands for its value, `term()`.

    The value is the mean over layers of the normalized Hamming distance (NHD) of the words in their present
    orders: 0.5 for random words; ``smoothed`` and ``bilinear`` count ones with it, as `ones` says. Orders are solved
    when the term is made, and again while training goes on. :meth:`statistics` counts exactly. With a `cost`, the
    value, the codes and the orders follow that cost in place of flips, in units of what a flip costs on average: random
    words still give 0.5, and `strength` and `ones` keep their meaning. What makes codes follow is the `method`:

    * ``assignment``: every few steps all codes are set to the cheapest ones near the latent weights
      (:mod:`fewflips.assignment.nearest_codes`), and the network computes with these; gradients pass straight
      through to the latent weights. For layers of :mod:`fewflips.training.quantization.quantized_layers`. The value
      has no gradient, so that `lam` is of no effect: `strength` says how hard codes are pressed.
    * ``envelope``: the Moreau envelope of the HD, whose gradient draws latent weights to the cheapest codes near
      them; the value is that of these codes plus the distance to them.
    * ``smoothed``: the flip table, averaged by a Gaussian over codes whose width shrinks to 0, and interpolated:
      exact at whole codes from then on.
    * ``bilinear``: the flip table, interpolated: exact at whole codes.

    Parameters
    ----------
    model : nn.Module
        PyTorch layers, layers of Brevitas, of torchao's quantization-aware training, or of fewflips. Weights that
        are not trained when the term is made (``requires_grad`` is false) are left alone.
    accelerator : str or Accelerator
        A built-in machine's name, a YAML file, or a machine; activation- or output-stationary.
    bits : int
        Width of the codes of plain PyTorch layers.
    cost : TransitionCost, optional
        What the step from one word to the next costs, in any unit: flips without it. All layers have words of as many
        bits. ``assignment`` and ``envelope`` take much longer where it is a table.
    transition_costs : ndarray, shape (V, V), optional
        Cost of each transition between values in rising order in place of that of flips; V is the number of values of
        every layer. It need be neither whole nor symmetric, for orders do not follow it. ``assignment`` and
        ``envelope`` take much longer with it.
    steps : int
        Length of the training in calls, for loops that do not :meth:`advance` the term.
    seed : int
        Of the choice of lanes.
    **options
        Fields of :class:`~fewflips.training.hamming.options.HammingOptions`, but for `accelerator`.

    Raises
    ------
    InputError
        If an option is not possible, or a layer does not fit the method or the cost.
    AcceleratorError
        If weights do not stream on that accelerator.
    """

    options: HammingOptions
    steps: int
    seed: int
    _cost: TransitionCost | None
    _costs: list[LayerCosts]
    _forget: Callable[[], Any]

    def __new__(
        cls,
        model: nn.Module,
        accelerator: str | Accelerator = "edge16",
        *,
        bits: int = 8,
        cost: TransitionCost | None = None,
        transition_costs: NDArray[np.floating] | None = None,
        steps: int = STEPS,
        seed: int = 0,
        **options: Any,
    ) -> Self:
        """The term that was made before for the same model and options, or a new one."""
        chosen = cls._checked_options(options, steps, seed)
        if sum(given is not None for given in (cost, transition_costs, chosen.bit_costs or chosen.bit_weights)) > 1:
            raise InputError("HammingLoss: expected one of cost, transition_costs, bit_costs and bit_weights, got more")
        key = (cls, accelerator, bits, cost, id(transition_costs), steps, seed, chosen)

        def begin(term: Self) -> None:
            term.options, term.steps, term.seed = chosen, steps, seed
            term._cost = chosen.cost if cost is None else cost
            term._begin(model, accelerator, bits, transition_costs)

        return cls._known(model, key, begin)

    @classmethod
    def _checked_options(cls, options: dict[str, Any], steps: int, seed: int) -> HammingOptions:
        try:
            chosen = HammingOptions.model_validate(options)
        except ValidationError as error:
            raise InputError(f"{cls.__name__}: {describe_validation_error(error)}") from error
        if chosen.activation_headroom != 1:
            raise InputError(
                f"{cls.__name__}: activation_headroom is not the term's; give it to "
                "fewflips.training.quantization.quantize.widen_ranges"
            )
        for name, number, least in (("steps", steps, 1), ("seed", seed, 0)):
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise InputError(f"{cls.__name__}: {name}: expected a whole number, {least} or more, got {number!r}")
        return chosen

    @classmethod
    def _known(cls, model: nn.Module, key: Any, begin: Callable[[Self], None]) -> Self:
        """The model's term of a key; where there is none yet, one that has begun."""
        known = model.__dict__.get(_TERMS)
        if not isinstance(known, _Terms):
            known = model.__dict__[_TERMS] = _Terms()
        term: Self | None = known.get(key)
        if term is None:
            term = object.__new__(cls)
            begin(term)
            term._forget = lambda: known.pop(key, None)
            known[key] = term
        return term

    def _begin(
        self, model: nn.Module, accelerator: str | Accelerator, bits: int, costs: NDArray[np.floating] | None
    ) -> None:
        """Find the layers, and solve their first orders."""
        self._kept = costs  # so that no other object gets its id
        self.streams, self.method = trained_streams(model, accelerator, self.options, bits)
        self._costs = [layer_costs(stream, self.options, costs, self._cost) for stream in self.streams]
        self._start()

    def _start(self) -> None:
        """Everything that changes in training, at its beginning."""
        self._sensitivity = Sensitivity([stream.view for stream in self.streams])
        self._progress, self._step, self._led = 0.0, 0, False
        self._frozen = False
        self._value: float | None = None
        self._assigned: list[Tensor] = []
        self._held: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._tables: tuple[float, dict[Any, Tensor]] = (0.0, {})
        self._squares = [max(float(codes.square().mean()), 1e-3) for codes in self._latent()]
        self._reorder()

    def __reduce__(self) -> Any:
        return object.__new__, (type(self),), self.__dict__  # a copy is an object of its own

    def __call__(self) -> Tensor:
        """The value: float32, shape (), on the device of the first layer's weights."""
        if not self._led:
            self._advance(min(self._step / self.steps, 1.0))
        if self.method in ("smoothed", "bilinear") and not self._frozen:
            return self._interpolated()
        return self._enveloped() if self.method == "envelope" else self._counted()

    def __mul__(self, other: Any) -> Tensor:
        """Value times a number or tensor."""
        return self() * other

    __rmul__ = __mul__

    def __add__(self, other: Any) -> Tensor:
        """Value plus a number or tensor."""
        return self() + other

    __radd__ = __add__

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Let tensors take the term as its value."""
        values = [arg() if isinstance(arg, cls) else arg for arg in args]
        return function(*values, **(kwargs or {}))

    def advance(self, progress: float) -> None:
        """Tell how far the training is; call it before each step's forward pass.

        Parameters
        ----------
        progress : float
            From 0 to 1.

        Raises
        ------
        InputError
            If the progress is out of range, or weights are not finite.
        """
        if not 0 <= progress <= 1:
            raise InputError(f"HammingLoss: expected a progress from 0 to 1, got {progress}")
        self._led = True
        self._advance(progress)

    def finish(self) -> None:
        """End the training: weights become the assigned codes, or those that they are rounded to.

        Weights that were frozen can be trained again, and another term for the same model begins anew.
        """
        if self.method in ("assignment", "envelope") and not self._frozen:
            self._assign()
        for index, stream in enumerate(self.streams):
            codes = self._assigned[index] if self._assigned else stream.view.integer_codes()
            stream.view.assign_codes(codes)
        for parameter in self._held:
            parameter.requires_grad_(True)
        self._sensitivity.close()
        self._forget()

    def statistics(self) -> dict[str, float]:
        """Exact figures of the present codes and orders.

        Returns
        -------
        dict of str to float
            ``flips`` of one pass through every layer's segments, ``nhd`` over all transitions, ``layer_nhd`` on
            average over layers, ``ones`` as a share of all bits.
        """
        flips, bits, ones, width, by_layer = 0, 0, 0, 0, []
        for stream, words in self._words():
            layer = sum(stream_flips(block) for block in words)
            flips, bits = flips + layer, bits + stream.transitions * stream.word_bits
            ones += sum(int(np.bitwise_count(block).sum(dtype=np.int64)) for block in words)
            width += stream.size * stream.word_bits
            by_layer.append(layer / (stream.transitions * stream.word_bits))
        return {
            "flips": float(flips),
            "nhd": flips / bits,
            "layer_nhd": float(np.mean(by_layer)),
            "ones": ones / width,
        }

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, for a checkpoint."""
        return {
            "step": self._step,
            "progress": self._progress,
            "frozen": self._frozen,
            "value": self._value,
            "squares": list(self._squares),
            "assigned": [codes.clone() for codes in self._assigned],
            "orders": [[torch.from_numpy(order.copy()) for order in stream.orders] for stream in self.streams],
            "sensitivity": self._sensitivity.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave; the layers' weights and shifts are the network's own state.

        Raises
        ------
        InputError
            If it is that of another network or accelerator, or damaged.
        """
        check_hamming_state(state, self.streams)
        self._step, self._progress = int(state["step"]), float(state["progress"])
        self._squares = [float(square) for square in state["squares"]]
        self._assigned, self._targets = [codes.clone() for codes in state["assigned"]], []
        for stream, saved in zip(self.streams, state["orders"], strict=True):
            stream.orders = [order.cpu().numpy().copy() for order in saved]
        self._places, self._value = self._ordered_places(), state["value"]
        self._sensitivity.load_state_dict(state["sensitivity"])
        if state["frozen"]:
            self._freeze()

    def _advance(self, progress: float) -> None:
        self._progress = progress
        options, step = self.options, self._step
        self._step += 1
        if self._frozen:
            return
        last = progress >= options.freeze
        if step and not last and step % options.reorder_every == 0:
            self._reorder()
        if self.method in ("assignment", "envelope"):
            if last or step % options.every == 0:
                self._assign()
            if last:
                self._freeze()

    def _freeze(self) -> None:
        """Fix the assigned codes: biases and the other layers train on; an envelope goes on drawing weights there."""
        self._frozen = True
        if self.method == "envelope":
            return
        for stream, codes in zip(self.streams, self._assigned, strict=True):
            stream.view.assign_codes(codes)
            self._hold(stream.view.weight)
            scale = stream.view.module.weight_scale
            if isinstance(scale, nn.Parameter):  # codes are weights by scales
                self._hold(scale)
        self._sensitivity.close()

    def _hold(self, parameter: Tensor) -> None:
        """Stop a parameter's training until :meth:`finish`."""
        if parameter.requires_grad:
            self._held.append(parameter)
        parameter.requires_grad_(False)
        parameter.grad = None

    @torch.no_grad()
    def _latent(self) -> list[Tensor]:
        return [stream.view.latent_codes().float().cpu() for stream in self.streams]

    def _codes(self) -> list[NDArray[np.int16]]:
        """What the network computes with, and at an envelope what it is drawn to: int16, shape (N, K)."""
        if self.method == "envelope" and self._assigned:
            return [codes.numpy() for codes in self._assigned]
        return [stream.view.integer_codes().cpu().numpy() for stream in self.streams]

    def _words(self) -> list[tuple[WeightStream, list[NDArray[np.unsignedinteger]]]]:
        """Words of each layer as they stream, as :meth:`WeightStream.ordered` gives their places."""
        return [
            (stream, [stream.on_wires(codes.reshape(-1)[places]) for places in stream.ordered()])
            for stream, codes in zip(self.streams, self._codes(), strict=True)
        ]

    def _reorder(self) -> None:
        codes = [layer.numpy() for layer in self._assigned] or self._codes()
        solve_orders(self.streams, codes, cost=self._cost, seed=self.seed, jobs=torch.get_num_threads())
        self._places, self._value = self._ordered_places(), None

    def _ordered_places(self) -> list[list[Tensor]]:
        return [
            [torch.from_numpy(places).to(stream.view.weight.device) for places in stream.ordered()]
            for stream in self.streams
        ]

    def _strength(self) -> float:
        """Present strength: it rises geometrically, then stays."""
        risen = min(self._progress / self.options.ramp, 1.0) if self.options.ramp else 1.0
        return self.options.strength * GENTLEST ** (1.0 - risen)

    def _prices(self, strength: float) -> list[float]:
        """What a flip may cost in squared distance, layer by layer."""
        squares = [
            square * stream.size / weight
            for square, stream, weight in zip(self._squares, self.streams, self._weights(), strict=True)
        ]
        pressures = self._sensitivity.pressures(squares, self.options.balance)
        return [
            strength * square * pressure / stream.word_bits
            for square, pressure, stream in zip(self._squares, pressures, self.streams, strict=True)
        ]

    @torch.no_grad()
    def _assign(self) -> None:
        """Set all codes to the cheapest ones near the latent weights."""
        assigned = []
        prices = self._prices(self._strength())
        for index, (stream, latent, price) in enumerate(zip(self.streams, self._latent(), prices, strict=True)):
            curvature = self._sensitivity.curvature(index, stream.view.shape[0]).numpy()
            codes = np.zeros(stream.view.shape, dtype=np.int16)
            for places in stream.ordered():
                codes.reshape(-1)[places] = nearest_codes(
                    latent.numpy().reshape(-1)[places],
                    curvature[places // stream.view.shape[1]],
                    self._costs[index].of_words(price),
                    jobs=torch.get_num_threads(),
                )
            assigned.append(torch.from_numpy(codes))
            if self.method == "assignment":
                # whole, so that codes follow their latent weights at once, as they do without the term
                shift = torch.from_numpy(codes.astype(np.float32)) - latent.round()
                weight = stream.view.weight
                stream.view.module.code_shift = shift.reshape(weight.shape).to(weight.device)
        self._assigned, self._targets, self._value = assigned, [], None

    def _on_device(self) -> list[Tensor]:
        """The assigned codes as float32, where the weights are."""
        if not self._targets:
            weights = [stream.view.weight for stream in self.streams]
            self._targets = [codes.to(w.device).float() for codes, w in zip(self._assigned, weights, strict=True)]
        return self._targets

    def _counted(self) -> Tensor:
        """Mean NHD of the present codes; counted when codes or orders are set, not at every step."""
        if self._value is None:
            self._value = float(self._overall(np.array(self._layer_values())))
        return torch.tensor(self._value, device=self.streams[0].view.weight.device)

    def _layer_values(self) -> list[float]:
        """Cost of each layer's present codes, as a share of its bits."""
        return [self._along(words) / self._bits_of(stream) for stream, words in self._words()]

    def _overall(self, layers: Any) -> Any:
        """The value, from those of the layers (an array or a tensor)."""
        return layers.mean()

    def _weights(self) -> Sequence[float]:
        """What a unit of each layer's own value counts."""
        return [1.0] * len(self.streams)

    def _bits_of(self, stream: WeightStream) -> int:
        """Bits that a layer's value is a share of."""
        return stream.transitions * stream.word_bits

    def _along(self, words: list[NDArray[np.unsignedinteger]]) -> float:
        """Cost of a layer's streams in flips of mean cost."""
        if self._cost is None:
            return sum(stream_flips(block) for block in words)
        return sum(self._cost.along(block) for block in words) / self._cost.mean_per_flip

    def _enveloped(self) -> Tensor:
        """The assigned codes' mean NHD, plus the squared distance to them at the price that a flip has in the end.

        At the lower prices of the beginning the pull of small layers would be too stiff for usual learning rates.
        """
        if self.options.strength == 0:
            return self._counted()
        pulls = []
        prices = self._prices(self.options.strength)
        for stream, codes, price in zip(self.streams, self._on_device(), prices, strict=True):
            away = (stream.view.latent_codes() - codes).square().sum()
            pulls.append(away / (price * self._bits_of(stream)))
        return self._counted() + self._overall(torch.stack(pulls))

    def _interpolated(self) -> Tensor:
        """Mean cost of a transition in a share of the lanes, as a share of the word's bits."""
        falling = 1.0 - min(self._progress / self.options.ramp, 1.0) if self.options.ramp else 0.0
        width = WIDEST * math.ceil(falling * WIDTHS) / WIDTHS if self.method == "smoothed" else 0.0
        lanes_of = np.random.default_rng((self.seed, self._step))
        values = []
        for stream, costs, blocks in zip(self.streams, self._costs, self._places, strict=True):
            table = self._table(costs, width)
            latent = stream.view.latent_codes().float().reshape(-1)
            cost, transitions = [], 0
            for places in blocks:
                if len(places) < 2:  # a tile of one channel
                    continue
                lanes = places.shape[1]
                count = max(round(lanes * self.options.share), 1)
                chosen = places[:, lanes_of.integers(lanes, size=count)] if count < lanes else places
                cost.append(transition_cost(latent[chosen], table, stream.view.low))
                transitions += (places.shape[0] - 1) * chosen.shape[1]
            values.append(torch.stack(cost).sum() / (transitions * stream.word_bits))
        return self._overall(torch.stack(values))

    def _table(self, costs: TabulatedCosts, width: float) -> Tensor:
        """Smoothed costs; layers whose words cost the same share them, and steps of one width."""
        if self._tables[0] != width:
            self._tables = (width, {})
        kind = costs.kind
        table = self._tables[1].get(kind)
        if table is None:
            table = costs.smoothed_table(width * len(costs.words), self._places[0][0].device)
            self._tables[1][kind] = table
        return table
