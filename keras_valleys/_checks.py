"""Refusing what is out of range: one template for all errors, and the refusals that recur."""

import dataclasses
import json
import math
import numbers
import reprlib
import typing
from collections.abc import Iterable

import numpy as np

MOST = 600  # characters of what was received
MOST_LEVELS = 60  # of lists and dictionaries in one another
TOO_LARGE = 2**63  # for the integers of NumPy and of TensorBoard


def refusal(
    owner: str | tuple[str, ...],
    expects: str,
    received: str | dict[str, typing.Any],
    remedy: str,
    kind: type[Exception] = ValueError,
) -> Exception:
    """The error for what a user gave and cannot be taken, in the one form for all; to be raised.

    Args:
        owner: Name of the function or class that refuses, or of several; or words that begin
            with "A".
        expects: What it expects, without a full stop.
        received: What it got instead: words, without a full stop, or a dictionary of the arguments
            by name, whose values are shortened.
        remedy: What to do: a sentence or two.
        kind: Class of the error.

    Returns:
        The error.

    Example:

    >>> from keras_valleys._checks import refusal
    >>> str(refusal("span", "`reach` to be > 0", {"reach": -1}, "Use reach=10.0."))
    '`span` expects `reach` to be > 0. Received: reach=-1. Use reach=10.0.'
    """
    if isinstance(received, dict):
        received = ", ".join(f"{name}={shortened(value)}" for name, value in received.items())
    if len(received) > MOST:
        received = f"{received[: 3 * MOST // 4]} ... {received[-MOST // 4 :]}"
    owners = (owner,) if isinstance(owner, str) else owner
    names = " and ".join(name if name.startswith("A ") else f"`{name}`" for name in owners)
    verb = "expects" if len(owners) == 1 else "expect"
    return kind(f"{names} {verb} {expects}. Received: {received}. {remedy}")


class _Shortener(reprlib.Repr):
    """Values on one line, of long ones the begin and the end."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 160
        self.maxlevel = 3

    def repr_instance(self, x: typing.Any, level: int) -> str:
        value = x.item() if isinstance(x, np.generic) else x
        return " ".join(super().repr_instance(value, level).split())


shortened = _Shortener().repr


def is_whole(value: object) -> bool:
    """Whether a value is an integer, also one of NumPy's, and no boolean."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_whole(
    owner: str,
    least: int = 0,
    most: float = math.inf,
    *,
    remedy: str | None = None,
    **argument: typing.Any,
) -> None:
    """Refuse an argument that is no integer from `least` to `most`, the number of weights."""
    ((name, value),) = argument.items()
    if not is_whole(value) or not least <= value <= most or value >= TOO_LARGE:
        limits = f">= {least}" if most == math.inf else f"from {least} to {most}, the weights"
        limits += ", and below 2**63" * (is_whole(value) and value >= TOO_LARGE)
        use = remedy or f"Use {name}={min(most, max(least, 1))}."
        raise refusal(owner, f"`{name}` to be an integer {limits}", {name: value}, use)


