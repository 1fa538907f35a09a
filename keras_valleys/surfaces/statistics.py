"""What is to be said of the statistics that a surface was evaluated with."""

import numpy as np

CLOSE = 1e-6  # relative: weights that are equal but for the rounding of a direction
ENDS = ("start", "end", "third")  # of the directions that `between` makes


def said_of_statistics(objective, axes, directions, origin, details):
    """What the details of a surface say of statistics; empty for a model without any.

    Args:
        objective: An `Objective`.
        axes: The coordinates of each axis.
        directions: Array of shape `(K, P)`.
        origin: Array of shape `(P,)`.
        details: Those of the directions.
    """
    sentence = getattr(objective, "statistics_sentence", "")
    if not sentence:
        return {}
    said = {"mode": objective.statistics, "sentence": sentence}
    if objective.statistics != "held":
        return said
    present = objective.point()
    points = _known_points(directions, origin, details)
    others = [name for name, point in points.items() if not _is_close(point, present)]
    if others:
        names = " and ".join(others)
        said["others"] = others
        said["sentence"] += f", which need not be those that the network at {names} had"
    at_home = _is_close(origin, present) and not any(np.any(axis) for axis in axes)
    return {**said, "away": not at_home}


def _known_points(directions, origin, details):
    """The weights that a surface was made to pass through, by their names."""
    if details.get("kind") == "weights":  # the origin is where they are 0
        return {}
    if details.get("kind") != "between":
        return {"the origin": origin}
    places = [place for place in details["coordinates"] if len(place) == len(directions)]
    return {
        name: origin + np.asarray(place) @ directions
        for name, place in zip(ENDS, places, strict=False)
    }


def _is_close(point, present):
    return bool(np.all(np.abs(point - present) <= CLOSE * (1 + np.abs(present).max())))


def note_on(said):
    """The same in words, for who watches the progress; "" where all is as the model has it."""
    if not said.get("away"):
        return ""
    return (
        f"Evaluated with {said['sentence']}. Away from the model's weights these are not the "
        "points' own: see `statistics=` of `keras_valleys.objectives.Objective`."
    )
