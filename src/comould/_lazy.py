"""Packages whose names load their module when first used, so that importing them costs nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def attach(package: str, module_of: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's module-level ``__getattr__`` and ``__dir__``.

    Parameters
    ----------
    package
        The package's ``__name__``.
    module_of
        Public name to the module inside the package that defines it.

    Returns
    -------
    tuple
        ``(__getattr__, __dir__)``, to be assigned at module level.
    """

    def getattribute(name: str) -> Any:
        """Import the name's module when it is first asked for."""
        if name not in module_of:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = getattr(import_module(f"{package}.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted(module_of)

    class Room(ModuleType):
        """A package in which a module never takes the place of the public name it defines (``stack`` of ``stack``)."""

        def __setattr__(self, name: str, value: Any) -> None:
            if not (isinstance(value, ModuleType) and name in module_of):
                super().__setattr__(name, value)

    sys.modules[package].__class__ = Room
    return getattribute, names
