"""Directions, an origin and what goes with them, as `evaluate` and others take them."""

import numpy as np

from keras_valleys._checks import as_numbers, refusal


def plane_of(owner, objective, directions, origin, labels, num_axes):
    """Directions and origin as arrays, and the labels that go with them."""
    size = objective.size
    if directions is None:
        if num_axes != size:
            raise refusal(
                owner,
                "`directions` unless the model has one weight per coordinate array",
                f"directions=None, {size} weights, {num_axes} coordinate arrays",
                f"{_arrays_for(2)}, or give a direction of shape (1, {size})."
                if (num_axes, size) == (1, 2)
                else f"Give directions of shape ({num_axes}, {size}).",
            )
        origin = np.zeros(size) if origin is None else origin
        labels = objective.weight_names if labels is None else labels
        directions = np.eye(size)
    labels = getattr(directions, "labels", None) if labels is None else labels
    origin = getattr(directions, "origin", None) if origin is None else origin
    vectors = as_numbers(owner, directions=getattr(directions, "vectors", directions))
    origin = as_numbers(owner, origin=objective.point() if origin is None else origin)
    return np.atleast_2d(vectors), origin, labels


def declared_of(objective, direction):
    """Period and unit of an axis along a single weight, in units of the coordinate."""
    places = np.flatnonzero(direction)
    if len(places) != 1 or not hasattr(objective, "period_and_unit"):
        return None, ""
    period, unit = objective.period_and_unit(int(places[0]))
    length = abs(float(direction[places[0]]))
    return None if period is None else period / length, unit if length == 1 else ""


def check_directions(owner, directions, origin, num_axes, size):
    """Refuse directions and an origin that are no plane or line over the weights."""
    given = len(directions) if directions.ndim == 2 else 0
    if {num_axes, given} == {1, 2} and directions.shape[1] == size:
        raise refusal(
            owner,
            f"`coordinates` to be one array for each of {given} direction{'s' * (given != 1)}",
            f"{num_axes} coordinate array{'s' * (num_axes != 1)}",
            f"{_arrays_for(given)}.",
        )
    if num_axes not in (1, 2) or directions.shape != (num_axes, size) or origin.shape != (size,):
        raise refusal(
            owner,
            f"one or two coordinate arrays, `directions` with one row of {size} numbers for each, "
            f"and `origin` of {size} numbers",
            f"{num_axes} coordinate arrays, directions of shape {directions.shape}, origin of "
            f"shape {origin.shape}",
            "Use `objective.point()` to see the order of the weights.",
        )
    if not np.all(np.isfinite(directions)) or not np.all(np.isfinite(origin)):
        raise refusal(
            owner,
            "finite `directions` and a finite `origin`",
            "numbers that are NaN or infinite",
            "Check the run that they come from, or give another origin.",
        )
    if np.any(~np.any(directions, axis=1)):
        raise refusal(
            owner,
            "directions that lead somewhere",
            "a direction of zeros",
            "Give each axis a nonzero direction.",
        )


def _arrays_for(num_axes):
    """How the coordinates of so many axes are given."""
    return f"Say coordinates={'t' if num_axes == 1 else '(t, t)'}, an array for each axis"
