"""Every public signature is annotated: a type checker and an editor know what goes in and out."""

import dataclasses
import importlib
import inspect
import pkgutil
import sys
import typing

import pytest

import keras_valleys
import tensorboard_plugin_valleys

PLUGIN = tensorboard_plugin_valleys
DOORS = [f"{keras_valleys.__name__}.{name}" for name in keras_valleys.__all__]
DOORS += [f"{PLUGIN.__name__}.{module.name}" for module in pkgutil.iter_modules(PLUGIN.__path__)]


def public_names(door):
    """What a door gives; of the plugin, which users do not import, what its modules define."""
    if hasattr(door, "__all__"):
        return door.__all__
    own = [name for name, value in vars(door).items() if _is_of(value, door.__name__)]
    return [name for name in own if not name.startswith("_")]


def _is_of(value, module):
    return getattr(value, "__module__", "").startswith(module)


def callables_of(name, value):
    """The functions behind a public name that are written in the package: name to function."""
    if inspect.isfunction(value):
        yield name, value
    if not inspect.isclass(value):
        return
    package = value.__module__.split(".")[0]
    for kind in value.__mro__:
        if kind.__module__.split(".")[0] != package:
            continue
        for key, member in vars(kind).items():
            function = getattr(member, "__func__", getattr(member, "fget", member))
            if _is_for_users(key) and inspect.isfunction(function) and _is_written(function, kind):
                for form in typing.get_overloads(function) or [function]:
                    yield f"{name}.{key}", form


def _is_for_users(name):
    inner = ("__post_init__", "__init_subclass__", "__getstate__", "__setstate__", "__reduce__")
    return not name.startswith("_") or (name.startswith("__") and name not in inner)


def _is_written(function, kind):
    """Whether it stands in the file of its class: what dataclasses make does not."""
    return function.__code__.co_filename == sys.modules[kind.__module__].__file__


def faults_of(name, function):
    """What an annotated function lacks, as texts."""
    signature = inspect.signature(function)
    for place, (key, parameter) in enumerate(signature.parameters.items()):
        owned = place == 0 and key in ("self", "cls")
        if parameter.annotation is parameter.empty and not owned:
            yield f"{name}: `{key}` is not annotated"
    if signature.return_annotation is signature.empty and not name.endswith("__init__"):
        yield f"{name}: what it returns is not annotated"
    yield from unresolved(name, function)


def unresolved(name, annotated):
    try:
        typing.get_type_hints(annotated)
    except Exception as error:  # a name that is not there, or no type at all
        yield f"{name}: its annotations are not types ({error})"


def faults_in(door):
    """All that a door's signatures lack."""
    for name in public_names(door):
        value = getattr(door, name)
        for key, function in callables_of(name, value):
            yield from faults_of(key, function)
        if inspect.isclass(value) and dataclasses.is_dataclass(value):
            yield from unresolved(name, value)
            fields = [f for f in dataclasses.fields(value) if not f.name.startswith("_")]
            bare = [f.name for f in fields if f.type in (tuple, list, dict, object)]
            yield from (f"{name}.{key}: of what?" for key in bare)


@pytest.mark.parametrize("name", DOORS)
def test_every_public_signature_is_annotated(name):
    missing = list(faults_in(importlib.import_module(name)))
    assert not missing, "\n".join(missing)


class Bad:
    """A class with one fault in each method."""

    def __init__(self, x):
        pass

    def __len__(self):
        return 0

    def method(self, x: int, *rest, y=1) -> int:
        return x

    @property
    def value(self):
        return 1

    @classmethod
    def made(cls, x: "Nothing") -> int:  # noqa: F821
        return 1

    def _hidden(self, x):
        return x

    def good(self, x: int, *rest: int, y: int = 1, **more: int) -> int:
        return x

    @typing.overload
    def several(self, x: int) -> int: ...

    @typing.overload
    def several(self, x: str) -> str: ...

    def several(self, x):
        return x


def test_the_test_sees_what_is_missing():
    faults = [list(faults_of(*one)) for one in callables_of("Bad", Bad)]
    found = {text.split(":")[0] for texts in faults for text in texts}
    assert found == {"Bad.__init__", "Bad.__len__", "Bad.method", "Bad.value", "Bad.made"}
    assert len(list(faults_of("method", Bad.method))) == 2


def test_attributes_of_an_objective_are_annotated():
    from keras_valleys.objectives import Objective

    listed = Objective.__doc__.split("Attributes:")[1].split("Call arguments:")[0]
    names = [line.split(":")[0].strip() for line in listed.splitlines() if line[:8] == " " * 8]
    names = [name for name in names if name.isidentifier()]
    assert len(names) == 12 and set(names) <= set(typing.get_type_hints(Objective))
