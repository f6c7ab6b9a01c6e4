"""Options of the HD term: the section ``hamming`` of a configuration, and the arguments of ``HammingLoss``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fewflips.errors import InputError

if TYPE_CHECKING:
    from fewflips.streams.transition_cost import TransitionCost

Share = Annotated[float, Field(ge=0, le=1)]
Price = Annotated[float, Field(ge=0, le=1e6)]
Steps = Annotated[int, Field(ge=1, le=10**9)]

Method = Literal["assignment", "envelope", "smoothed", "bilinear"]


class HammingOptions(BaseModel):
    """How bit flips are weighed in training.

    Attributes
    ----------
    accelerator : str
        A built-in machine's name or a YAML file.
    strength : float
        What the HD term is multiplied by before it is added to the loss; 0 or more. ``assignment`` and
        ``envelope`` take it as what all flips of a word may cost in squared distance of the code, as a share of
        the layer's mean squared code.
    method : {"assignment", "envelope", "smoothed", "bilinear"} or None
        How the term moves the weights; None: ``assignment`` where all layers are fewflips' own, else ``envelope``.
    ones : float
        Cost of a bit that is 1, in flips; twice that in depthwise layers, where activations change with every word.
    bit_weights : tuple of float or None
        Cost of a flip of each bit of 8, least significant first; layers with fewer bits take the last ones. Orders
        remain those of the fewest flips.
    bit_costs : tuple of int or None
        Cost of a flip of each bit, least significant first, in any unit: integers, for orders follow them, too, and
        all layers have words of as many bits. Not beside `bit_weights`.
    include, exclude : tuple of str
        Patterns of the names of layers that count (``*`` and ``?``).
    every : int
        Steps between two assignments of codes.
    reorder_every : int
        Steps between two solutions of the orders.
    ramp : float
        Share of the training in which the strength rises, or the Gaussian's width falls.
    freeze : float
        Share of the training after which orders and assigned codes stay.
    balance : float
        How much harder less sensitive layers are pressed: 0 (all alike) to 1 (in inverse proportion, from 1/1000 to
        20 times the average layer).
    share : float
        Share of the lanes that one step of ``smoothed`` and ``bilinear`` looks at.
    activation_headroom : float
        By how much the grids of activations reach further than their ranges, so that codes stay small: fewer of their
        bits are 1, at the price of log2 of it bits of precision. A part of the trainer, not of ``HammingLoss``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    accelerator: Annotated[str, Field(min_length=1)] = "edge16"
    strength: Price = 1.0
    method: Method | None = None
    ones: Price = 0.8
    bit_weights: Annotated[tuple[Price, ...], Field(min_length=8, max_length=8)] | None = None
    bit_costs: tuple[int, ...] | None = None
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    every: Steps = 15
    reorder_every: Steps = 200
    ramp: Share = 0.6
    freeze: Share = 0.9
    balance: Share = 1.0
    share: Annotated[float, Field(gt=0, le=1)] = 0.25
    activation_headroom: Annotated[float, Field(ge=1, le=64)] = 1.0

    @field_validator("bit_costs")
    @classmethod
    def _are_costs(cls, bit_costs: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if bit_costs is not None:
            try:
                _per_bit(bit_costs)
            except InputError as error:
                raise ValueError(str(error)) from error
            if not any(bit_costs):
                raise ValueError("expected one that is not 0")
        return bit_costs

    @model_validator(mode="after")
    def _one_cost(self) -> Self:
        if self.bit_costs is not None and self.bit_weights is not None:
            raise ValueError("expected either bit_costs or bit_weights")
        return self

    @property
    def cost(self) -> TransitionCost | None:
        """The costs of bits as a transition cost; None where none are given."""
        return None if self.bit_costs is None else _per_bit(self.bit_costs)

    def arguments(self) -> dict[str, Any]:
        """What ``HammingLoss`` takes beside the network and the accelerator."""
        return self.model_dump(exclude={"accelerator", "activation_headroom"})


def _per_bit(bit_costs: tuple[int, ...]) -> TransitionCost:
    from fewflips.streams.transition_cost import TransitionCost  # compiles

    return TransitionCost.per_bit(bit_costs)
