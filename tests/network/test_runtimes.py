"""Running networks in a worker process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fewflips.errors import FewflipsError, InputError, ModelError, RuntimeFailure
from fewflips.execution import runtimes
from fewflips.execution.litert import LiteRTSession
from fewflips.execution.runtimes import Runtime
from fewflips.execution.samples import random_feeds
from fewflips.execution.sessions import InputSpec
from fewflips.network.tflite import reader as tflite
from tests.network import build_tflite as small
from tests.network.test_tflite_damaged import mutations
from tests.patience import PATIENCE_S
from tests.stand_in_runtime import stand_in, write_stand_in


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(small.branching())
    return path


def test_inputs_and_outputs(path: Path) -> None:
    with Runtime(path) as runtime:
        (image,) = runtime.inputs
        assert image == InputSpec("image", (1, 8, 8, 3), np.dtype(np.int8), pytest.approx(0.05), 3)
        assert runtime.outputs == ("scores", "logits")


def test_runs_give_what_the_session_gives(path: Path) -> None:
    session = LiteRTSession(str(path))
    names = ("stem", "joined", "flat", "logits", "image")
    with Runtime(tflite.read(path), fetch=names) as runtime:
        for feeds in random_feeds(runtime.inputs, 3, seed=0):
            values, expected = runtime.run(feeds, names), session.run(feeds, names)
            assert set(values) == set(names)
            assert all(np.array_equal(values[name], expected[name]) for name in names)
            assert np.array_equal(values["image"], feeds["image"])


def test_intermediate_tensors_need_no_announcement(path: Path) -> None:
    """A tensor that was not announced makes LiteRT load the file anew; the values are the same."""
    with Runtime(path) as runtime, Runtime(path, fetch=["stem"]) as announced:
        (feeds,) = random_feeds(runtime.inputs, 1, seed=0)
        outputs = runtime.run(feeds, runtime.outputs)
        assert np.array_equal(runtime.run(feeds, ["stem"])["stem"], announced.run(feeds, ["stem"])["stem"])
        assert all(np.array_equal(runtime.run(feeds, [name])[name], outputs[name]) for name in runtime.outputs)


def test_real_activations_of_every_layer(shared: Path) -> None:
    network = tflite.read(shared / "models" / "mobilenet_v2_1.0_224_quant.tflite")
    names = [layer.input_tensor for layer in network.layers if layer.input_tensor]
    with Runtime(network, fetch=names) as runtime:
        (feeds,) = random_feeds(runtime.inputs, 1, seed=0)
        values = runtime.run(feeds, names)
    for layer in network.layers:
        rows = layer.lowering.rows(values[layer.input_tensor or ""], layer.groups, layer.activation_zero_point or 0)
        assert rows.shape == (layer.groups, layer.m, layer.k)


@pytest.mark.parametrize(
    ("feeds", "fetch", "message"),
    [
        ({}, ["logits"], r"expected a value for the input 'image', got \[\]"),
        (
            {"image": np.zeros((1, 8, 8, 4), np.int8)},
            ["logits"],
            r"input 'image': expected shape \(1, 8, 8, 3\) and type int8, got \(1, 8, 8, 4\) and int8",
        ),
        ({"image": np.zeros((1, 8, 8, 3), np.uint8)}, ["logits"], r"type int8, got \(1, 8, 8, 3\) and uint8"),
        (
            {"image": np.zeros((1, 8, 8, 3), np.int8)},
            ["nothing"],
            "expected names of tensors of the network, got 'nothing'",
        ),
    ],
)
def test_wrong_feeds(path: Path, feeds: dict[str, np.ndarray], fetch: list[str], message: str) -> None:
    with Runtime(path) as runtime, pytest.raises(InputError, match=message):
        runtime.run(feeds, fetch)


def test_too_much_memory_for_one_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "_session", LiteRTSession(str(path)))
    monkeypatch.setattr(runtimes, "MAX_RESULT_BYTES", 9)
    feeds = {"image": np.zeros((1, 8, 8, 3), np.int8)}
    with pytest.raises(InputError, match=r"of tensors in one run, got .* GiB: ask for fewer of them"):
        runtimes._run(feeds, ("scores", "logits"))


def test_memory_of_a_worker_is_bounded(tmp_path: Path) -> None:
    """Forty tensors of 1 GiB each: the runtime gives up, the machine does not."""
    build = small.TFLiteBuilder()
    tensors = [build.tensor(f"t{i}", (2**15, 2**15)) for i in range(40)]
    for source, output in pairwise(tensors):
        build.operator("RELU", [source], [output])
    path = tmp_path / "large.tflite"
    path.write_bytes(build.build(tensors[:1], tensors[1:]))  # outputs all of them, so that none is freed
    if os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") > 48 * 2**30:
        pytest.skip("this machine has room for it")
    with pytest.raises(RuntimeFailure, match=r"LiteRT (failed|crashed) on"):
        Runtime(path, fetch=["t1"])


def test_errors_of_the_runtime_are_one_line(tmp_path: Path) -> None:
    """A file that is well formed, but that LiteRT does not accept."""
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 4))
    output = build.tensor("y", (1, 4))
    build.operator("CONV_3D", [source, source], [output])
    path = tmp_path / "refused.tflite"
    path.write_bytes(build.build([source], [output]))
    with pytest.raises(RuntimeFailure) as caught:
        Runtime(path)
    assert str(caught.value).startswith(f"LiteRT failed on {path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x00\x00\x00\x00TFL3", bytes(1000)])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"damaged\.tflite"):
        Runtime(path, "tflite")


def test_mutated_files_do_not_end_this_process(tmp_path: Path) -> None:
    """LiteRT crashes on some of these files; here it may only succeed or raise."""
    path = tmp_path / "mutated.tflite"
    for data in mutations(small.branching(), 8, seed=5):
        path.write_bytes(data)
        try:
            with Runtime(path, "tflite") as runtime:
                (feeds,) = random_feeds(runtime.inputs, 1, seed=0)
                runtime.run(feeds, runtime.outputs)
        except FewflipsError:
            continue


@pytest.fixture
def crashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module whose session crashes when it is opened, in place of LiteRT's."""
    code = "import ctypes\ndef Session(path, fetch):\n    ctypes.string_at(0)\n"
    stand_in(tmp_path, "crashing_session", code, monkeypatch)
    return tmp_path / "model.tflite"


