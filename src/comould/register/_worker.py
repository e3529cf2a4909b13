"""The elastix process: ``python -m comould.register._worker``. Reads jobs on stdin, answers on stdout, logs on stderr.

Lives apart from the caller because elastix can crash natively and because loading it is slow.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import time
from typing import Any, BinaryIO

import numpy as np

from comould.register._messages import Arrays, read_message, write_message


class Elastix:
    """The few ITK classes needed, loaded without the rest of ITK.

    The public door (``itk.ElastixRegistrationMethod``) loads every wrapped ITK module first: 26 s and 0.9 GB against
    4 s and 0.3 GB for the wrapped modules themselves. It stays as the fallback should their names change.
    """

    def __init__(self) -> None:
        import itk

        try:
            from itk import elxParameterObjectPython, itkElastixRegistrationMethodPython

            self.new_method = itkElastixRegistrationMethodPython.itkElastixRegistrationMethodIF2IF2_New
            self.new_parameters = elxParameterObjectPython.elastixParameterObject_New
        except (ImportError, AttributeError):
            kind = itk.Image[itk.F, 2]
            self.new_method = itk.ElastixRegistrationMethod[kind, kind].New
            self.new_parameters = itk.ParameterObject.New
        self.image_from_array = itk.image_from_array
        itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(1)

    def image(self, array: np.ndarray, spacing: float, origin: list[float]) -> Any:
        """Make an ITK image of a two-dimensional array."""
        image = self.image_from_array(np.ascontiguousarray(array))
        image.SetSpacing([spacing, spacing])
        image.SetOrigin(origin)
        return image

    def register(self, head: dict[str, Any], arrays: Arrays) -> dict[str, Any]:
        """Run one elastix stage and return the parameter map of its transform.

        ``head`` has ``parameters`` (an elastix parameter map), and ``fixed`` and ``moving`` (spacing, origin);
        ``arrays`` has ``fixed`` and ``moving`` ``(c, h, w)`` float32, one channel a metric, and ``fixed_mask``.
        """
        method = self.new_method()
        sides = (("fixed", method.AddFixedImage), ("moving", method.AddMovingImage))
        keep = []
        for side, add in sides:
            for channel in arrays[side]:
                image = self.image(channel.astype(np.float32), **head[side])
                keep.append(image)
                add(image)
        for side, put in (("fixed_mask", method.SetFixedMask), ("moving_mask", method.SetMovingMask)):
            if side in arrays:
                image = self.image(arrays[side].astype(np.uint8), **head[side.removesuffix("_mask")])
                keep.append(image)
                put(image)
        parameters = self.new_parameters()
        parameters.AddParameterMap({key: [str(v) for v in values] for key, values in head["parameters"].items()})
        method.SetParameterObject(parameters)
        method.SetNumberOfThreads(1)
        method.LogToConsoleOn()
        method.Update()
        found = method.GetTransformParameterObject().GetParameterMap(0)
        return {key: list(value) for key, value in dict(found).items()}


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Answer jobs until the caller closes the pipe."""
    try:
        started = time.perf_counter()
        elastix = Elastix()
    except Exception as error:
        write_message(answers, {"ready": False, "error": f"{type(error).__name__}: {error}"})
        return
    write_message(answers, {"ready": True, "seconds": time.perf_counter() - started})
    while True:
        try:
            head, arrays = read_message(jobs)
        except EOFError:
            return
        started = time.perf_counter()
        try:
            answer: dict[str, Any] = {"transform": elastix.register(head, arrays)}
        except Exception as error:
            answer = {"error": " ".join(str(error).split())[-600:] or type(error).__name__}
        write_message(answers, {**answer, "seconds": time.perf_counter() - started})


def main() -> None:
    """Keep the pipes to ourselves: whatever native code prints must go to the log."""
    faulthandler.enable()
    jobs = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):
        serve(jobs, answers)
    sys.stdout.flush()
    # Native destructors of half a gigabyte of wrapped types are slow and of no use here.
    os._exit(0)


if __name__ == "__main__":
    main()
