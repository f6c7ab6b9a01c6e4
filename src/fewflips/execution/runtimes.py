"""Runs a network in the format's own runtime, in a separate process.

LiteRT and ONNX Runtime are written in C++: a damaged file may make them crash, print, or take all memory. They run in a
worker process, so that none of this affects the caller.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from numpy.typing import NDArray

from fewflips.errors import FewflipsError, InputError, ModelError, RuntimeFailure
from fewflips.execution.sessions import RUNTIMES, InputSpec, ModelRuntime, Session, runtime_of
from fewflips.files.input_files import open_plain
from fewflips.network.graph import Network
from fewflips.network.reading import FIRST_BYTES, reader_of
from fewflips.visible import one_line

FileFormat = str
"""The name of a reader; formats without a runtime are counted and scheduled, but not run."""

_MEMORY_SHARE = 0.75
"""Share of the machine's memory that a worker may use."""

MAX_RESULT_BYTES = 2**32
"""Limit on the bytes of tensors passed in one call."""

_LONGEST_REASON = 300
"""How many characters of a runtime's message are repeated: LiteRT may list every tensor."""

_ENDING_SECONDS = 10.0
"""How long a worker may take to exit after closing its pipe."""

_WATCH_SECONDS = 1.0
"""How often a worker checks that its parent process still exists."""


class Runtime:
    """A model, ready to run in a worker process; a context manager.

    Parameters
    ----------
    source : Network, Path or str
        The network, or the path of its file.
    file_format : str, optional
        Its format, the name of its reader; by default that of the network, or what the file's first bytes say.
    fetch : sequence of str
        Names of intermediate tensors that runs will request.
    time_limit_s : float, optional
        Time limit for opening the model, and for each run, in seconds.

    Attributes
    ----------
    inputs : tuple of InputSpec
        The model's inputs.
    outputs : tuple of str
        Names of its outputs.

    Raises
    ------
    RuntimeFailure
        If the runtime refuses the file, crashes on it, or does not answer within the time limit.

    Examples
    --------
    >>> with Runtime("model.tflite") as runtime:  # doctest: +SKIP
    ...     feeds = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in runtime.inputs}
    ...     outputs = runtime.run(feeds, runtime.outputs)
    """

    def __init__(
        self,
        source: Network | Path | str,
        file_format: FileFormat | None = None,
        fetch: Sequence[str] = (),
        time_limit_s: float | None = None,
    ) -> None:
        self._path = Path(source.path if isinstance(source, Network) else source)
        if file_format is None:
            file_format = source.file_format if isinstance(source, Network) else _format_of(self._path)
        runtime = runtime_of(file_format)
        if runtime is None:
            known = " or ".join(f"{RUNTIMES[form].name} ({form})" for form in RUNTIMES.names)
            raise RuntimeFailure(f"{self._path}: expected {known}, got {file_format}: no runtime", self._path)
        self._runtime = runtime
        self._worker = _Worker(time_limit_s)
        try:
            self.inputs, self.outputs = self._in_worker(_open, runtime, self._path, tuple(fetch))
        except BaseException:
            self.close()
            raise

    def run(self, feeds: Mapping[str, NDArray[Any]], fetch: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Run one inference.

        Ctrl-C ends the run, and closes the runtime.

        Parameters
        ----------
        feeds : mapping of str to ndarray
            A value for each input, of the shape and type in `inputs`.
        fetch : sequence of str
            Tensors to return: outputs, inputs, or intermediate ones.

        Returns
        -------
        dict of str to ndarray
            The value of each tensor in `fetch`.

        Raises
        ------
        RuntimeFailure
            If the runtime fails, crashes, or does not answer within the time limit.
        InputError
            If `feeds` or `fetch` do not fit the model, or need too much memory.
        """
        result: dict[str, NDArray[Any]] = self._in_worker(_run, dict(feeds), tuple(fetch))
        return result

    def executes_in_integers(self) -> bool:
        """Whether the runtime computes all quantized products of the model in integers.

        Integer sums do not depend on the order of their terms; float ones do, in their last bits.

        Raises
        ------
        RuntimeFailure
            If the runtime fails or crashes.
        """
        return bool(self._in_worker(_executes_in_integers, self._runtime, self._path))

    def close(self) -> None:
        """End the worker process; it is killed if it is still working."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _in_worker(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return self._worker.call(function, *arguments)
        except _WorkerGoneError as error:
            raise RuntimeFailure(
                f"{self._runtime.name} {error} on {self._path}: the file may be damaged, or hold what this runtime "
                f"cannot run; get a fresh copy, or check it with {self._runtime.name} itself",
                self._path,
            ) from error
        except _WorkerClosedError:
            raise InputError(f"{self._path}: the runtime is closed; open another one") from None
        except _SessionError as error:
            raise RuntimeFailure(f"{self._runtime.name} failed on {self._path}: {error}", self._path) from None


class _WorkerGoneError(Exception):
    """A worker exited before it answered; the message says how."""


class _WorkerClosedError(Exception):
    """A call to a worker that was closed, perhaps by another thread in the meantime."""


_START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from fewflips.execution.runtimes import _serve; _serve()"
)
"""The worker's code: it sees the caller's modules, but does not run the caller's script again."""