def test_a_crash_is_an_error(crashing: Path) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        Runtime(crashing, "tflite")
    assert str(caught.value) == (
        f"LiteRT ended by signal 11 (SIGSEGV) on {crashing}: the file may be damaged, or hold what this runtime cannot "
        "run; get a fresh copy, or check it with LiteRT itself"
    )
    assert caught.value.model == crashing


def test_an_exit_is_an_error(crashing: Path) -> None:
    write_stand_in(crashing.parent, "crashing_session", "import os\ndef Session(path, fetch):\n    os._exit(3)\n")
    with pytest.raises(RuntimeFailure, match=r"LiteRT ended with exit status 3 on .*: the file may be damaged"):
        Runtime(crashing, "tflite")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.tflite: cannot be read: No such file or directory"):
        Runtime(tmp_path / "none.tflite")


def test_a_closed_runtime_says_so(path: Path) -> None:
    runtime = Runtime(path)
    runtime.close()
    runtime.close()
    with pytest.raises(InputError, match="the runtime is closed; open another one"):
        runtime.run({}, [])


def is_there(process: int) -> bool:
    """Whether a process exists, be it a zombie."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def worker_of(runtime: Runtime) -> int:
    return runtime._worker._process.pid


HANGING = """
    import ctypes
    from fewflips.execution.litert import LiteRTSession as Real

    class Session(Real):
        def run(self, feeds, fetch):
            ctypes.PyDLL(None).sleep(600)  # holds the interpreter: no other thread of the worker runs meanwhile
"""


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module whose session opens, but never ends a run, in place of LiteRT's."""
    stand_in(tmp_path, "hanging_session", HANGING, monkeypatch)
    return tmp_path


