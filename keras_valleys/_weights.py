"""A model's variables as NumPy arrays, as a vector, which of them, and what layers say of them."""

import math
import numbers

import keras
import numpy as np
from keras import ops

from keras_valleys._backend import reader


def to_numpy(tensor):
    """The values of a tensor or variable; they may share its memory.

    Keras' own `convert_to_numpy` and `get_weights` warn under NumPy 2 (their `__array__` has no
    `copy`), and users run with warnings as errors.
    """
    tensor = getattr(tensor, "value", tensor)  # of a Keras variable: the backend's own
    if keras.config.backend() == "torch":
        tensor = tensor.detach().cpu()
        if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
            tensor = ops.cast(tensor, "float32")  # NumPy has no form of it
        return tensor.numpy()
    # A TensorFlow variable may live on several devices, and NumPy takes thrice as long to read it.
    array = np.asarray(tensor.value() if hasattr(tensor, "value") else tensor)
    return array.astype("float32") if array.dtype.kind == "V" else array  # such as bfloat16


def flatten(variables):
    """The values of `variables` as one new vector of shape `(P,)`, each in C order."""
    return np.concatenate([to_numpy(variable).ravel() for variable in variables])


def flattener(variables):
    """A function that returns what `flatten` does, for many calls."""
    readers = [_array_reader(variable) for variable in variables]
    if len(readers) == 1:
        return lambda: readers[0]().flatten()
    return lambda: np.concatenate([read().ravel() for read in readers])


def _array_reader(variable):
    """`to_numpy` of a variable, without the questions whose answers stay the same."""
    read = reader(variable)
    plain = keras.config.backend() == "tensorflow" and np.asarray(read()).dtype.kind != "V"
    return (lambda: np.asarray(read())) if plain else lambda: to_numpy(read())


def variables_of(model):
    """All variables of a model, and the states of stateful layers, which Keras leaves out."""
    found = {id(variable): variable for variable in model.variables}
    for layer in model._flatten_layers():  # also those within wrappers
        if getattr(layer, "stateful", False):
            states = keras.tree.flatten(getattr(layer, "states", None))
            found |= {id(state): state for state in states if isinstance(state, keras.Variable)}
    return list(found.values())


def select(variables, wanted, who):
    """The variables that `wanted` names; `None` takes all.

    Args:
        variables: The trainable variables of a model.
        wanted: A variable, a layer, a name such as "dense", "dense/kernel" or "kernel", which is
            part of a variable's path, or a list of these.
        who: The name of the asking argument's owner and the argument, for the error message.
    """
    if wanted is None:
        return list(variables)
    single = isinstance(wanted, str | keras.Variable | keras.layers.Layer)
    asked = [wanted] if single else list(wanted)
    chosen = [[_matches(one, variable) for variable in variables] for one in asked]
    missing = [one for one, found in zip(asked, chosen, strict=True) if not any(found)]
    if missing or not asked:
        owner, argument = who
        raise ValueError(
            f"`{owner}` expects `{argument}` to name trainable variables of the model. "
            f"Received: {argument}={wanted!r}, of which {missing!r} select none. "
            f"Choose from {[v.path for v in variables]}."
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
