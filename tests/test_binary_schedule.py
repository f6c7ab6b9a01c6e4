"""The binary schedule: the JSON one's orders in as few bits as an index table, against a decoder in plain integers."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import InputError
from fewflips.machine import load_accelerator
from fewflips.network import load
from fewflips.records.schedule import Axes, Schedule, ScheduledLayer, ScheduledSegment
from fewflips.schedule.binary import encode_schedule, index_table_bits, is_binary_schedule
from fewflips.schedule.file import build_schedule, parse_schedule, read_schedule, same_orders, schedule_orders
from tests.layers import dense_layer, depthwise_layer
from tests.property_settings import examples
from tests.test_schedule import MACHINES, network_of, shuffled_orders


def plain_decoder(content: bytes) -> dict:
    """What docs/schedule.md says, field after field; `packed_bits` are those of the orders of each layer."""
    place = 0

    def take(size: int) -> bytes:
        nonlocal place
        assert place + size <= len(content)
        place += size
        return content[place - size : place]

    def number(size: int) -> int:
        return int.from_bytes(take(size), "little")

    def indices() -> tuple[list[int], int]:
        count, smallest, width = number(4), number(4), number(1)
        packed = number((count * width + 7) // 8)
        return [smallest + (packed >> i * width) % 2**width for i in range(count)], count * width

    assert take(8) == bytes([0x89, 0x46, 0x46, 0x53, 0x0D, 0x0A, 0x1A, 0x0A])
    assert number(2) == 1
    found = {"model_sha256": take(32).hex(), "accelerator": json.loads(take(number(4)))}
    layers = []
    for _ in range(number(4)):
        layer = {"name": take(number(4)).decode("utf-8"), "n": number(4), "k": number(4)}
        layer["axes"] = {"lanes": take(1).decode("ascii"), "order": take(1).decode("ascii")}
        layer["segments"], layer["packed_bits"] = [], 0
        for _ in range(number(4)):
            lanes, _ = indices()
            order, bits = indices()
            layer["segments"].append({"lanes": lanes, "order": order})
            layer["packed_bits"] += bits
        layers.append(layer)
    assert take(32) == hashlib.sha256(content[: place - 32]).digest()
    assert place == len(content)
    return found | {"layers": layers}


def with_checksum(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


@st.composite
def networks(draw):
    """Dense, grouped and depthwise layers of any small shape."""
    layers = []
    for seed in range(draw(st.integers(1, 3))):
        m, a, b = draw(st.tuples(*[st.integers(1, 7)] * 3))
        layers.append(
            draw(
                st.sampled_from(
                    [
                        dense_layer(m, 3 * a, 5 * b, seed=seed),
                        dense_layer(m, 2 * a, b, groups=2, seed=seed),
                        depthwise_layer(m, a, (b, 3), seed=seed),
                    ]
                )
            )
        )
    return network_of(*layers)


@examples(100, deadline=None)
@given(networks(), st.sampled_from(MACHINES), st.integers(0, 2**32))
def test_the_same_orders_as_from_json(network, machine, seed):
    array = load_accelerator(machine)
    orders = shuffled_orders(network, array, seed)
    schedule = build_schedule(network, array, orders)
    content = encode_schedule(schedule)
    from_json = parse_schedule(schedule.model_dump_json().encode(), "schedule.json")
    from_binary = parse_schedule(content, "schedule.bin")
    assert from_binary == from_json
    assert same_orders(schedule_orders(from_binary, network), schedule_orders(from_json, network))
    assert same_orders(schedule_orders(from_binary, network), orders)
    assert [layer["packed_bits"] for layer in plain_decoder(content)["layers"]] == [
        layer.index_table_bits for layer in schedule.layers
    ]


def lists_of(axis_length: int):
    """Some of an axis' indices, in any order."""
    return st.lists(st.integers(0, axis_length - 1), min_size=1, max_size=20, unique=True)