@pytest.fixture(params=[False, True], ids=["as-is", "bare"])
def bare(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine as it is, or one without psutil and without programs such as pgrep."""
    if request.param:
        monkeypatch.setenv("PATH", "")
        monkeypatch.setitem(sys.modules, "psutil", None)


@pytest.mark.usefixtures("bare")
def test_a_worker_is_gone_after_close(path: Path) -> None:
    with Runtime(path) as runtime:
        worker = worker_of(runtime)
        assert is_there(worker)
    assert not is_there(worker)


@pytest.mark.usefixtures("bare", "hanging")
def test_close_ends_a_run(path: Path) -> None:
    runtime = Runtime(path, "tflite")
    worker = worker_of(runtime)
    timer = threading.Timer(0.3, runtime.close)
    timer.start()
    with pytest.raises(InputError, match="the runtime is closed; open another one"):
        runtime.run({}, ["logits"])
    timer.join()
    assert not is_there(worker)


@pytest.mark.usefixtures("hanging")
def test_a_run_that_takes_too_long_is_an_error(path: Path) -> None:
    with Runtime(path, "tflite", time_limit_s=PATIENCE_S) as runtime:
        worker = worker_of(runtime)
        runtime._worker._time_limit_s = 0.3  # the session opens in more than that on some machines
        with pytest.raises(RuntimeFailure, match=r"LiteRT gave no answer within 0\.3 s on .*model\.tflite: the file"):
            runtime.run({}, ["logits"])
        assert not is_there(worker)


@pytest.mark.usefixtures("bare")
def test_a_crash_needs_no_other_program(crashing: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeFailure, match="LiteRT ended by signal 11"):
        Runtime(crashing, "tflite")
    assert capfd.readouterr() == ("", "")


def test_a_dropped_runtime_ends_its_worker(path: Path) -> None:
    runtime = Runtime(path)
    worker = worker_of(runtime)
    del runtime
    assert not is_there(worker)


@pytest.mark.usefixtures("hanging")
def test_an_interrupt_closes(path: Path) -> None:
    """The answer to an interrupted run must not pass for that to the next one."""
    with Runtime(path, "tflite") as runtime:
        worker = worker_of(runtime)
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            runtime.run({}, ["logits"])
        assert not is_there(worker)
        with pytest.raises(InputError, match="the runtime is closed; open another one"):
            runtime.run({}, ["logits"])


@pytest.mark.parametrize("moment", ["kill", "wait"])
def test_an_interrupted_close_ends_the_worker(path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Ctrl-C arrives just before the worker is killed, or is waited for; it takes effect once the worker is gone."""
    runtime = Runtime(path)
    worker = worker_of(runtime)
    proper = getattr(subprocess.Popen, moment)
    presses = iter([signal.SIGINT])

    def interrupted(process: subprocess.Popen[bytes]) -> None:
        for press in presses:
            signal.raise_signal(press)
        proper(process)

    monkeypatch.setattr(subprocess.Popen, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        runtime.close()
    assert not is_there(worker)
    runtime.close()


def test_a_python_that_cannot_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RuntimeFailure) as caught:
        Runtime(path)
    assert str(caught.value) == (
        "expected to start '/nowhere/python' as a process that runs the network, got: No such file or directory; "
        "check that this Python is still installed, and how many processes and files may be open"
    )


SCRIPT = """
    import sys, time
    from fewflips.execution.runtimes import Runtime
    from fewflips.execution.samples import random_feeds
    runtime = Runtime(sys.argv[1])
    runtime.run(random_feeds(runtime.inputs, 1, seed=0)[0], runtime.outputs)
    print("ready", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def start(path: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(path), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children(process: subprocess.Popen[str]) -> list[int]:
    listing = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(child) for child in listing.read_text().split()]


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_script_without_a_guard_prints_nothing_of_the_runtimes(path: Path) -> None:
    process = start(path, 0)
    assert process.communicate(timeout=PATIENCE_S) == ("ready\n", "")
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see child processes")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_process(path: Path, ending: signal.Signals) -> None:
    process = start(path, 60)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    workers = children(process)
    assert workers
    process.send_signal(ending)
    process.communicate(timeout=PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while any(is_running(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(is_running(worker) for worker in workers)


HANGING_SCRIPT = """
    import sys, threading, time
    from contextlib import suppress
    from fewflips.errors import RuntimeFailure
    from fewflips.execution import runtimes
    from fewflips.execution.sessions import RUNTIMES
    sys.path.insert(0, sys.argv[2])
    from hanging_session import StandIn
    RUNTIMES._parts["tflite"] = StandIn()
    try:
        with runtimes.Runtime(sys.argv[1], "tflite") as runtime:
            print("ready", flush=True)
            if sys.argv[3] == "interrupt":
                runtime.run({}, ["logits"])
        left_open = runtimes.Runtime(sys.argv[1], "tflite")
        def run():
            with suppress(RuntimeFailure):
                left_open.run({}, ["logits"])
        threading.Thread(target=run, daemon=True).start()
        time.sleep(0.3)
        print(left_open._worker._process.pid)
    except KeyboardInterrupt:
        print("interrupted")
"""


def start_hanging(path: Path, folder: Path, end: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(HANGING_SCRIPT), str(path), str(folder), end]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PATH": ""},
    )


def test_exit_does_not_wait_for_a_run(path: Path, hanging: Path) -> None:
    process = start_hanging(path, hanging, "exit")
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "")
    ready, worker = output.split()
    assert ready == "ready"
    assert not is_there(int(worker))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see child processes")
def test_ctrl_c_in_a_terminal(path: Path, hanging: Path) -> None:
    """A terminal sends SIGINT to the worker, too."""
    process = start_hanging(path, hanging, "interrupt")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    workers = children(process)
    assert len(workers) == 1
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=PATIENCE_S) == ("interrupted\n", "")
    assert not is_there(workers[0])
