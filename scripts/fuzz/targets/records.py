"""Files of records: accelerators, schedules, calibrations."""

from __future__ import annotations

import hashlib
import random
import re
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from fewflips.api.machine_orders import machine_and_orders
from fewflips.api.optimize import optimize
from fewflips.errors import FewflipsError
from fewflips.network import load

from ..kinds import Files, MutatedFiles
from ..mutation import raw
from ..mutation.tokens import Tokens
from ..mutation.tree import Trees
from .command import fewflips, measure, one_of
from .models import TFLITE, tflite_seeds

YAML_WORDS = (
    *("!!python/object/apply:os.system", "!!binary", "!!timestamp", "!!set", "!!omap", "!!int", "!!float", "!!null"),
    *("&a", "*a", "&a [*a, *a]", "<<: *a", "? ", "|", ">", "---", "...", "%YAML 1.1", "~", "yes", "no", "2001-01-01"),
    *("!!str", "!!bool", "!!map", "!!seq", "!!merge", "!x", "[]", "{}", "{a: b}", "[1, 2]", "\t", "#", "- ", ": "),
    "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
    "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
    "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n",
)

_DIGEST_AT, _CHECKSUM_BYTES = 10, 32
"""Where a binary schedule holds the model's SHA-256, and the length of its own (docs/schedule.md)."""


def model_in(folder: Path) -> Path:
    """A tiny model beside the inputs."""
    path = folder / TFLITE
    path.write_bytes(tflite_seeds()[2])
    return path


def accelerator(folder: Path) -> MutatedFiles:
    model, own = model_in(folder), b"weights: {format: sign-magnitude, bits: 9}\nactivations: {format: as-stored}\n"
    builtin = files("fewflips.machine") / "builtin"
    seeds = [entry.read_bytes() for entry in sorted(builtin.iterdir(), key=lambda entry: entry.name)]
    seeds = [seed for seed in seeds if b"lanes" in seed]
    seeds += [b"name: npu\ndataflow: weight-stationary\nlanes: 32\ncolumns: 32\nforwarding: systolic\n" + own]
    seeds += [b"name: npu\nlanes: 4\ncolumns: 2\ndatapath: {multiplier: booth, accumulator_bits: 20}\n"]
    words = ("output-stationary", "twos-complement", "unsigned", "sign-magnitude", "broadcast", "systolic", "booth")
    tokens = Tokens(seeds, (*YAML_WORDS, *words))
    return MutatedFiles(
        [{"npu.yaml": seed} for seed in seeds],
        lambda chance, name, content: tokens.change(chance, content),
        lambda inputs: measure(model, "--accelerator", inputs / "npu.yaml"),
    )


def json_changes(seeds: list[bytes], words: tuple[str, ...] = ()) -> MutatedFiles:
    """How JSON is changed: as a tree, as text, as bytes."""
    tokens, trees = Tokens(seeds, words), Trees(seeds)

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        way = chance.random()
        if way < 0.65:
            return trees.change(chance, content)
        if way < 0.85:
            return tokens.change(chance, content)
        return raw.change(chance, content, tuple(seeds))

    return MutatedFiles([{"record.json": seed} for seed in seeds], change, lambda inputs: None)


def calibration(folder: Path) -> MutatedFiles:
    """Calibrations; the model is one that they fit."""
    model = model_in(folder)
    name = "column16-twos-complement8-twos-complement8-partial-sum.json"
    seed = (files("fewflips.estimation") / "tables" / name).read_bytes()
    target = json_changes([seed])
    target.entry = lambda inputs: measure(model, "--calibration", inputs / "record.json")
    return target


def retargeted(chance: random.Random, models: list[bytes], content: bytes) -> bytes:
    """A schedule, now and then with the digest of another model: orders of other layers are refused for themselves."""
    if chance.random() < 0.7:
        return content
    digest = hashlib.sha256(chance.choice(models)).hexdigest()
    return re.sub(rb'("model_sha256": ?)"[^"]*"', rb'\1"' + digest.encode() + b'"', content, count=1)


def changed_binary(chance: random.Random, models: list[bytes], content: bytes, others: tuple[bytes, ...]) -> bytes:
    """A binary schedule, changed; the checksum fits most of what comes out, or nothing else would be reached."""
    body, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
    if chance.random() < 0.3:
        digest = hashlib.sha256(chance.choice(models)).digest()
        body = body[:_DIGEST_AT] + digest + body[_DIGEST_AT + len(digest) :]
    body = raw.change(chance, body, others)
    return body + (hashlib.sha256(body).digest() if chance.random() < 0.95 else checksum)


def schedule(folder: Path) -> MutatedFiles:
    """Schedules of tiny models, as JSON and in binary, and the model beside them, or another of them."""
    chosen = "edge4"
    seeds: list[Files] = []
    for i, machine in ((0, "edge4"), (1, "tpu16"), (2, "os16")):
        model, output = folder / TFLITE, folder / f"out-{machine}"
        model.write_bytes(tflite_seeds()[i])
        optimize(model, machine, mode="schedule", jobs=1).save(output, binary_schedule=True)
        for record in ("schedule.json", "schedule.bin"):
            seeds.append({TFLITE: model.read_bytes(), record: (output / record).read_bytes()})
    target = json_changes([seed["schedule.json"] for seed in seeds if "schedule.json" in seed])
    change = target.change

    models = [seed[TFLITE] for seed in seeds]
    binary = tuple(seed["schedule.bin"] for seed in seeds if "schedule.bin" in seed)

    def changed(chance: random.Random, name: str, content: bytes) -> bytes:
        if name == "schedule.json":
            return retargeted(chance, models, change(chance, name, content))
        if name == "schedule.bin":
            return changed_binary(chance, models, content, binary)
        return chance.choice(models) if chance.random() < 0.5 else raw.change(chance, content)

    def verify(inputs: Path) -> None:
        record = next(inputs.glob("schedule.*"))
        if one_of(16, record):  # as `energy --schedule` reads it
            with suppress(FewflipsError):
                machine_and_orders(load(inputs / TFLITE), chosen, record)
        fewflips("verify", inputs / TFLITE, record, "--json")

    return MutatedFiles(seeds, changed, verify, often=("schedule.json", "schedule.bin"))