class _Worker:
    """A Python process that executes functions for this one, one call at a time.

    It exits on :meth:`close`, when this object is collected, and when this process ends, in whatever way.

    Parameters
    ----------
    time_limit_s : float, optional
        Time limit for one call, in seconds, after which the process is killed.
    """

    def __init__(self, time_limit_s: float | None = None) -> None:
        self._time_limit_s = time_limit_s
        self._is_late = False
        command = [sys.executable, "-P", "-c", _START]
        try:
            with _interrupts_held():  # the worker inherits this: the caller handles Ctrl-C
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
        except OSError as error:
            raise RuntimeFailure(
                f"expected to start '{sys.executable}' as a process that runs the network, got: {error.strerror}; "
                "check that this Python is still installed, and how many processes and files may be open"
            ) from error
        self._finalizer = weakref.finalize(self, _end, self._process)
        self._turn = threading.RLock()
        self._closed = False
        with suppress(OSError):  # the first call reports a worker that could not start
            self._send(sys.path)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Result of a function of this module; its exceptions are raised here."""
        with self._turn:
            if self._closed:
                raise _WorkerClosedError
            try:
                with self._deadline():
                    self._send((function, arguments))
                    succeeded, result = pickle.load(_pipe(self._process.stdout))
            except (EOFError, OSError, pickle.UnpicklingError) as error:
                raise (_WorkerClosedError() if self._closed else _WorkerGoneError(self._ending())) from error
            except BaseException:
                self.close()  # otherwise the next call would receive the answer to this one
                raise
        if not succeeded:
            raise result
        return result

    def close(self) -> None:
        """Kill the process, and wait until it has exited."""
        self._closed = True
        _end(self._process)
        self._finalizer.detach()
        with self._turn:
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):  # a request that the worker did not read
                    _pipe(pipe).close()

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        """Kill the process if the body takes too long."""
        if self._time_limit_s is None:
            yield
            return
        timer = threading.Timer(self._time_limit_s, self._kill_late)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _kill_late(self) -> None:
        self._is_late = True
        self._process.kill()

    def _ending(self) -> str:
        """How the process ended, as the part of a sentence after the runtime's name."""
        try:
            status = self._process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            return "stopped answering"
        if self._is_late:
            return f"gave no answer within {self._time_limit_s:g} s"
        return (
            f"ended with exit status {status}" if status >= 0 else f"ended by signal {-status}{_signal_name(-status)}"
        )

    def _send(self, message: object) -> None:
        # Pickled completely before sending, so that an object that cannot be pickled leaves no partial message in the
        # pipe.
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        stream = _pipe(self._process.stdin)
        stream.write(data)
        stream.flush()


def _signal_name(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise BrokenPipeError("the worker has no pipe")
    return stream


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and wait until it has exited; Ctrl-C takes effect after that."""
    interrupt: KeyboardInterrupt | None = None
    while process.returncode is None:
        try:
            process.kill()
            process.wait()
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Block SIGINT in this thread, and in the processes it starts meanwhile."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _SessionError(Exception):
    """An error inside the worker: its first line, without the runtime's own classes."""


def _format_of(path: Path) -> FileFormat:
    try:
        with open_plain(path) as stream:
            head = stream.read(FIRST_BYTES)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}; give the path of a model file") from error
    return reader_of(path, head).name


_session: Session | None = None
"""The worker's own session; always None in the process that holds the Runtime."""


def _serve() -> None:
    """Answer the calls that arrive on standard input, until it ends."""
    with os.fdopen(os.dup(1), "wb") as answers:
        _prepare_worker()
        while True:
            try:
                function, arguments = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            answers.write(_answer(function, arguments))
            answers.flush()


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    """Pickle (True, the function's result) or (False, an error that the other process can unpickle)."""
    try:
        return pickle.dumps((True, function(*arguments)), pickle.HIGHEST_PROTOCOL)
    except FewflipsError as error:
        return pickle.dumps((False, error))
    except Exception as error:  # of the runtime's own classes, or out of memory
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        return pickle.dumps((False, _SessionError(one_line(lines[0], _LONGEST_REASON))))


def _prepare_worker() -> None:
    """Discard what the runtime prints, bound its memory, and watch its parent."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # otherwise ONNX Runtime leaves a file in the temporary folder
    sink = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(sink, descriptor)
    os.close(sink)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _bound_memory()


def _bound_memory() -> None:
    """Let a model that needs too much memory fail on its own, if the operating system has such limits."""
    try:
        import resource

        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ImportError, AttributeError, ValueError, OSError):
        return
    limit = int(memory * _MEMORY_SHARE)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _end_with(parent: int) -> None:
    """End the worker when its parent process has gone, perhaps killed."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


def _open(runtime: ModelRuntime, path: Path, fetch: tuple[str, ...]) -> tuple[tuple[InputSpec, ...], tuple[str, ...]]:
    global _session
    _session = runtime.open(path, fetch)
    return _session.inputs, _session.outputs


def _run(feeds: dict[str, NDArray[Any]], fetch: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    if _session is None:
        raise _SessionError("no session is open")
    values = _session.run(feeds, fetch)
    size = sum(value.nbytes for value in values.values())
    if size > MAX_RESULT_BYTES:
        raise InputError(
            f"expected at most {MAX_RESULT_BYTES / 2**30:g} GiB of tensors in one run, got {size / 2**30:.3g} GiB: "
            "ask for fewer of them"
        )
    return values


def _executes_in_integers(runtime: ModelRuntime, path: Path) -> bool:
    return runtime.executes_in_integers(path)
