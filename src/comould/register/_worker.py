"""The elastix process: ``python -m comould.register._worker``. Reads jobs on stdin, answers on stdout, logs on stderr.

Lives apart from the caller because elastix can crash natively and because loading it is slow.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from comould.register._messages import Arrays, read_message, write_message


class Elastix:
    """The few ITK classes needed, loaded without the rest of ITK.

    The public door (``itk.ElastixRegistrationMethod``) loads every wrapped ITK module first: 26 s and 0.9 GB against
    4 s and 0.3 GB for the wrapped modules themselves. It stays as the fallback should their names change.
    """

    def __init__(self) -> None:
        try:
            self._load_wrapped_modules()
        except (ImportError, AttributeError, TypeError, RuntimeError):
            self._load_public_door()

    def _load_wrapped_modules(self) -> None:
        from itk import elxParameterObjectPython, itkElastixRegistrationMethodPython, itkPyBufferPython

        self.methods = {
            2: itkElastixRegistrationMethodPython.itkElastixRegistrationMethodIF2IF2_New,
            3: itkElastixRegistrationMethodPython.itkElastixRegistrationMethodIF3IF3_New,
        }
        self.new_parameters = elxParameterObjectPython.elastixParameterObject_New
        doors = {
            ("f", 2): itkPyBufferPython.itkPyBufferIF2,
            ("B", 2): itkPyBufferPython.itkPyBufferIUC2,
            ("f", 3): itkPyBufferPython.itkPyBufferIF3,
            ("B", 3): itkPyBufferPython.itkPyBufferIUC3,
        }

        def image_from_array(array: np.ndarray) -> Any:
            door = doors[array.dtype.char, array.ndim]
            return door._GetImageViewFromArray(array, list(array.shape[::-1]), 1)

        self.image_from_array: Callable[[np.ndarray], Any] = image_from_array
        # Private: so it is tried here, where a change of its manner leads to the public door.
        tried = image_from_array(np.arange(6, dtype=np.float32).reshape(2, 3))
        if tuple(tried.GetLargestPossibleRegion().GetSize()) != (3, 2) or tried.GetPixel([1, 1]) != 4.0:
            msg = "a view of an array is not what it was"
            raise RuntimeError(msg)

    def _load_public_door(self) -> None:
        import itk

        kinds = {dimension: itk.Image[itk.F, dimension] for dimension in (2, 3)}
        self.methods = {n: itk.ElastixRegistrationMethod[kind, kind].New for n, kind in kinds.items()}
        self.new_parameters = itk.ParameterObject.New
        self.image_from_array = itk.image_from_array

    def image(self, array: np.ndarray, spacing: float, origin: list[float]) -> Any:
        """Make an ITK image of an array of two or three dimensions."""
        image = self.image_from_array(array)
        image.SetSpacing([spacing] * array.ndim)
        image.SetOrigin(origin)
        return image

    def register(self, head: dict[str, Any], arrays: Arrays) -> dict[str, Any]:
        """Run one elastix stage and return the parameter map of its transform.

        ``head`` has ``parameters`` (an elastix parameter map), and ``fixed`` and ``moving`` (spacing, origin);
        ``arrays`` has ``fixed`` and ``moving`` ``(c, h, w)`` or ``(c, d, h, w)`` float32, one channel a metric, and
        ``fixed_mask``.
        """
        method = self.methods[arrays["fixed"].ndim - 1]()
        sides = (("fixed", method.AddFixedImage), ("moving", method.AddMovingImage))
        keep: list[Any] = []
        for side, add in sides:
            for channel in arrays[side]:
                pixels = np.ascontiguousarray(channel, dtype=np.float32)
                image = self.image(pixels, **head[side])
                # Images are views: their pixels must outlive the run.
                keep.append((pixels, image))
                add(image)
        for side, put in (("fixed_mask", method.SetFixedMask), ("moving_mask", method.SetMovingMask)):
            if side in arrays:
                pixels = np.ascontiguousarray(arrays[side], dtype=np.uint8)
                image = self.image(pixels, **head[side.removesuffix("_mask")])
                keep.append((pixels, image))
                put(image)
        parameters = self.new_parameters()
        parameters.AddParameterMap({key: [str(v) for v in values] for key, values in head["parameters"].items()})
        method.SetParameterObject(parameters)
        method.SetNumberOfThreads(1)
        method.LogToConsoleOn()
        method.Update()
        found = method.GetTransformParameterObject().GetParameterMap(0)
        return {key: list(value) for key, value in dict(found).items()}


def listen(jobs: BinaryIO, inbox: queue.SimpleQueue[tuple[dict[str, Any], Arrays]]) -> None:
    """Take jobs in; when the caller closes the pipe, or dies, end at once, even while loading."""
    try:
        while True:
            inbox.put(read_message(jobs))
    finally:
        # Native destructors of half a gigabyte of wrapped types are slow and of no use here.
        os._exit(0)


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Answer jobs until the caller goes."""
    inbox: queue.SimpleQueue[tuple[dict[str, Any], Arrays]] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(jobs, inbox), daemon=True).start()
    try:
        started = time.perf_counter()
        elastix = Elastix()
    except Exception as error:
        write_message(answers, {"ready": False, "error": f"{type(error).__name__}: {error}"})
        return
    write_message(answers, {"ready": True, "seconds": time.perf_counter() - started})
    while True:
        head, arrays = inbox.get()
        started = time.perf_counter()
        try:
            with _never_alone(jobs, head.get("timeout_s")):
                answer: dict[str, Any] = {"transform": elastix.register(head, arrays)}
        except Exception as error:
            answer = {"error": " ".join(str(error).split())[-600:] or type(error).__name__}
        write_message(answers, {**answer, "seconds": time.perf_counter() - started})


@contextlib.contextmanager
def _never_alone(jobs: BinaryIO, timeout_s: float | None) -> Iterator[None]:
    """End the process when the caller dies during a job.

    elastix holds Python's lock for as long as it computes, so :func:`listen` cannot see the caller go. The kernel can:
    a hang-up of the job's pipe, which carries nothing during a job, becomes SIGIO, and that ends a process. Where
    there is no such signal a watchdog ends it some time after the caller must have given up.
    """
    if timeout_s is not None:
        faulthandler.dump_traceback_later(timeout_s + 10.0, exit=True)
    with contextlib.ExitStack() as stack:
        stack.callback(faulthandler.cancel_dump_traceback_later)
        if sys.platform == "linux":
            import fcntl

            pipe = jobs.fileno()
            flags = fcntl.fcntl(pipe, fcntl.F_GETFL)
            fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(pipe, fcntl.F_SETFL, flags | os.O_ASYNC)
            stack.callback(fcntl.fcntl, pipe, fcntl.F_SETFL, flags)
        # A caller that was gone before gives no signal: hand the lock over, so that the listener may see it.
        time.sleep(0.001)
        yield


def main() -> None:
    """Keep the pipes to ourselves: whatever native code prints must go to the log."""
    faulthandler.enable(all_threads=False)
    # An interrupt from the keyboard goes to every process of the terminal; what becomes of us is the caller's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):
        serve(jobs, answers)
    os._exit(1)


if __name__ == "__main__":
    main()
