"""What event files say, checked: they may be of anyone, and a bad run must hide no other."""

import json
import math
from typing import Any, TypeAlias

import numpy as np

from tensorboard_plugin_valleys import old_files
from tensorboard_plugin_valleys.metadata import COLUMNS
from tensorboard_plugin_valleys.payload import units_of

LATER_TEXTS = ("statistics", "not_counted")  # that files of version 0.1 do not have

Described: TypeAlias = tuple[tuple[str, ...], list[str], list[str], str]

NOTHING: Described = (COLUMNS, [], [], "")  # what is known of a path without a readable chunk
OLD_COLUMNS = COLUMNS[: old_files.NUM_COLUMNS]
COUNTED = ("step", "valley", "left", "left_at", "stride", "event_stride", "no_step")
MOST = 2**53  # of what is counted: from there on a float64 skips integers
# What JSON, NumPy and Python raise at what was never meant to be read.
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


def described(content: bytes) -> Described:
    """Names of the columns, names and units of the coordinates, and the label, of a chunk.

    Args:
        content: The plugin content of the chunk.
    """
    try:
        found = json.loads(content)
        columns = tuple(found.get("columns", OLD_COLUMNS))
        names, units = found["coordinates"], found.get("units")
        known = columns in (OLD_COLUMNS, COLUMNS)
        if not known or not _are_texts(names) or not (units is None or _are_texts(units, names)):
            return NOTHING
        return columns, names, units_of(names, units), str(found["label"])
    except UNREADABLE:
        return NOTHING


def loss_kind(content: bytes) -> str:
    """What the losses of a path are, "recorded" or "true"; earlier files do not say it.

    Args:
        content: The plugin content of a chunk.
    """
    try:
        return "true" if json.loads(content)["loss_kind"] == "true" else "recorded"
    except UNREADABLE:
        return "recorded"


def table(chunks: list[Any], columns: tuple[str, ...], num_coordinates: int) -> np.ndarray:
    """The rows of a path, float64 of shape `(T, columns + coordinates)`.

    Chunks that are no such rows are left out, and so are rows whose step is none.
    """
    width = len(columns) + num_coordinates
    parts = [part for part in chunks if isinstance(part, np.ndarray) and part.dtype.kind in "fiu"]
    parts = [part for part in parts if part.ndim == 2 and part.shape[1] == width]
    rows = np.concatenate([np.empty((0, width)), *parts])
    counted = rows[:, [columns.index(name) for name in COUNTED if name in columns]]
    return rows[np.all(np.abs(counted) < MOST, axis=1)]  # which NaN is not


def shown(values: Any) -> np.ndarray | None:
    """The lowest and the highest loss to show, or `None`."""
    fits = isinstance(values, np.ndarray) and values.shape == (2,) and values.dtype.kind in "fiu"
    return values if fits and np.all(np.isfinite(values)) else None


def surface(losses: Any, text: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """The losses of a surface and its info, as `payload` describes it.

    Args:
        losses: Array of shape `(n_1,)` or `(n_1, n_2)`.
        text: Array of bytes: JSON.

    Raises:
        ValueError: They are none of a surface.
    """
    try:
        info = json.loads(np.asarray(text, "uint8").tobytes())
        if np.asarray(losses).dtype.kind not in "fiu" or not _is_info(info, np.shape(losses)):
            raise ValueError("no surface")
        json.dumps(info, allow_nan=False)
    except UNREADABLE as error:
        raise ValueError(str(error)) from error
    return losses, info


def _is_info(info, shape):
    """Whether the view can show it."""
    axes, labels, valleys = info["coordinates"], info["labels"], info["valleys"]
    size = len(shape)
    limits, units = info.get("shown", [0, 1]), info.get("units")
    periods = info["periods"]
    return (
        size in (1, 2)
        and [len(axis) for axis in axes] == list(shape)
        and all(_are_numbers(axis) and np.all(np.diff(axis) > 0) for axis in axes)
        and all(shape)
        and len(labels) == size
        and _are_texts(labels)
        and (units is None or _are_texts(units, axes))
        and _are_texts([info["loss_name"], *(info.get(key, "") for key in LATER_TEXTS)])
        and len(periods) == size
        and all(period is None or (_are_numbers([period]) and period > 0) for period in periods)
        and _are_numbers([info["num_weights"]])
        and (len(limits) == 2 and _are_numbers(limits))
        and isinstance(valleys, list)
        and all(_is_valley(valley, size) for valley in valleys)
    )


def _is_valley(valley, size):
    position = valley["position"]
    sizes = [valley[name] for name in ("depth", "width") if valley[name] is not None]
    known = isinstance(valley.get("on_border", False), bool)
    return known and len(position) == size and _are_numbers([*position, valley["loss"], *sizes])


def _are_numbers(values):
    return isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        for value in values
    )


def _are_texts(values, others=None):
    """Whether it is a list of texts, as many as there are others."""
    texts = isinstance(values, list) and all(isinstance(value, str) for value in values)
    return texts and (others is None or len(values) == len(others))
