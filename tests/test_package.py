"""The package as it is installed."""

import importlib.resources
import subprocess
import sys
from importlib.metadata import entry_points, requires, version

import pytest

import comould as cm


def test_every_namespace_loads_by_attribute():
    for name in (
        "space",
        "io",
        "mould",
        "register",
        "habitats",
        "associate",
        "baseline",
        "phantom",
        "study",
        "pl",
        "report",
    ):
        module = getattr(cm, name)
        assert module.__name__ == f"comould.{name}"
        for public in getattr(module, "__all__", ()):
            assert getattr(module, public) is not None, f"{name}.{public}"
            assert public in dir(module)


def test_unknown_names_are_told():
    with pytest.raises(AttributeError, match="no attribute 'moulds'"):
        _ = cm.moulds
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cm.io.nothing


@pytest.mark.parametrize(("room", "name"), [("register", "stack"), ("habitats", "rim")])
def test_a_module_never_hides_the_function_of_its_name(room, name):
    code = (
        f"import comould.{room}.{name}, comould as cm; from comould.{room} import {name} as direct; "
        f"print(callable(cm.{room}.{name}), direct is cm.{room}.{name})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_version_and_command():
    assert version("comould") == cm.__version__
    (command,) = [e for e in entry_points(group="console_scripts") if e.name == "comould"]
    assert command.value == "comould.cli.app:main"


def test_templates_gene_sets_and_types_are_shipped():
    root = importlib.resources.files("comould")
    assert (root / "py.typed").is_file()
    assert cm.mould.templates()
    assert cm.associate.genesets("immune")


def test_no_heavy_framework_is_required():
    names = {line.split(";")[0].strip().lower() for line in requires("comould") if "extra" not in line}
    assert not [n for n in names if n.startswith(("torch", "vtk", "opencv", "simpleitk-simpleelastix"))]


@pytest.mark.parametrize(
    "room", ["io", "mould", "register", "habitats", "associate", "baseline", "phantom", "pl", "report"]
)
def test_importing_a_room_loads_neither_itk_nor_scanpy(room):
    code = f"import sys, comould.{room}; print([m for m in ('itk', 'scanpy', 'squidpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
