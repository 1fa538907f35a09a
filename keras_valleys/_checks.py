"""Refusing what is out of range, in one form."""

import json
import math
import reprlib

import numpy as np


def check_whole(owner, least=0, most=math.inf, **argument):
    """Refuse an argument that is no integer from `least` to `most`, the number of weights."""
    ((name, value),) = argument.items()
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        limits = f">= {least}" if most == math.inf else f"from {least} to {most}, the weights"
        raise ValueError(
            f"`{owner}` expects `{name}` to be an integer {limits}. Received: {name}={value!r}. "
            f"Use {name}={min(most, max(least, 1))}."
        )


def check_vector(owner, size, **argument):
    """An argument as a float64 vector of `size` finite numbers, or an error."""
    ((name, value),) = argument.items()
    vector = np.asarray(value, "float64")
    if vector.shape != (size,) or not np.all(np.isfinite(vector)):
        raise ValueError(
            f"`{owner}` expects `{name}` to be a weight vector of {size} finite numbers. Received: "
            f"shape {vector.shape}, or numbers that are NaN or infinite. "
            "`objective.point()` is the model's present weights."
        )
    return vector


def as_plain(owner, **argument):
    """An argument as JSON gives it back, or an error."""
    ((name, value),) = argument.items()
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{owner}` expects `{name}` to be what JSON can write. Received: {name}={value!r} "
            f"({error}). Use plain numbers, texts and lists."
        ) from error


def as_plain_dict(owner, **argument):
    """A dictionary as JSON gives it back, with NumPy's numbers as plain ones, or an error."""
    ((name, value),) = argument.items()
    try:
        if not isinstance(value, dict):
            raise TypeError("not a dictionary")
        return json.loads(json.dumps(value, default=lambda part: part.tolist()))
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"`{owner}` expects `{name}` to be a dictionary of what JSON can hold. "
            f"Received: {name}={reprlib.repr(value)}. Convert it to numbers and text."
        ) from error
