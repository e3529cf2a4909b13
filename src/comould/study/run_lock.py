"""One run at a time on one folder: a lock that ends with the process that holds it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comould.errors import InputError

LOCK = ".lock"
_POLL_S = 0.2


@contextmanager
def locked(folder: Path, *, patience_s: float = 0.0) -> Iterator[None]:
    """Hold a folder's lock.

    Parameters
    ----------
    folder
        Made if it is not there.
    patience_s
        How long to wait for another process to let go.

    Raises
    ------
    InputError
        If another process holds it, or the folder cannot be written to.

    Notes
    -----
    The operating system keeps the lock (``flock``; on Windows a locked byte) and drops it when the process dies,
    however it dies. The file itself stays and means nothing. Child processes do not inherit it: Python's file handles
    close on ``exec``, and comould never forks without it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(
            subject=f"output {folder}", expected="a folder that can be written to",
            found=error.strerror or type(error).__name__, remedy="Choose another --out",
        ) from error  # fmt: skip
    try:
        until = time.monotonic() + patience_s
        while not _taken(handle):
            if time.monotonic() >= until:
                raise InputError(
                    subject=f"output {folder}", expected="no other run at work on it",
                    found=f"another run (process {_holder(handle)})",
                    remedy="Wait until it ends, or choose another --out",
                )  # fmt: skip
            time.sleep(_POLL_S)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0) if hasattr(os, "pwrite") else None
        yield
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return _taken_on_windows(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _taken_on_windows(handle: int) -> bool:
    import msvcrt

    try:
        # A byte far behind the text, so that the holder's number can still be read.
        os.lseek(handle, 1 << 20, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True


def _holder(handle: int) -> str:
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        return os.read(handle, 20).decode("ascii", "replace") or "unknown"
    except OSError:
        return "unknown"
