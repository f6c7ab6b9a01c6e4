"""Steps of one's own: two that reorder words, and one that changes weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from fewflips.dataflows import Segment, dataflow_of
from fewflips.network import Layer
from fewflips.optimization import Context, Evidence, Outcome, State, Step, write_model
from fewflips.streams.codes import weight_codes

MOVED = Evidence.exact("words stream in another order, and each of them is still there")
NEARBY = Evidence.bounded(0.5, "of a probability", "measured on many inputs of this network")


class SortedWords(Step):
    """Words of each segment by their value, the first lane's first."""

    name = "sorted"

    def apply(self, state: State, context: Context) -> Outcome:
        orders = {
            layer.name: tuple(self._sorted(layer, segment, state) for segment in state.orders[layer.name])
            for layer in state.network.layers
        }
        return Outcome(replace(state, orders=orders), MOVED)

    def _sorted(self, layer: Layer, segment: Segment, state: State) -> Segment:
        codes = weight_codes(layer, state.accelerator.weights).words
        words = dataflow_of(state.accelerator).segment_words(codes, segment).tolist()
        return Segment(segment.lanes, segment.order[sorted(range(len(words)), key=words.__getitem__)])


class Backwards(Step):
    """Each segment's words in the opposite order."""

    name = "backwards"

    def apply(self, state: State, context: Context) -> Outcome:
        orders = {
            name: tuple(Segment(segment.lanes, segment.order[::-1].copy()) for segment in segments)
            for name, segments in state.orders.items()
        }
        return Outcome(replace(state, orders=orders), MOVED)


@dataclass(frozen=True)
class EvenWeights(Step):
    """Weights of an ONNX file without their lowest bit, which therefore never flips."""

    evidence: Evidence = NEARBY

    name = "even"
    rewrites = True

    def apply(self, state: State, context: Context) -> Outcome:
        network, files = write_model("onnx", lambda path: self._write(state, path))
        return Outcome(State.stored(network, state.accelerator, files), self.evidence)

    def _write(self, state: State, path: Path) -> None:
        model = onnx.load(state.network.path)
        weights = {layer.weights_tensor for layer in state.network.layers}
        for tensor in model.graph.initializer:
            if tensor.name in weights:
                even = numpy_helper.to_array(tensor) & np.int8(-2)
                tensor.CopyFrom(numpy_helper.from_array(even, tensor.name))
        onnx.save(model, path)