def is_finite(value: object) -> bool:
    """Whether a value is a finite real number that a float can hold, and no boolean."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def check_number(
    owner: str,
    wanted: str,
    remedy: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    **argument: typing.Any,
) -> None:
    """Refuse an argument that is no finite number >= `least` and > `above`, `wanted` in words."""
    ((name, value),) = argument.items()
    if not is_finite(value) or not least <= value or not value > above:
        raise refusal(owner, f"`{name}` to be {wanted}", {name: value}, remedy)


# What the arrays of other packages raise where NumPy cannot take them.
UNTAKEN = (TypeError, ValueError, OverflowError, AttributeError, RuntimeError)


def as_numbers(owner: str, dtype: str = "float64", **argument: typing.Any) -> np.ndarray:
    """An argument as an array of real numbers, or an error."""
    ((name, value),) = argument.items()
    try:
        array = np.asarray(value)
        # Of these NumPy would make numbers as well, and so it would of texts among objects.
        if array.dtype.kind in "cmMSU" or (array.dtype.kind == "O" and _has_text(array)):
            raise TypeError(f"of the dtype {array.dtype}")
        return np.asarray(array, dtype)
    except UNTAKEN as error:
        raise refusal(
            owner,
            f"`{name}` to be an array of numbers",
            {name: value},
            "Convert it to numbers.",
        ) from error


def _has_text(objects: np.ndarray) -> bool:
    return any(isinstance(value, str | bytes | np.datetime64) for value in objects.flat)


def as_measured(owner: str, *, wanted: str = "", **argument: typing.Any) -> np.ndarray:
    """An argument as an array of integers or floats of its own dtype, or an error.

    What is no measured number is refused: texts, dates, complex numbers, and booleans. `wanted` is
    what is expected, in words.
    """
    ((name, value),) = argument.items()
    try:
        array = np.asarray(value)
        if array.dtype.kind == "b":
            raise TypeError("booleans")
        if array.dtype.kind == "V" and array.dtype.names is None:  # bfloat16 and its like
            array = np.asarray(array, "float32")
        return array if array.dtype.kind in "iuf" else as_numbers(owner, "float64", **{name: array})
    except UNTAKEN as error:
        dtype = getattr(value, "dtype", type(value).__name__)
        raise refusal(
            owner,
            wanted or f"`{name}` to be an array of numbers, no complex ones and no booleans",
            f"{name}={shortened(value)}, of the type {dtype}",
            "Convert it to integers or floats.",
        ) from error


def as_integers(owner: str, *, whole: bool = False, **argument: typing.Any) -> np.ndarray:
    """An argument as an array of integers below 2**63, or an error.

    With `whole`, floats that are whole numbers are taken as well.
    """
    ((name, value),) = argument.items()
    array = as_measured(owner, **argument)
    is_float = array.dtype.kind == "f"
    fits = array.size == 0 or whole or not is_float
    if is_float and whole:
        fits = bool(np.all(np.isfinite(array)) and np.all(array == np.round(array)))
    if not fits or np.any(array >= TOO_LARGE):
        raise refusal(
            owner,
            f"`{name}` to be integers below 2**63",
            f"{name}={shortened(value)}, of the dtype {array.dtype}",
            "Convert them with astype('int64').",
        )
    return array.astype("int64", copy=False)


def check_vector(owner: str, size: int, **argument: typing.Any) -> np.ndarray:
    """An argument as a float64 vector of `size` finite numbers, or an error."""
    ((name, value),) = argument.items()
    vector = as_numbers(owner, **argument)
    if vector.shape != (size,) or not np.all(np.isfinite(vector)):
        raise refusal(
            owner,
            f"`{name}` to be a weight vector of {size} finite numbers",
            f"shape {vector.shape}, or numbers that are NaN or infinite",
            "`objective.point()` is the model's present weights.",
        )
    return vector


def as_plain(owner: str, **argument: typing.Any) -> typing.Any:
    """An argument as JSON gives it back, or an error."""
    ((name, value),) = argument.items()
    try:
        return _not_nested(json.loads(json.dumps(value, allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise refusal(
            owner,
            f"`{name}` to be what JSON can write",
            f"{name}={shortened(value)} ({error})",
            "Use plain numbers, texts and lists.",
        ) from error


def as_numbers_of_points(owner: str, num_points: typing.Any, num_axes: int) -> list[int]:
    """The number of points along each axis, of one for all or one each; a line takes the first."""
    try:
        array = np.asarray(num_points)
    except (TypeError, ValueError):
        array = np.empty(0)
    fits = array.ndim == 0 or (array.ndim == 1 and array.size >= num_axes)
    within = array.dtype.kind in "iu" and np.all((array >= 2) & (array < TOO_LARGE))
    if not within or not fits:
        raise refusal(
            owner,
            f"`num_points` to be {num_axes} integers >= 2 and below 2**63",
            {"num_points": num_points},
            "Use num_points=(51, 41).",
        )
    return np.broadcast_to(array, max(2, array.size))[:num_axes].tolist()


def as_plain_dict(owner: str, **argument: typing.Any) -> dict[str, typing.Any]:
    """A dictionary as JSON gives it back, with NumPy's numbers as plain ones, or an error."""
    ((name, value),) = argument.items()
    try:
        if not isinstance(value, dict):
            raise TypeError("not a dictionary")
        return _not_nested(json.loads(json.dumps(value, default=lambda part: part.tolist())))
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise refusal(
            owner,
            f"`{name}` to be a dictionary of what JSON can hold",
            {name: value},
            "Convert it to numbers and text.",
        ) from error


def _not_nested(value: typing.Any, levels: int = MOST_LEVELS) -> typing.Any:
    """A value without more lists and dictionaries in one another than can be walked through."""
    if not levels:
        raise ValueError(f"more than {MOST_LEVELS} levels of lists and dictionaries")
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        _not_nested(part, levels - 1)
    return value


def as_axes(coordinates: typing.Any) -> list[typing.Any]:
    """A list of axes of what may be one axis, given as it is."""
    axes = list(coordinates) if np.iterable(coordinates) else [coordinates]
    return [axes] if axes and not np.iterable(axes[0]) else axes


def as_labels(owner: str, labels: typing.Any) -> tuple[str, ...]:
    """Names as a tuple of texts, also of a single one, or an error."""
    if isinstance(labels, str) or not np.iterable(labels):
        labels = (labels,)
    found = tuple(labels)
    if not all(isinstance(label, str) or is_finite(label) for label in found):
        raise refusal(
            owner, "`labels` to be texts", {"labels": labels}, "Give each of them a name."
        )
    return tuple(map(str, found))


