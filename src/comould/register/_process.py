"""WorkerProcess: one run of a worker program, with its pipes, the end of its log, and its end.

Nothing here waits without a limit, and nothing is kept on disk: a full disk or a missing folder for temporary files
is nobody's problem.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, cast

from comould.register._messages import read_message

_TAIL_BYTES = 8192
_Answer = dict[str, Any]


class WorkerLostError(Exception):
    """The program ended, or what it says is no answer; the text says which."""


class WorkerProcess:
    """A program that answers messages of :mod:`comould.register._messages`.

    Parameters
    ----------
    command, environment
        What to run.

    Raises
    ------
    OSError
        If it cannot be run.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        pipe = subprocess.PIPE
        self._popen = subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        self._stdin, self._stdout, self._stderr = cast(
            "tuple[BinaryIO, BinaryIO, BinaryIO]", (self._popen.stdin, self._popen.stdout, self._popen.stderr)
        )
        self._answers: queue.SimpleQueue[_Answer | str] = queue.SimpleQueue()
        self._log = bytearray()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._follow)]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int | None:
        """Process id while it lives."""
        return self._popen.pid if self._popen.poll() is None else None

    def send(self, message: bytes) -> None:
        """Send a message; returns at once, so that a program that does not read cannot stop the caller."""
        threading.Thread(target=self._write, args=(message,), daemon=True).start()

    def answer(self, timeout_s: float) -> _Answer:
        """Wait for the next answer.

        Raises
        ------
        TimeoutError
            If none comes in time.
        WorkerLostError
            If none can come any more.
        """
        try:
            found = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(found, dict):
            return found
        raise WorkerLostError(found)

    def stop(self) -> None:
        """Send it the signal that ends it, from any thread."""
        with contextlib.suppress(OSError):
            self._popen.kill()

    def kill(self) -> None:
        """End it now, and see it gone."""
        self.stop()
        self._popen.wait()
        for thread in self._threads:
            thread.join(timeout=1.0)
        for stream in (self._stdin, self._stdout, self._stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.close()

    def close(self, patience_s: float) -> None:
        """Tell it that no more messages come, and end it when it does not go by itself."""
        with contextlib.suppress(OSError, ValueError):
            self._stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=patience_s)
        self.kill()

    def log_tail(self, length: int = 400) -> str:
        """Give the end of its log as one line; after :meth:`kill` nothing of it is missing."""
        lines = [" ".join(line.split()) for line in bytes(self._log).decode("utf-8", errors="replace").splitlines()]
        # What Python lists after a native crash would leave no room for the crash.
        told = [line for line in lines if line and not line.startswith("Extension modules:")]
        return " | ".join(told)[-length:] or "(empty)"

    def _write(self, message: bytes) -> None:
        # The listener tells when the other side is gone.
        with contextlib.suppress(OSError, ValueError):
            rest = memoryview(message)
            while rest:
                rest = rest[self._stdin.write(rest) :]

    def _listen(self) -> None:
        """Hand on what it says, and at the end why nothing more can come."""
        try:
            while True:
                self._answers.put(read_message(self._stdout)[0])
        except (EOFError, OSError):
            self._answers.put(self._how_it_ended())
        except Exception:
            self._answers.put("something that is no answer from the elastix process")

    def _how_it_ended(self) -> str:
        try:
            code = self._popen.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return "the elastix process says no more, though it lives"
        with contextlib.suppress(ValueError):
            return f"the elastix process ended (exit code {code}, {signal.Signals(-code).name})"
        return f"the elastix process ended (exit code {code})"

    def _follow(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._stderr.fileno(), 65536):
                self._log += chunk
                del self._log[:-_TAIL_BYTES]
