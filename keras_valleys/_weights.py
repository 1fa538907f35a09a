"""A model's variables as NumPy arrays, as a vector, which of them, and what layers say of them."""

import math
import numbers

import keras
import numpy as np

from keras_valleys._backend import array_reader, to_numpy
from keras_valleys._checks import refusal, shortened


def flatten(variables):
    """The values of `variables` as one new vector of shape `(P,)`, each in C order."""
    return np.concatenate([to_numpy(variable).ravel() for variable in variables])


def flattener(variables):
    """A function that returns what `flatten` does, for many calls."""
    readers = [array_reader(variable) for variable in variables]
    if len(readers) == 1:
        return lambda: readers[0]().flatten()
    return lambda: np.concatenate([read().ravel() for read in readers])


def variables_of(model):
    """All variables of a model, and the states of stateful layers, which Keras leaves out."""
    found = {id(variable): variable for variable in model.variables}
    for layer in layers_of(model):
        if getattr(layer, "stateful", False):
            states = keras.tree.flatten(getattr(layer, "states", None))
            found |= {id(state): state for state in states if isinstance(state, keras.Variable)}
    return list(found.values())


def layers_of(model):
    """A model and all layers within it, each once, also those within wrappers, lists and others."""
    waiting, seen = [model], set()
    while waiting:
        layer = waiting.pop(0)
        if id(layer) not in seen:
            seen.add(id(layer))
            waiting += layers_in(layer)
            yield layer


def layers_in(layer):
    """The layers that a layer holds itself, as attributes, in lists or in dictionaries."""
    return list(_layers_among([vars(layer), getattr(layer, "layers", [])], set()))


def _layers_among(value, seen):
    if isinstance(value, keras.layers.Layer):
        yield value
    elif isinstance(value, list | tuple | set | frozenset | dict) and id(value) not in seen:
        seen.add(id(value))
        for part in value.values() if isinstance(value, dict) else value:
            yield from _layers_among(part, seen)


def select(owner, variables, /, **argument):
    """The variables that an argument names; `None` takes all.

    Args:
        owner: Name of the asking function or class, for the error message.
        variables: The trainable variables of a model.
        **argument: The argument by its name: a variable, a layer, a name such as "dense",
            "dense/kernel" or "kernel", which is part of a variable's path, or a list of these.
    """
    ((name, wanted),) = argument.items()
    if wanted is None:
        return list(variables)
    single = isinstance(wanted, str | keras.Variable | keras.layers.Layer)
    asked = [wanted] if single else list(wanted)
    chosen = [[_matches(one, variable) for variable in variables] for one in asked]
    missing = [one for one, found in zip(asked, chosen, strict=True) if not any(found)]
    if missing or not asked:
        raise refusal(
            owner,
            f"`{name}` to name trainable variables of the model",
            f"{name}={shortened(wanted)}, of which {shortened(missing)} select none",
            f"Choose from {[v.path for v in variables]}.",
        )
    return [v for v, *found in zip(variables, *chosen, strict=True) if any(found)]


def _matches(wanted, variable):
    if isinstance(wanted, str):
        return f"/{wanted.strip('/')}/" in f"/{variable.path}/"
    if isinstance(wanted, keras.layers.Layer):
        return any(variable is own for own in wanted.trainable_variables)
    return wanted is variable


def period_and_unit(variable, place=0):
    """What is declared of one weight of a variable: its period or `None`, and its unit or "".

    A layer declares it once it has the variable: `self.phi.period = math.pi` and `self.phi.unit =
    "rad"`, for each weight alike or in arrays of the variable's shape. What it leaves open its
    constraint may declare, as `WrapAngle` does. A regularizer has no period, and nor has the loss.

    Args:
        variable: A Keras variable.
        place: Number of the weight in the variable, in C order.
    """
    period, unit = (_declared(variable, name, place) for name in ("period", "unit"))
    real = isinstance(period, numbers.Real) and not isinstance(period, bool)
    if not (period is None or (real and 0 < period < math.inf)) or not isinstance(unit, str | None):
        raise ValueError(
            "A layer expects the `period` of a weight to be a number above 0 or None, and its "
            f"`unit` to be text. Received: period={period!r}, unit={unit!r} of {variable.path}. "
            "Use math.pi and 'rad' for the angle of a line."
        )
    if period is None or getattr(variable, "regularizer", None) is not None:
        return None, unit or ""
    return float(period), unit or ""


def _declared(variable, name, place):
    for source in (variable, getattr(variable, "constraint", None)):
        value = getattr(source, name, None)
        if value is not None:
            try:
                values = np.broadcast_to(np.array(value, object), tuple(variable.shape))
            except ValueError:
                return value  # of another shape, which is refused
            return values[np.unravel_index(place, values.shape)]
    return None
