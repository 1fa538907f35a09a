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
    header               JSON, padded with spaces so that what follows begins at a multiple of 8
    float64 (n,)         step of each row
    float32 (3 + K, n)   loss, distance from the surface, index of the valley (-1 for none), and
                         the K coordinates; NaN where unknown

with this header:

    label                the name of the run
    loss_kind            what its losses are: "recorded", of each step's batch in training mode, or
                         "true", of all rows in evaluation mode
    coordinates, units   the names of the coordinates, and their units
    num_rows, total_rows number n of the rows that are here, and of all
    last_step            step of the last row, -1 where there is none
    ranks                of each row: in a picture with room for so many rows it is shown
    num_derailments      number of all derailments
    derailments          list of [row, step, from, to] of those whose row is here: the first row in
                         the valley `to`, and the step of the last one in the valley `from`
    no_steps             rows to which, or to a row left out before them, no step led
    shown                the lowest and the highest loss to show of the surface with this path, or
                         null
"""

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tensorboard_plugin_valleys import old_files
from tensorboard_plugin_valleys.metadata import COLUMNS
from tensorboard_plugin_valleys.thinning import evenly, extremes, ranks

MAX_ROWS = 4096  # of a path
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
        "losses": finite_or_null(values[np.ix_(*kept)]),
    }


def units_of(names: Sequence[str], units: Sequence[str] | None = None) -> list[str]:
    """The units of coordinates; what version 0.1 wrote has none, and "phi" was an angle there."""
    return ["rad" if name == "phi" else "" for name in names] if units is None else list(units)


def path_payload(
    rows: ArrayLike,
    names: Sequence[str],
    label: str = "",
    shown: ArrayLike | None = None,
    *,
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
        units: The units of the coordinates; `None` for none.
        loss_kind: What the losses are, "recorded" or "true".

    Returns:
        Bytes.

    Example:

    >>> rows = np.array([[0, 0.5, np.nan, 1, 0.7], [1, 0.4, np.nan, 0, 0.2]])
    >>> len(path_payload(rows, ["phi"])) % 8
    0
    """
    table = np.asarray(rows, "float64")
    if table.shape[-1] == old_files.NUM_COLUMNS + len(names):
        table = old_files.completed_rows(table)
    table = table.reshape(-1, len(COLUMNS) + len(names))
    column = dict(zip(COLUMNS, table.T, strict=False))
    rank = ranks(column["stride"], column["event_stride"])
    kept = np.flatnonzero(rank <= MAX_ROWS)
    derailed = np.flatnonzero(column["left"][kept] >= 0)
    moves = np.cumsum(column["no_step"])[kept]
    parts = [column[name][kept[derailed]] for name in ("left_at", "left", "valley")]
    header = {
        "label": label,
        "loss_kind": loss_kind,
        "coordinates": list(names),
        "units": [""] * len(names) if units is None else list(units),
        "num_rows": len(kept),
        "total_rows": len(table),
        "last_step": int(table[-1, 0]) if len(table) else -1,
        "ranks": rank[kept].tolist(),
        "num_derailments": int(np.sum(column["left"] >= 0)),
        "derailments": np.column_stack([derailed, *parts]).astype(int).tolist(),
        "no_steps": np.flatnonzero(np.diff(moves, prepend=0)).tolist(),
        "shown": None if shown is None else finite_or_null(shown),
    }
    text = json.dumps(header, allow_nan=False).encode()
    text += b" " * (-(4 + len(text)) % 8)
    sent = ["loss", "distance", "valley"]
    columns = [*(column[name] for name in sent), *table[:, len(COLUMNS) :].T]
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite in the picture
        packed = np.stack(columns)[:, kept].astype("<f4")
    steps = column["step"][kept].astype("<f8")
    return b"".join((struct.pack("<I", len(text)), text, steps.tobytes(), packed.tobytes()))


def finite_or_null(values: ArrayLike) -> list[Any]:
    """Nested lists of an array, with None for NaN and infinities: JSON has neither."""
    values = np.asarray(values, "float64")
    found = np.where(np.isfinite(values), values.astype(object), np.array(None))
    return found.tolist()
