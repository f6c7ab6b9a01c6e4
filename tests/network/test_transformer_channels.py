"""Channels of transformers: which may move, by trying all of them, and that those that may keep the outputs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations, product
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from fewflips.dataflows import dataflow_of
from fewflips.machine import load_accelerator
from fewflips.network import load, rewrite
from fewflips.network.channels import ChannelGroups, tie_channels
from fewflips.network.layouts import Blocks, groups_in
from fewflips.optimization.channel_orders import block_orders
from fewflips.verification.structure import compare_structure
from tests.network.build_onnx import save
from tests.network.build_transformer import TOKENS, attention, block, block_of_4_bits

ort = pytest.importorskip("onnxruntime")

TOLERANCE = 1e-4
"""Of sums of floats in another order, as a share of the largest output."""


def session_of(model: bytes):
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(model: bytes, seed: int = 0) -> NDArray[np.float32]:
    session = session_of(model)
    (given,) = session.get_inputs()
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 7, (1, TOKENS)) if given.name == "ids" else None
    feed = rng.normal(size=[int(n) for n in given.shape]).astype(np.float32) if tokens is None else tokens
    result: NDArray[np.float32] = session.run(None, {given.name: feed})[0]
    return result


def same(one: NDArray[np.float32], other: NDArray[np.float32], tolerance: float = TOLERANCE) -> bool:
    return bool(np.abs(one - other).max() <= tolerance * np.abs(one).max())


def layout_of(groups: ChannelGroups, tensor: str, axis: int):
    (tied,) = [tied for tied in groups.axes if (tied.tensor, tied.axis) == (tensor, axis)]
    return tied.layout


def random_orders(groups: ChannelGroups, seed: int) -> dict[int, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return {group: rng.permutation(groups.sizes[group]) for group in groups.free}


@pytest.mark.parametrize("style", ["fused", "in steps", "skip", "gated", "dynamic"])
def test_a_block_keeps_its_outputs_in_random_orders(style: str, tmp_path: Path) -> None:
    path = save(block(style), tmp_path / "block.onnx")
    network = load(path)
    groups = tie_channels(network)
    weights = {name: set(groups_in(layout_of(groups, f"{name}.w", 1))) for name in ("q", "k", "v", "up", "o", "down")}
    assert all(found.isdisjoint(groups.frozen) for found in weights.values())
    assert weights["q"] == weights["k"]
    assert len(weights["q"]) == len(weights["v"]) == 1 + 3
    assert len(weights["q"] & weights["v"]) == 1, "heads alone are common to both"
    assert weights["o"] == weights["down"], "the residual stream"
    assert weights["o"] == set(groups_in(layout_of(groups, "head.w", 0)))
    orders = random_orders(groups, seed=3)
    moved = tmp_path / "moved.onnx"
    rewrite(network, groups.permutations(orders), moved)
    assert moved.read_bytes() != path.read_bytes()
    tolerance = 0.05 if style == "dynamic" else TOLERANCE
    assert same(run(path.read_bytes()), run(moved.read_bytes()), tolerance)
    given = compare_structure(network, load(moved), orders)
    assert given.equal, given.describe()
    assert given.adds_floats
    recovered = compare_structure(network, load(moved))
    assert recovered.equal, recovered.describe()


class Moved:
    """Attention whose constants are inputs, so that one session runs it with its channels in any order."""

    def __init__(self, model: onnx.ModelProto) -> None:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in copy.graph.initializer}
        self._axes: dict[str, list[tuple[str, int]]] = {"o": [("o.w", 0)]}
        for name in "qkv":
            (dequantize,) = [node for node in copy.graph.node if f"{name}.w" in node.input]
            (matmul,) = [node for node in copy.graph.node if node.name == name]
            (add,) = [node for node in copy.graph.node if matmul.output[0] in node.input]
            (bias,) = [node for node in copy.graph.node if node.output[0] == add.input[0]]
            self._axes[name] = [*zip(dequantize.input, (1, 0, 0), strict=True), (bias.input[0], 0)]
        moving = {name for axes in self._axes.values() for name, _ in axes}
        for tensor in [tensor for tensor in copy.graph.initializer if tensor.name in moving]:
            copy.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
            copy.graph.initializer.remove(tensor)
        self._session = session_of(copy.SerializeToString())
        self._given = {name: self._constants[name] for name in moving}
        self._x = np.random.default_rng(5).normal(size=(1, TOKENS, 3)).astype(np.float32)

    def outputs(self, orders: dict[str, tuple[int, ...]]) -> NDArray[np.float32]:
        """With the output channels of `q`, `k`, `v` and the input channels of `o` in other orders."""
        feed = {"x": self._x, **self._given}
        for product_name, order in orders.items():
            for name, axis in self._axes[product_name]:
                feed[name] = feed[name].take(order, axis)
        result: NDArray[np.float32] = self._session.run(None, feed)[0]
        return result


def allowed(groups: ChannelGroups, tensors: list[tuple[str, int]]) -> set[tuple[tuple[int, ...], ...]]:
    """Every combination of orders that the groups allow on some axes."""
    members = sorted({group for tensor, axis in tensors for group in groups_in(layout_of(groups, tensor, axis))})
    assert not set(members) & set(groups.frozen)
    choices = [[np.array(order) for order in permutations(range(groups.sizes[group]))] for group in members]
    found = set()
    for orders in product(*choices):
        chosen = dict(zip(members, orders, strict=True))
        layouts = [layout_of(groups, tensor, axis) for tensor, axis in tensors]
        found.add(tuple(tuple(groups.axis_index(layout, chosen).tolist()) for layout in layouts))
    return found


def test_exactly_the_orders_of_heads_and_within_them_keep_attention(tmp_path: Path) -> None:
    """All 24 x 24 orders of (queries and keys) and (values and inputs of the output product)."""
    model = attention()
    groups = tie_channels(load(save(model, tmp_path / "attention.onnx")))
    moved, everything = Moved(model), list(permutations(range(4)))
    expected = moved.outputs({})
    kept = {
        (first, second)
        for first, second in product(everything, everything)
        if same(expected, moved.outputs({"q": first, "k": first, "v": second, "o": second}))
    }
    assert kept == allowed(groups, [("q.w", 1), ("v.w", 1)])
    assert len(kept) == 2 * 2**2 * 2**2


@pytest.mark.parametrize(("one", "other"), [("q", "k"), ("v", "o")])
def test_channels_move_together(one: str, other: str, tmp_path: Path) -> None:
    """Queries with keys, and values with inputs of the output product: all 24 x 24 pairs of orders."""
    model = attention()
    groups = tie_channels(load(save(model, tmp_path / "attention.onnx")))
    moved, everything = Moved(model), list(permutations(range(4)))
    expected = moved.outputs({})
    pairs = product(everything, everything)
    kept = {pair for pair in pairs if same(expected, moved.outputs(dict(zip((one, other), pair, strict=True))))}
    both = allowed(groups, [("q.w", 1), ("v.w", 1)])
    still = tuple(range(4))
    alone = {first for first, second in both if second == still} if one == "q" else {b for a, b in both if a == still}
    assert kept == {(order, order) for order in alone}
    assert len(kept) == 4


def test_a_mask_of_each_head_moves_with_heads(tmp_path: Path) -> None:
    path = save(attention(by_head=True), tmp_path / "attention.onnx")
    network = load(path)
    groups = tie_channels(network)
    (blocks,) = layout_of(groups, "q.w", 1)
    assert isinstance(blocks, Blocks)
    assert layout_of(groups, "mask", 1)[0].group == blocks.group
    moved = tmp_path / "moved.onnx"
    orders = {blocks.group: np.array([1, 0])}
    rewrite(network, groups.permutations(orders), moved)
    assert same(run(path.read_bytes()), run(moved.read_bytes()))
    assert compare_structure(network, load(moved), orders).equal
    assert set(groups.permutations(orders)) >= {"mask", "q.w", "k.w", "v.w", "o.w"}


def test_softmax_over_heads_holds_them_in_place(tmp_path: Path) -> None:
    model = attention()
    (softmax,) = [node for node in model.graph.node if node.op_type == "Softmax"]
    softmax.attribute[0].i = 1
    groups = tie_channels(load(save(model, tmp_path / "attention.onnx")))
    (blocks,) = layout_of(groups, "q.w", 1)
    assert blocks.group in groups.frozen
    inside = set(groups_in(layout_of(groups, "q.w", 1))) - {blocks.group}
    assert inside.isdisjoint(groups.frozen), "channels are summed over before the softmax"


def test_scales_of_blocks_move_with_them(tmp_path: Path) -> None:
    path = save(block_of_4_bits(), tmp_path / "block.onnx")
    network = load(path)
    groups = tie_channels(network)
    for name, blocks in (("q", 2), ("o", 4), ("down", 3), ("head", 2)):
        (whole,) = layout_of(groups, f"{name}.scales", 1) if name != "o" else (None,)
        inputs = layout_of(groups, f"{name}.w", 1)
        assert sum(isinstance(piece, Blocks) for piece in inputs) == 1
        assert len(groups.axis_index(layout_of(groups, f"{name}.scales", 1), {})) == blocks
        assert whole is None or (isinstance(inputs[0], Blocks) and whole.group == inputs[0].group)
    orders = random_orders(groups, seed=4)
    assert set(groups_in(layout_of(groups, "table", 1))) <= set(orders)
    moved = tmp_path / "moved.onnx"
    rewrite(network, groups.permutations(orders), moved)
    assert same(run(path.read_bytes()), run(moved.read_bytes()))
    given = compare_structure(network, load(moved), orders)
    assert given.equal, given.describe()
    recovered = compare_structure(network, load(moved))
    assert recovered.equal, recovered.describe()


def test_heads_hold_two_blocks_of_scales_each(tmp_path: Path) -> None:
    groups = tie_channels(load(save(block_of_4_bits(), tmp_path / "block.onnx")))
    (heads,) = layout_of(groups, "o.w", 1)
    assert isinstance(heads, Blocks)
    assert [groups.sizes[part[0].group] for part in heads.parts] == [2, 2]
    assert all(isinstance(part[0], Blocks) for part in heads.parts)
    (queries,) = layout_of(groups, "q.w", 0)
    assert queries.group == heads.group
    assert [groups.sizes[part[0].group] for part in queries.parts] == [32, 32], "no scales over queries' channels"


def test_inputs_that_leave_their_block_change_the_outputs(tmp_path: Path) -> None:
    path = save(block_of_4_bits(), tmp_path / "block.onnx")
    network = load(path)
    groups = tie_channels(network)
    across = np.arange(48)
    across[[0, 16]] = 16, 0
    moves = {
        tied.tensor: {tied.axis: across}
        for tied in groups.axes
        if tied.block == 1 and tied.layout == layout_of(groups, "down.w", 1)
    }
    assert {"up.w", "up.scales", "down.w"} < set(moves)
    rewrite(network, moves, tmp_path / "moved.onnx")
    assert not same(run(path.read_bytes()), run((tmp_path / "moved.onnx").read_bytes()))
    inside = {name: {axis: np.r_[1, 0, 2:48] for axis in axes} for name, axes in moves.items()}
    rewrite(network, inside, tmp_path / "inside.onnx")
    assert same(run(path.read_bytes()), run((tmp_path / "inside.onnx").read_bytes()))


def test_packed_codes_are_read_apart_as_they_are_written(tmp_path: Path) -> None:
    """A single code that changes in a packed constant is found at its row and input."""
    model = block_of_4_bits()
    path = save(model, tmp_path / "block.onnx")
    (codes,) = [tensor for tensor in model.graph.initializer if tensor.name == "down.w"]
    values = numpy_helper.to_array(codes).copy()
    values[3, 1, 2] ^= 0x30
    codes.CopyFrom(numpy_helper.from_array(values, "down.w"))
    changed = save(model, tmp_path / "changed.onnx")
    comparison = compare_structure(load(path), load(changed), {})
    assert comparison.differing == 1
    assert "[3, 21]" in comparison.differences[0]


@pytest.mark.parametrize("within", [False, True])
def test_heads_are_ordered_by_the_steps_between_them(within: bool, tmp_path: Path) -> None:
    """Against all orders of three heads, flips counted bit by bit on queries, keys and values."""
    network = load(save(block(), tmp_path / "block.onnx"))
    groups, machine = tie_channels(network), load_accelerator("edge16")
    inside = {group: np.array([1, 0]) for group in groups.free if groups.sizes[group] == 2 and within}
    found = block_orders(network, machine, groups, inside)
    (heads,) = layout_of(groups, "q.w", 1)
    assert set(found) == {heads.group}
    between = np.zeros((3, 3), dtype=int)
    for layer in network.layers:
        if layer.weights_tensor not in ("q.w", "k.w", "v.w"):
            continue
        index = groups.axis_index(layout_of(groups, layer.weights_tensor, 1), inside)
        rows = layer.weights.astype(np.uint8)[index].reshape(3, 2, -1)
        repeats = dataflow_of(machine).weight_repeats(layer, machine)
        for one, other in product(range(3), range(3)):
            step = sum(int(a ^ b).bit_count() for a, b in zip(rows[one, 1], rows[other, 0], strict=True))
            between[one, other] += repeats * step
            between[other, one] += repeats * step
    flips = {order: sum(between[a, b] for a, b in pairwise(order)) for order in permutations(range(3))}
    assert flips[tuple(found[heads.group].tolist())] == min(flips.values())
    assert len(set(flips.values())) > 1


def test_frozen_heads_get_no_order(tmp_path: Path) -> None:
    network = load(save(block(), tmp_path / "block.onnx"))
    groups = tie_channels(network)
    (heads,) = layout_of(groups, "q.w", 1)
    frozen = replace(groups, frozen={heads.group: "for a test"})
    assert block_orders(network, load_accelerator("edge16"), frozen, {}) == {}


def test_a_whole_int8_network_computes_the_same_bits(shared: Path, tmp_path: Path) -> None:
    """Of MiniLM, every group of weights moves but for the residual stream, which is the network's output."""
    network = load(shared / "models" / "minilm_l6_int8_qdq.onnx")
    groups = tie_channels(network)
    orders = random_orders(groups, seed=5)
    assert sorted(groups.sizes[group] for group in orders) == sorted([12] * 6 + [32] * 144 + [1536] * 6)
    assert len(orders) >= 0.8 * len(groups.sizes)
    moved = tmp_path / "moved.onnx"
    rewrite(network, groups.permutations(orders), moved)
    assert np.array_equal(states(network.path), states(moved))


def test_a_whole_int4_network_computes_the_same(shared: Path, tmp_path: Path) -> None:
    """In float: `accuracy_level` 4 rounds activations anew in each layer, and what is rounded otherwise grows."""
    network = load(shared / "models" / "minilm_l6_int4_matmulnbits.onnx")
    groups = tie_channels(network)
    orders = random_orders(groups, seed=6)
    assert len(orders) >= 0.8 * len(groups.sizes)
    moved = tmp_path / "moved.onnx"
    rewrite(network, groups.permutations(orders), moved)
    assert same(states(network.path), states(moved), 1e-5)


def states(path: Path) -> NDArray[np.float32]:
    """Outputs of MiniLM for some tokens, products of packed weights in float."""
    model = onnx.load(path)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = 1
    rng, session = np.random.default_rng(7), session_of(model.SerializeToString())
    zeros = np.zeros((1, 64), np.int64)
    feed = {"input_ids": rng.integers(0, 30000, (1, 64)), "attention_mask": zeros + 1, "token_type_ids": zeros}
    result: NDArray[np.float32] = session.run(None, feed)[0]
    return result
