"""ElastixWorker: elastix in a process of its own, started early, restarted after a crash."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

from comould.errors import RegistrationError
from comould.register._messages import Arrays, read_message, write_message

START_TIMEOUT_S = 300.0
JOB_TIMEOUT_S = 120.0
_Answer = dict[str, Any]
_STAGE = "elastix stage"


class ElastixStageError(RegistrationError):
    """elastix gave up on a stage (and lives on)."""


class ElastixWorker:
    """A long-lived elastix process.

    Loading elastix takes seconds, and it can crash natively: so it runs apart. :meth:`start` returns at once and lets
    it warm up while other work is done; a crash or a hang becomes a
    :class:`~comould.errors.RegistrationError` with the end of its log, and the next job finds a fresh process. One job
    runs at a time; threads may share a worker.

    Parameters
    ----------
    timeout_s
        Longest time one elastix stage may take.

    Examples
    --------
    >>> from comould.register import ElastixWorker
    >>> with ElastixWorker() as worker:  # doctest: +SKIP
    ...     worker.start()  # returns at once; elastix loads while other work is done
    ...     registration = comould.register.section(section, plan=plan, image=t2, mask=mask, worker=worker)
    """

    def __init__(self, *, timeout_s: float = JOB_TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[_Answer | None] = queue.Queue()
        self._log: Path | None = None
        self._ready = False
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id while the process lives."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def start(self) -> Self:
        """Start the process if it does not run; returns at once."""
        with self._lock:
            if self.pid is None:
                self._launch()
        return self

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> Self:
        """Start if need be, and wait until elastix is loaded.

        Raises
        ------
        RegistrationError
            If it does not start.
        """
        with self._lock:
            self.start()
            if not self._ready:
                answer = self._next_answer(timeout_s, "start of the elastix worker")
                if not answer.get("ready"):
                    self._kill()
                    raise RegistrationError(
                        subject="elastix worker",
                        expected="to start",
                        found=str(answer.get("error")),
                        remedy="Is itk-elastix installed?",
                    )
                self._ready = True
        return self

    def run(self, head: Mapping[str, Any], arrays: Arrays, *, timeout_s: float | None = None) -> dict[str, list[str]]:
        """Run one elastix stage.

        Parameters
        ----------
        head
            ``parameters`` (an elastix parameter map), ``fixed`` and ``moving`` (``spacing`` mm, ``origin`` mm x, y).
        arrays
            ``fixed`` and ``moving`` ``(c, h, w)`` float32, one channel per metric; ``fixed_mask`` ``(h, w)``,
            optionally ``moving_mask``.
        timeout_s
            Instead of the worker's own.

        Returns
        -------
        dict
            elastix' parameter map of the transform from fixed to moving points.

        Raises
        ------
        ElastixStageError
            If elastix reports an error.
        RegistrationError
            If it crashes or hangs.
        """
        with self._lock:
            self.wait_ready()
            process = self._process
            if process is None or process.stdin is None:  # pragma: no cover
                raise self._lost(_STAGE)
            try:
                write_message(_binary(process.stdin), head, arrays)
            except (BrokenPipeError, OSError) as error:
                raise self._lost(_STAGE) from error
            answer = self._next_answer(self.timeout_s if timeout_s is None else timeout_s, _STAGE)
        if "transform" not in answer:
            raise ElastixStageError(
                subject=_STAGE, expected="a transform", found=f"elastix' error: {answer.get('error')}"
            )
        return dict(answer["transform"])

    def close(self) -> None:
        """End the process; a later job would start it again."""
        with self._lock:
            process = self._process
            if process is not None and process.poll() is None and process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=1.0 if self._ready else 0.05)
            self._kill()
        atexit.unregister(self.close)

    def _launch(self) -> None:
        self._kill()
        handle, name = tempfile.mkstemp(prefix="comould-elastix-", suffix=".log")
        self._log = Path(name)
        environment = dict(os.environ)
        root = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
        environment["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "comould.register._worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=handle,
                env=environment,
            )
        finally:
            os.close(handle)
        self._process = process
        self._answers = queue.Queue()
        self._ready = False
        threading.Thread(target=_listen, args=(process.stdout, self._answers), daemon=True).start()

    def _next_answer(self, timeout_s: float, what: str) -> _Answer:
        try:
            answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            tail = self._tail()
            self._kill()
            raise RegistrationError(
                subject=what, expected=f"an answer within {timeout_s:g} s", found=f"none; its log ends: {tail}"
            ) from None
        if answer is None:
            raise self._lost(what)
        return answer

    def _lost(self, what: str) -> RegistrationError:
        code: int | None = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(timeout=5)
        tail = self._tail()
        self._kill()
        return RegistrationError(
            subject=what,
            expected="an answer",
            found=f"the elastix process ended (exit code {code}); its log ends: {tail}",
            remedy="The next job starts a fresh process",
        )

    def _tail(self, length: int = 300) -> str:
        try:
            text = self._log.read_text(encoding="utf-8", errors="replace") if self._log else ""
        except OSError:
            text = ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " | ".join(lines)[-length:] or "(empty)"

    def _kill(self) -> None:
        process, self._process, self._ready = self._process, None, False
        if process is not None:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError, ValueError):
                        stream.close()
        if self._log is not None:
            self._log.unlink(missing_ok=True)
            self._log = None


def _binary(stream: Any) -> BinaryIO:
    return stream


def _listen(stream: BinaryIO, answers: queue.Queue[_Answer | None]) -> None:
    """Hand on what the process says; ``None`` when it is gone."""
    with contextlib.suppress(EOFError, OSError, ValueError):
        while True:
            answers.put(read_message(stream)[0])
    answers.put(None)