@st.composite
def schedules(draw) -> Schedule:
    """Any schedules, of layers that no network has to have."""
    layers = []
    for _ in range(draw(st.integers(0, 3))):
        lengths = {axis: draw(st.integers(1, 9) | st.integers(1, 2**31 - 1)) for axis in "nk"}
        lanes, order = draw(st.tuples(*[st.sampled_from("nk")] * 2))
        segments = draw(st.lists(st.tuples(lists_of(lengths[lanes]), lists_of(lengths[order])), max_size=3))
        layers.append(
            ScheduledLayer(
                name=draw(st.text(st.characters(codec="utf-8"), max_size=9)),
                **lengths,
                axes=Axes(lanes=lanes, order=order),
                segments=tuple(ScheduledSegment(lanes=tuple(one), order=tuple(other)) for one, other in segments),
                index_table_bits=index_table_bits(len(other) for _, other in segments),
            )
        )
    return Schedule(
        model_sha256=hashlib.sha256(draw(st.binary(max_size=3))).hexdigest(),
        accelerator=load_accelerator(draw(st.sampled_from(MACHINES))),
        layers=tuple(layers),
        index_table_bits=sum(layer.index_table_bits for layer in layers),
    )


@examples(60, deadline=None)
@given(schedules())
def test_any_schedule_by_a_decoder_in_plain_integers(schedule):
    content = encode_schedule(schedule)
    found = plain_decoder(content)
    expected = json.loads(schedule.model_dump_json())
    assert found["model_sha256"] == expected["model_sha256"]
    assert found["accelerator"] == expected["accelerator"]
    for layer, other in zip(found["layers"], expected["layers"], strict=True):
        assert {name: value for name, value in layer.items() if name != "packed_bits"} == {
            name: value for name, value in other.items() if name != "index_table_bits"
        }
    assert parse_schedule(content, "schedule.bin") == schedule


def test_the_first_bytes_tell_it_from_json_and_from_a_model(tmp_path):
    network = network_of(dense_layer(5, 9, 11))
    schedule = build_schedule(network, load_accelerator("edge4"), shuffled_orders(network, load_accelerator("edge4")))
    binary, text = tmp_path / "any name.json", tmp_path / "schedule.bin"
    binary.write_bytes(encode_schedule(schedule))
    text.write_text(schedule.model_dump_json())
    assert read_schedule(binary) == read_schedule(text) == schedule
    assert is_binary_schedule(binary)
    assert not is_binary_schedule(text)
    assert not is_binary_schedule(tmp_path / "nothing")
    assert not is_binary_schedule(tmp_path)
    assert not is_binary_schedule("a\0b")
    for head in (b"\xff" * 16, b"\x89PNG\r\n\x1a\n" * 2, b""):
        binary.write_bytes(head)
        assert not is_binary_schedule(binary)


def small() -> Schedule:
    """One layer in three segments of four, four and three lanes and nine indices each."""
    network = network_of(dense_layer(5, 9, 11))
    array = load_accelerator("edge4")
    return build_schedule(network, array, shuffled_orders(network, array))


def small_body() -> bytes:
    return encode_schedule(small())[:-32]


MACHINE = len(load_accelerator("edge4").model_dump_json())
LAYERS_AT = 8 + 2 + 32 + 4 + MACHINE
NAME_AT = LAYERS_AT + 4
N_AT = NAME_AT + 4 + len("layer0")
LANES_AT = N_AT + 4 + 4 + 2 + 4
ORDER_AT = LANES_AT + 9 + 1
"""Where the fields of the first segment begin: four lanes of two bits follow the nine bytes before them."""


