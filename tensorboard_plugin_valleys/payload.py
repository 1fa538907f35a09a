"""What the browser gets to see: the one format of the tab and of the page, NumPy only.

Info of a surface, a dictionary for JSON, written once by whoever has the `Surface`:

    labels, loss_name    names of the K axes and of the loss
    coordinates          K lists of rising numbers
    periods              per axis its period, or null; a surface with one is closed: where its first
                         and last sample are one place, both are there
    units                per axis its unit, "" for none; "rad" is shown in degrees
    num_weights          P
    valleys              list of {position: K numbers, loss, depth, width, on_border}, by index;
                         depth and width are null where they are infinite; on_border is whether it
                         is only the lowest point of the border, without a depth, and missing in
                         files of version 0.1
    not_counted          how many valleys were too shallow to count, in words; "" for none, and
                         missing in files of version 0.1
    shown                the lowest and the highest loss to show
    statistics           with which statistics of the model it was evaluated, in words; "" for a
                         model without any, and missing in files of version 0.1

`surface_payload` adds `losses`, nested lists with null for what is not finite, and `num_diverged`,
how many these are, and thins what is more than a picture can show; `resolution` says how much there
was.

`path_payload` packs a path in bytes, all little-endian:

    uint32               length of the header
    header               JSON
    columns              the rest, compressed by zlib

The columns: the step of each row, as int64; its level, as uint8; and as float32 its loss, its
distance from the surface, the index of its valley (-1 for none), and the K coordinates, NaN where
unknown. Numbers of more than one byte are written as differences, of their bits taken as integers,
from the row before, then all lowest bytes, all second ones and so on: alike bytes stand together.

The level of a row says when it is drawn on the surface: where the drawing may be wrong by less than
2**(-level / 4) of the size of the picture (see `thinning.tolerances`). A row of level `CHARTS_ONLY`
is there for the charts alone.

The header:

    label                the name of the run
    loss_kind            what its losses are: "recorded", of each step's batch in training mode, or
                         "true", of all rows in evaluation mode
    coordinates, units   the names of the coordinates, and their units
    num_rows, total_rows number n of the rows that are here, and of all
    last_step            step of the last row, -1 where there is none
    num_derailments      number of all derailments
    derailments          list of [row, step, from, to, rise] of those whose row is here: the first
                         row in the valley `to`, the step of the last one in the valley `from`, and
                         how much the loss rose between these two, null where that is not known
    no_steps             rows to which, or to a row left out before them, no step led
    shown                the lowest and the highest loss to show of the surface with this path, or
                         null
    diverged             step of the first of the rows at the end that are not finite, or `FAR`
                         away from the surface; null for a path that does not end so
"""

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tensorboard_plugin_valleys import old_files
from tensorboard_plugin_valleys.metadata import COLUMNS
from tensorboard_plugin_valleys.places import drawn_columns
from tensorboard_plugin_valleys.thinning import evenly, extremes, ranks, tolerances

MAX_ROWS = 4096  # of a path in the charts
MAX_DRAWN = 20_000  # rows of a path on the surface
FINEST = 52  # the level up to which rows are sent: 2**-13 of the picture, for a zoom of ten
FAR = 100  # sizes of the surface away from it: a path that ends there diverged
CHARTS_ONLY = 255  # level of a row that is not drawn on the surface
MAX_CURVE = 4096  # points of a 1-D surface
MAX_SIDE = 201  # points of each axis of a 2-D surface


def surface_payload(losses: ArrayLike, info: dict[str, Any]) -> dict[str, Any]:
    """The info of a surface with its losses.

    Args:
        losses: Array of shape `(n_1,)` or `(n_1, n_2)`.
        info: Dictionary as above; `shown` is missing in files of version 0.1.

    Returns:
        Dictionary for JSON.

    Example:

    >>> info = {"coordinates": [[0.0, 1.0, 2.0]]}
    >>> surface_payload(np.array([1.0, np.nan, np.inf]), info)["losses"]
    [1.0, None, None]
    """
    values = np.asarray(losses, "float64")
    axes = [np.asarray(axis, "float64") for axis in info["coordinates"]]
    if values.ndim == 1:
        kept = [extremes([values], MAX_CURVE)]
    else:
        kept = [evenly(size, MAX_SIDE) for size in values.shape]
    if "shown" not in info:
        info = {**info, "shown": old_files.shown_range(values, info.get("valleys", ()))}
    return {
        **info,
        "units": units_of(info.get("labels", ()), info.get("units")),
        "resolution": list(values.shape),
        "num_diverged": int(np.sum(~np.isfinite(values))),
        "coordinates": [axis[rows].tolist() for axis, rows in zip(axes, kept, strict=True)],
        "losses": _rounded(finite_or_null(values[np.ix_(*kept)])),
    }


def _rounded(values):
    """Nested lists with as many digits as tell float32 apart."""
    if isinstance(values, list):
        return [_rounded(value) for value in values]
    return None if values is None else float(f"{values:.9g}")


def units_of(names: Sequence[str], units: Sequence[str] | None = None) -> list[str]:
    """The units of coordinates; what version 0.1 wrote has none, and "phi" was an angle there."""
    return ["rad" if name == "phi" else "" for name in names] if units is None else list(units)