def as_list(given: typing.Any) -> list[typing.Any]:
    """A list of several things, or of the one that is given as it is."""
    one = isinstance(given, str | bytes | dict) or is_kind("array", given)
    return [given] if one or not isinstance(given, Iterable) else list(given)


def is_rising(axis: np.ndarray) -> bool:
    """Whether an array is an axis: 1-D, not empty, rising, of finite numbers."""
    rising = axis.ndim == 1 and axis.size > 0 and np.all(np.diff(axis) > 0)
    return bool(rising and np.all(np.isfinite(axis)))


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of argument that several rooms take.

    Attributes:
        name: What it is, in words.
        has: The names that make it one: what only behaves so is taken as well.
        remedy: How a user comes by one.
        instead: For the names of other kinds, what to do where one of these came in its place.
    """

    name: str
    has: tuple[str, ...]
    remedy: str
    instead: dict[str, str] = dataclasses.field(default_factory=dict)


_EVALUATE = "keras_valleys.surfaces.evaluate(objective, directions, coordinates=...)"
_OBJECTIVE = "keras_valleys.objectives.Objective(model, x, y)"
_PROJECTION = "keras_valleys.trajectories.on_surface(trajectory, surface, objective)"

KINDS = {
    "objective": Kind(
        "a `keras_valleys.objectives.Objective`",
        ("size", "along"),
        f"Make an Objective: {_OBJECTIVE}.",
    ),
    "surface": Kind(
        "a `keras_valleys.surfaces.Surface`",
        ("losses", "coordinates", "directions", "origin"),
        f"Use {_EVALUATE}.",
        {
            "array": "Of arrays `keras_valleys.surfaces.Surface(losses, coordinates, directions, "
            "origin)` makes one.",
            "comparison": "Use `comparison.surface`.",
            "model": f"Make an Objective, {_OBJECTIVE}, and evaluate it: {_EVALUATE}.",
            "objective": f"Evaluate it first: {_EVALUATE}.",
            "valleys": "Use `valleys.surface`.",
        },
    ),
    "trajectory": Kind(
        "a `keras_valleys.trajectories.Trajectory`",
        ("steps", "weights", "losses"),
        "Use `recorder.trajectory` of a `keras_valleys.callbacks.TrajectoryRecorder`.",
        {
            "array": "Of arrays `keras_valleys.trajectories.Trajectory(steps, weights, losses)` "
            "makes one.",
            "comparison": "Use `comparison.trajectories`.",
        },
    ),
    "valleys": Kind(
        "the `keras_valleys.valleys.Valleys` of a surface",
        ("surface", "labels", "at"),
        "Use `keras_valleys.valleys.find_valleys(surface)`.",
        {"comparison": "Use `comparison.valleys`."},
    ),
    "basin_map": Kind(
        "a `keras_valleys.descents.BasinMap`",
        ("indices", "ends", "share"),
        "Use `keras_valleys.descents.basin_map`.",
    ),
    "projection": Kind(
        "a `keras_valleys.trajectories.Projection`",
        ("distances", "travelled", "plane_losses"),
        f"Use {_PROJECTION}.",
    ),
    "comparison": Kind(
        "a `keras_valleys.comparisons.Comparison`",
        ("runs", "summaries", "tuning"),
        "Use `keras_valleys.comparisons.compare`.",
    ),
    "model": Kind(
        "a Keras model",
        ("compile", "trainable_variables", "get_config"),
        "Pass the `keras.Model` itself.",
        {"objective": "Use `objective.model`."},
    ),
    "array": Kind("an array", ("shape", "dtype"), "Use `numpy.asarray`."),
}


def is_kind(kind: str, value: object) -> bool:
    """Whether a value is, or behaves like, one of the `KINDS`."""
    return not isinstance(value, type) and all(hasattr(value, name) for name in KINDS[kind].has)


def check_kind(owner: str, kind: str, **argument: typing.Any) -> None:
    """Refuse an argument that is none of a kind, and say how to come by one.

    Args:
        owner: Name of the asking function or class.
        kind: One of the `KINDS`.
        **argument: The argument by its name.

    Example:

    >>> from keras_valleys._checks import check_kind
    >>> check_kind("Objective", "array", x=np.zeros(3))
    """
    ((name, value),) = argument.items()
    if is_kind(kind, value):
        return
    wanted = KINDS[kind]
    several = name in ("trajectories", "projections")
    others = [remedy for other, remedy in wanted.instead.items() if is_kind(other, value)]
    raise refusal(
        owner,
        f"`{name}` to be {wanted.name}{' or a list of them' * several}",
        f"{name}={shortened(value)}, of the type {type(value).__name__}",
        others[0] if others else wanted.remedy,
    )