def replaced(place: int, new: bytes) -> bytes:
    body = small_body()
    return with_checksum(body[:place] + new + body[place + len(new) :])


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (replaced(8, b"\3\0"), "it is of version 3, versions 1 and 2 are read: optimize the model again"),
        (replaced(8, b"\0\0"), "it is of version 0, versions 1 and 2 are read: optimize the model again"),
        (replaced(8, b"\2\0"), "a segment has flags or none, 1 or 0, got 4: write it again"),
        (replaced(8, b"\1\0") + b"\0", "its checksum does not fit, so it was cut off or changed: write it again"),
        (small_body() + bytes(32), "its checksum does not fit"),
        (small_body()[:8], "it is cut off: write it again"),
        (small_body()[: 8 + 2 + 32 + 31], "it is cut off: write it again"),
        (with_checksum(small_body() + b"\0\0\0"), "3 bytes follow its last layer: write it again"),
        (with_checksum(small_body()[:-1]), r"5 bytes are to follow at offset \d+, 4 do: write it again"),
        (with_checksum(small_body()[: LAYERS_AT + 2]), "4 bytes are to follow at offset"),
        (replaced(42, u32(2**32 - 1)), "4294967295 bytes are to follow at offset 46"),
        (replaced(46, b"["), "expected a fewflips schedule"),
        (replaced(42, u32(0)), "expected a fewflips schedule: EOF"),
        (replaced(LAYERS_AT, u32(2**32 - 1)), "4 bytes are to follow at offset"),
        (replaced(NAME_AT, u32(2**32 - 1)), "4294967295 bytes are to follow"),
        (replaced(NAME_AT + 4, b"\xff"), "'utf-8' codec can't decode byte 0xff"),
        (replaced(N_AT, u32(2**31)), "n: Input should be less than 2147483648, got 2147483648"),
        (replaced(N_AT + 4, u32(2**32 - 1)), "k: Input should be less than 2147483648, got 4294967295"),
        (replaced(N_AT, u32(8)), "a segment has an index 8 where its layer has 8"),
        (replaced(N_AT + 4, u32(3)), "a segment has an index 3 where its layer has 3"),
        (replaced(N_AT + 8, b"x"), "lanes: Input should be 'k' or 'n', got 'x'"),
        (replaced(N_AT + 9, b"\xff"), "order: Input should be 'k' or 'n'"),
        (replaced(N_AT + 10, u32(2**32 - 1)), "9 bytes are to follow at offset"),
        (replaced(LANES_AT, u32(2**32 - 1)), "a segment is to have 4294967295 different indices of 2 bits: write it"),
        (replaced(LANES_AT, u32(5)), "a segment is to have 5 different indices of 2 bits"),
        (replaced(LANES_AT, u32(0) + u32(0) + b"\0"), "a segment lacks lanes or an order"),
        (replaced(LANES_AT, u32(3)), "bits behind the last index of a segment are not zero: write it again"),
        (replaced(LANES_AT + 4, u32(2**32 - 1)), "an index 4294967298 where its layer has 11"),
        (replaced(LANES_AT + 8, b"\x20"), "4 different indices of 32 bits"),
        (replaced(LANES_AT + 8, b"\xff"), "4 different indices of 255 bits"),
        (replaced(LANES_AT + 8, b"\0"), "4 different indices of 0 bits"),
        (replaced(LANES_AT + 9, b"\xe5"), "a segment has an index twice"),
        (replaced(LANES_AT, u32(2) + u32(0) + b"\2" + b"\x04"), "a segment's indices take fewer bits than they have"),
        (replaced(LANES_AT, u32(2) + u32(0) + b"\2" + b"\x0d"), "a segment's indices take fewer bits than they have"),
        (replaced(ORDER_AT, u32(2**32 - 1)), "a segment is to have 4294967295 different indices of 4 bits"),
        (replaced(ORDER_AT, u32(2**31) + u32(0) + b"\x1f"), r"8321499136 bytes are to follow at offset \d+, \d+ do"),
    ],
)
def test_a_damaged_or_hostile_file_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "schedule.bin"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=message) as error:
            read_schedule(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert str(error.value).startswith(f"{path}: expected a fewflips schedule: ")
    assert "\n" not in str(error.value)


def test_the_places_above_are_those_of_the_fields():
    """Without a change, the file is good: every refusal above is that of the change."""
    body = small_body()
    assert parse_schedule(replaced(42, u32(MACHINE)), "schedule.bin") == small()
    assert body[NAME_AT + 4 : N_AT] == b"layer0"
    assert body[N_AT : N_AT + 10] == u32(9) + u32(11) + b"kn"
    assert body[LANES_AT : LANES_AT + 10] == u32(4) + u32(0) + b"\2" + bytes([0b11100100])
    assert body[ORDER_AT : ORDER_AT + 9] == u32(9) + u32(0) + b"\4"


def test_a_file_that_is_cut_off_anywhere_is_refused():
    content, body = encode_schedule(small()), small_body()
    for length in range(len(content)):
        with pytest.raises(InputError, match="expected a fewflips schedule"):
            parse_schedule(content[:length], "schedule.bin")
    for length in range(len(body)):
        with pytest.raises(InputError, match="expected a fewflips schedule"):
            parse_schedule(with_checksum(body[:length]), "schedule.bin")


def test_every_flipped_bit_is_noticed():
    content = encode_schedule(small())
    for bit in range(8 * 8, 8 * len(content)):  # those before tell it from JSON
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InputError, match=r"its checksum does not fit|it is of version"):
            parse_schedule(bytes(changed), "schedule.bin")