def path_payload(
    rows: ArrayLike,
    names: Sequence[str],
    label: str = "",
    shown: ArrayLike | None = None,
    *,
    surface: tuple[ArrayLike, dict[str, Any]] | None = None,
    units: Sequence[str] | None = None,
    loss_kind: str = "recorded",
) -> bytes:
    """A path, packed.

    Args:
        rows: Array of shape `(T, 9 + K)`: `COLUMNS` and K coordinates; or of shape `(T, 4 + K)`,
            as version 0.1 wrote them.
        names: The names of the K coordinates.
        label: Name of the run, as in a legend.
        shown: The lowest and the highest loss to show of the surface with this path.
        surface: The losses of the surface that it is drawn on, and its info; `None` for none.
        units: The units of the coordinates; `None` for none.
        loss_kind: What the losses are, "recorded" or "true".

    Returns:
        Bytes.

    Example:

    >>> rows = np.array([[0, 0.5, np.nan, 1, 0.7], [1, 0.4, np.nan, 0, 0.2]])
    >>> packed = path_payload(rows, ["phi"])
    >>> json.loads(packed[4 : 4 + packed[0]])["derailments"]
    [[1, 0, 1, 0, -0.1]]
    """
    table = np.asarray(rows, "float64")
    if table.shape[-1] == old_files.NUM_COLUMNS + len(names):
        table = old_files.completed_rows(table)
    table = table.reshape(-1, len(COLUMNS) + len(names))
    column, coordinates = dict(zip(COLUMNS, table.T, strict=False)), table[:, len(COLUMNS) :]
    level = _levels(coordinates, column["no_step"], surface)
    charted = ranks(column["stride"], column["event_stride"]) <= MAX_ROWS
    kept = np.flatnonzero(charted | (level < CHARTS_ONLY))
    moves = np.cumsum(column["no_step"])[kept]
    header = {
        "label": label,
        "loss_kind": loss_kind,
        "coordinates": list(names),
        "units": [""] * len(names) if units is None else list(units),
        "num_rows": len(kept),
        "total_rows": len(table),
        "last_step": int(table[-1, 0]) if len(table) else -1,
        "num_derailments": int(np.sum(column["left"] >= 0)),
        "derailments": _derailments(column, kept),
        "no_steps": np.flatnonzero(np.diff(moves, prepend=0)).tolist(),
        "shown": None if shown is None else finite_or_null(shown),
        "diverged": _diverged(column["step"], column["loss"], coordinates, surface),
    }
    columns = [*(column[name] for name in ("loss", "distance", "valley")), *coordinates.T]
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite in the picture
        floats = [each[kept].astype("<f4").view("<i4") for each in columns]
    parts = [_packed(column["step"][kept].astype("<i8")), level[kept].astype("u1").tobytes()]
    content = zlib.compress(b"".join([*parts, *map(_packed, floats)]), 9)
    text = json.dumps(header, allow_nan=False).encode()
    return b"".join((struct.pack("<I", len(text)), text, content))


def _packed(values):
    """Differences of integers, byte after byte."""
    differences = np.diff(values, prepend=values.dtype.type(0))
    return differences.astype(values.dtype).view("u1").reshape(-1, values.itemsize).T.tobytes()


def _levels(coordinates, no_step, surface):
    """Of each row, the level up from which it is drawn on the surface."""
    if surface is None or coordinates.shape[1] != np.ndim(surface[0]) or not len(coordinates):
        return np.full(len(coordinates), CHARTS_ONLY)
    errors = tolerances(drawn_columns(coordinates, *surface), no_step == 0)
    with np.errstate(divide="ignore"):
        levels = np.clip(np.floor(-4 * np.log2(errors)), 0, CHARTS_ONLY)
    numbers = np.cumsum(np.bincount(levels.astype(int), minlength=CHARTS_ONLY + 1))
    finest = min(FINEST, int(np.searchsorted(numbers, MAX_DRAWN, side="right")) - 1)
    return np.where(levels <= finest, levels, CHARTS_ONLY)


def _derailments(column, kept):
    """Those whose first row is kept; the loss before is that of the row they left."""
    rows = kept[column["left"][kept] >= 0]
    before = np.searchsorted(column["step"], column["left_at"][rows])
    with np.errstate(invalid="ignore"):
        rises = finite_or_null(column["loss"][rows] - column["loss"][before])
    numbers = [np.searchsorted(kept, rows), *(column[key][rows] for key in ("left_at", "left"))]
    told = np.column_stack([*numbers, column["valley"][rows]]).astype(int).tolist()
    return [[*each, _short(rise)] for each, rise in zip(told, rises, strict=True)]


def _short(number):
    return None if number is None else float(f"{number:.4g}")


def _diverged(steps, losses, coordinates, surface):
    """The step of the first row of those at the end that are not finite, or far, far away."""
    lost = ~np.all(np.isfinite(coordinates), axis=1) | np.isinf(losses)
    if surface is not None and coordinates.shape[1] == np.ndim(surface[0]):
        axes, periods = surface[1]["coordinates"], surface[1]["periods"]
        for column, axis, period in zip(coordinates.T, axes, periods, strict=True):
            if period is None:
                lost |= np.abs(column - axis[0]) > FAR * ((axis[-1] - axis[0]) or 1.0)
    known = np.flatnonzero(~lost)
    first = known[-1] + 1 if len(known) else 0
    return int(steps[first]) if first < len(steps) else None


def finite_or_null(values: ArrayLike) -> list[Any]:
    """Nested lists of an array, with None for NaN and infinities: JSON has neither."""
    values = np.asarray(values, "float64")
    found = np.where(np.isfinite(values), values.astype(object), np.array(None))
    return found.tolist()
