"""A model's variables as NumPy arrays, as a vector, which of them, and what layers say of them."""

import math
import numbers

import keras
import numpy as np

from keras_valleys._backend import to_numpy
from keras_valleys._checks import refusal, shortened


def flatten(variables):
    """The values of `variables` as one new vector of shape `(P,)`, each in C order."""
    parts = [to_numpy(variable).ravel() for variable in variables]
    return np.concatenate(parts) if parts else np.empty(0, "float32")


def variables_of(model):
    """All variables of a model, and the states of stateful layers, which Keras leaves out."""
    found = {
        id(variable): variable for variable in [*model.variables, *states_of(layers_of(model))]
    }
    return list(found.values())


def states_of(layers):
    """What the stateful ones of some layers carry from batch to batch."""
    found = {id(state): state for layer in layers for state in _states_of(layer)}
    return list(found.values())


def own_statistics(layer):
    """The weights of a layer that training moves, or may move, without a gradient.

    Of Keras' layers these are those of BatchNormalization that is not frozen, and of
    SpectralNormalization; of a user's own layer all numbers that were never to be trained.
    """
    keeping = (keras.layers.BatchNormalization, keras.layers.SpectralNormalization)
    is_keras = type(layer).__module__.startswith("keras.")
    if (is_keras and not isinstance(layer, keeping)) or (
        isinstance(layer, keras.layers.BatchNormalization) and not layer.trainable
    ):
        return []
    states = {id(state) for state in _states_of(layer)}
    # Keras has no public list of the weights that were never to be trained.
    own = getattr(layer, "_non_trainable_variables", layer.non_trainable_variables)
    return [
        variable
        for variable in own
        if id(variable) not in states and "float" in keras.backend.standardize_dtype(variable.dtype)
    ]


def statistics_of(model):
    """The variables that training moves, or may move, without a gradient, in the model's order."""
    return in_order(model, [v for one in layers_of(model) for v in own_statistics(one)])


def in_order(model, variables):
    """Variables in the model's order, each once."""
    found = {id(variable): variable for variable in variables}
    place = {id(variable): k for k, variable in enumerate(model.variables)}
    return sorted(found.values(), key=lambda variable: place.get(id(variable), len(place)))


def number_names(variables):
    """One name for each number of some variables: "norm/moving_mean[2]", or of one "norm/count"."""
    return tuple(
        f"{variable.path}{list(index)}" if index else variable.path
        for variable in variables
        for index in np.ndindex(tuple(variable.shape))
    )


def moved(variables, rows):
    """What moves of statistics along a path.

    Args:
        variables: Some variables.
        rows: Array of shape `(T, Q)`: all their numbers at each row.

    Returns:
        Array of shape `(T, M)` and M names: of the variables of which any number changes.
    """
    kept, start = [], 0
    changes = np.any(rows[1:] != rows[:1], axis=0)
    for variable in variables:
        part = slice(start, start := start + int(np.prod(variable.shape)))
        if np.any(changes[part]):
            kept.append((variable, part))
    columns = [k for _, part in kept for k in range(part.start, part.stop)]
    return rows[:, columns], number_names(variable for variable, _ in kept)


def _states_of(layer):
    """What a stateful layer carries from batch to batch."""
    if not getattr(layer, "stateful", False):
        return []
    states = keras.tree.flatten(getattr(layer, "states", None))
    return [state for state in states if isinstance(state, keras.Variable)]


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
    asked = [wanted] if single or not np.iterable(wanted) else list(wanted)
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
        raise refusal(
            "A layer",
            "the `period` of a weight to be a number above 0 or None, and its `unit` to be text",
            f"period={period!r}, unit={unit!r} of {variable.path}",
            "Use math.pi and 'rad' for the angle of a line.",
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
