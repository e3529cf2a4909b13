"""ElastixWorker: elastix in a process of its own, started early, restarted after a crash."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from comould.errors import RegistrationError
from comould.register._messages import Arrays, message_bytes
from comould.register._process import WorkerLostError, WorkerProcess

START_TIMEOUT_S = 300.0
JOB_TIMEOUT_S = 120.0
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
    ...     found = comould.register.sections([section], plan=plan, image=t2, mask=mask, workers=[worker])
    """

    def __init__(self, *, timeout_s: float = JOB_TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        self._lock = threading.RLock()
        self._process: WorkerProcess | None = None
        self._ready = False
        self._aborted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id while the process lives."""
        process = self._process
        return None if process is None else process.pid

    def start(self) -> Self:
        """Start the process if it does not run; returns at once.

        Raises
        ------
        RegistrationError
            If no process can be started.
        """
        with self._lock:
            self._aborted = False
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
            if self._aborted:
                raise RegistrationError(subject="elastix worker", expected="to be wanted", found="it was aborted")
            self.start()
            if not self._ready:
                answer = self._next_answer(timeout_s, "start of the elastix worker")
                if not answer.get("ready"):
                    self._kill()
                    raise _no_start(str(answer.get("error")), "Is itk-elastix installed?")
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
            optionally ``moving_mask``; or ``(c, d, h, w)`` and ``(d, h, w)``.
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
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        message = message_bytes({**head, "timeout_s": limit_s}, arrays)
        with self._lock:
            self.wait_ready()
            try:
                if self._process is not None:
                    self._process.send(message)
                answer = self._next_answer(limit_s, _STAGE)
            except BaseException:
                # Also after an interrupt: the answer to this job must not be taken for that to the next.
                self._kill()
                raise
        if "transform" not in answer:
            raise ElastixStageError(
                subject=_STAGE, expected="a transform", found=f"elastix' error: {answer.get('error')}"
            )
        return dict(answer["transform"])

    def abort(self) -> None:
        """End the process at once, whatever it does, from any thread; :meth:`start` makes the worker usable again.

        Until then jobs raise RegistrationError, that which another thread waits for and any later one.
        """
        self._aborted = True
        process = self._process
        if process is not None:
            process.stop()

    def close(self) -> None:
        """End the process; a later job would start it again."""
        with self._lock:
            if self._process is not None:
                self._process.close(1.0 if self._ready else 0.05)
            self._kill()
        atexit.unregister(self.close)

    @staticmethod
    def _command() -> list[str]:
        return [sys.executable, "-P", "-m", "comould.register._worker"]

    def _launch(self) -> None:
        self._kill()
        environment = dict(os.environ)
        root = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
        environment["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
        try:
            self._process = WorkerProcess(self._command(), environment)
        except OSError as error:
            raise _no_start(str(error), "The operating system refuses another process") from error
        atexit.unregister(self.close)
        atexit.register(self.close)

    def _next_answer(self, timeout_s: float, what: str) -> dict[str, Any]:
        process = self._process
        if process is None:
            raise RegistrationError(subject=what, expected="an answer", found="the elastix process was ended")
        try:
            return process.answer(timeout_s)
        except TimeoutError:
            expected, found, remedy = f"an answer within {timeout_s:g} s", "none", ""
        except WorkerLostError as error:
            expected, found, remedy = "an answer", f"{error}", "The next job starts a fresh process"
        self._kill()
        raise RegistrationError(
            subject=what, expected=expected, found=f"{found}; its log ends: {process.log_tail()}", remedy=remedy
        )

    def _kill(self) -> None:
        process, self._process, self._ready = self._process, None, False
        if process is not None:
            process.kill()


def _no_start(found: str, remedy: str) -> RegistrationError:
    return RegistrationError(subject="elastix worker", expected="to start", found=found, remedy=remedy)


@lru_cache(maxsize=1)
def shared_worker() -> ElastixWorker:
    """Give the worker that is used when the caller brings none; one a process, started when first needed."""
    return ElastixWorker()