@st.composite
def mutated(draw) -> bytes:
    """A file some of whose bytes are others, missing or more than there were, with a checksum that fits."""
    body = bytearray(small_body())
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(8, len(body) - 1) | st.integers(LAYERS_AT, ORDER_AT + 12))
        new = draw(st.binary(max_size=5) | st.sampled_from([b"\0", b"\1", b"\xff", bytes(4), b"\xff" * 4]))
        body[place : place + draw(st.sampled_from([len(new), 0, 1, 4]))] = new
    return with_checksum(bytes(body))


@examples(250, deadline=None)
@given(mutated())
def test_what_is_accepted_is_what_would_be_written(content):
    try:
        found = parse_schedule(content, "schedule.bin")
    except InputError:
        return
    written = encode_schedule(found)
    assert parse_schedule(written, "schedule.bin") == found
    assert plain_decoder(written) == plain_decoder(content)
    assert written[-32 - 60 : -32] == content[-32 - 60 : -32]


@pytest.mark.parametrize(
    ("lanes", "order", "message"),
    [
        ((), (0, 1), "layer layer0: cannot be written as a binary schedule: a segment lacks lanes or an order"),
        ((0,), (), "a segment lacks lanes or an order"),
        ((0, 11), (0, 1), "a segment has an index 11 where its layer has 11"),
        ((0, 10), (9, 1), "a segment has an index 9 where its layer has 9"),
        ((0, 1, 0), (0, 1), "a segment has an index twice"),
        ((0, 1), (3, 3), "a segment has an index twice"),
    ],
)
def test_what_is_no_schedule_is_not_written(lanes, order, message):
    schedule = small()
    segments = (ScheduledSegment(lanes=lanes, order=order),)
    layer = schedule.layers[0].model_copy(update={"segments": segments})
    with pytest.raises(InputError, match=message):
        encode_schedule(schedule.model_copy(update={"layers": (layer,)}))


def test_a_file_is_read_up_to_a_size(monkeypatch):
    content = encode_schedule(small())
    monkeypatch.setattr("fewflips.schedule.binary._LARGEST_BYTES", len(content))
    parse_schedule(content, "schedule.bin")
    monkeypatch.setattr("fewflips.schedule.binary._LARGEST_BYTES", len(content) - 1)
    with pytest.raises(InputError, match=rf"it has {len(content)} bytes, at most {len(content) - 1} are read"):
        parse_schedule(content, "schedule.bin")


def test_indices_that_are_no_neighbours_take_what_their_range_takes():
    schedule = small()
    segments = (ScheduledSegment(lanes=(10, 3), order=(8,)),)
    layer = schedule.layers[0].model_copy(update={"segments": segments, "index_table_bits": 0})
    content = encode_schedule(schedule.model_copy(update={"layers": (layer,), "index_table_bits": 0}))
    lanes = u32(2) + u32(3) + b"\3" + bytes([0b000_111])
    assert content[LANES_AT:-32] == lanes + u32(1) + u32(8) + b"\0"


def test_a_real_network_takes_a_third_of_the_json(shared: Path):
    """Its orders take the bits of the index table, and all else a few bytes a segment."""
    network = load(shared / "models" / "mobilenet_v2_1.0_224_quant.tflite")
    array = load_accelerator("edge16")
    schedule = build_schedule(network, array, shuffled_orders(network, array))
    content, text = encode_schedule(schedule), schedule.model_dump_json().encode()
    assert parse_schedule(content, "schedule.bin") == schedule
    segments = sum(len(layer.segments) for layer in schedule.layers)
    beside = 46 + len(array.model_dump_json()) + 4 + sum(18 + len(layer.name) for layer in schedule.layers) + 32
    assert len(content) <= schedule.index_table_bits / 8 + beside + segments * (9 + 8 + 9 + 1)  # lanes: 16 of 4 bits
    assert 3 * len(content) < len(text)
