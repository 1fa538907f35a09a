"""What a type checker and an editor see of the rooms: every public signature says its types."""

import dataclasses
import importlib
import inspect
import typing

import pytest

ROOMS = ("objectives", "gradients", "directions", "descents", "comparisons", "trajectories")
OF_THE_BASE = ("save", "load")  # of results that are saved
SPECIAL = ("__call__", "__len__", "__getitem__", "__array__", "__str__")

NAMES = [
    (room, name)
    for room in ROOMS
    for name in importlib.import_module(f"keras_valleys.{room}").__all__
]


def functions_of(value):
    """A function itself; of a class what users call."""
    if inspect.isfunction(value):
        yield value
        return
    if not dataclasses.is_dataclass(value):
        yield value.__init__
    for key, member in vars(value).items():
        if key in OF_THE_BASE or (key.startswith("_") and key not in SPECIAL):
            continue
        member = member.fget if isinstance(member, property) else member
        member = getattr(member, "__func__", member)
        if inspect.isfunction(member):
            yield member


@pytest.mark.parametrize("room, name", NAMES, ids=[f"{room}.{name}" for room, name in NAMES])
def test_every_public_signature_is_annotated(room, name):
    value = getattr(importlib.import_module(f"keras_valleys.{room}"), name)
    functions = list(functions_of(value))
    for function in functions:
        hints = typing.get_type_hints(function)  # all names in them exist
        asked = [key for key in inspect.signature(function).parameters if key != "self"]
        missing = [key for key in [*asked, "return"] if key not in hints]
        assert not missing, f"{function.__qualname__} says nothing of {missing}"
    if dataclasses.is_dataclass(value):
        fields = {field.name for field in dataclasses.fields(value)}
        hints = typing.get_type_hints(value)
        assert fields <= set(hints)
        loose = {key for key in fields if hints[key] in (tuple, list, dict, object)}
        assert not loose, f"{name} does not say of what {loose} are"
    else:
        assert functions


def test_attributes_of_an_objective_are_annotated():
    from keras_valleys.objectives import Objective

    listed = Objective.__doc__.split("Attributes:")[1].split("Call arguments:")[0]
    names = [line.split(":")[0].strip() for line in listed.splitlines() if line[:8] == " " * 8]
    names = [name for name in names if name.isidentifier()]
    assert len(names) == 12 and set(names) <= set(typing.get_type_hints(Objective))
