"""What the browser gets to see: the one format of the tab and of the page, NumPy only.

Info of a surface, a dictionary for JSON, written once by whoever has the `Surface`:

    labels, loss_name    names of the K axes and of the loss
    coordinates          K lists of rising numbers
    periods              per axis its period, or null; a surface with one is closed: where its first
                         and last sample are one place, both are there
    units                per axis its unit, "" for none; "rad" is shown in degrees
    num_weights          P
    valleys              list of {position: K numbers, loss, depth, width}, by index; depth and
                         width are null where they are infinite

`surface_payload` adds `losses`, nested lists with null for what is not finite, and thins what is
more than a picture can show; `resolution` says how much there was.

`path_payload` packs a path in bytes, all little-endian:

    uint32               length of the header
    header               JSON, padded with spaces so that what follows begins at a multiple of 8:
                         label, coordinates (their names), units, num_rows (shown),
                         total_rows, last_step, num_derailments
    float64 (n,)         step of each row
    float32 (3 + K, n)   loss, distance from the surface, index of the valley (-1 for none), and
                         the K coordinates; NaN where unknown
"""

import json
import struct

import numpy as np

from tensorboard_plugin_valleys.metadata import COLUMNS

MAX_ROWS = 4096  # of a path
MAX_CURVE = 4096  # points of a 1-D surface
MAX_SIDE = 201  # points of each axis of a 2-D surface
LOSS, DISTANCE, VALLEY = (COLUMNS.index(name) for name in ("loss", "distance", "valley"))


def surface_payload(losses, info):
    """The info of a surface with its losses.

    Args:
        losses: Array of shape `(n_1,)` or `(n_1, n_2)`.
        info: Dictionary as above.

    Returns:
        Dictionary for JSON.

    Example:

    >>> info = {"coordinates": [[0.0, 1.0, 2.0]]}
    >>> surface_payload(np.array([1.0, np.nan, np.inf]), info)["losses"]
    [1.0, None, None]
    """
    losses = np.asarray(losses, "float64")
    axes = [np.asarray(axis, "float64") for axis in info["coordinates"]]
    if losses.ndim == 1:
        kept = (extremes([losses], MAX_CURVE),)
    else:
        kept = tuple(_stride(size) for size in losses.shape)
    return {
        **info,
        "units": units_of(info.get("labels", ()), info.get("units")),
        "resolution": list(losses.shape),
        "coordinates": [axis[rows].tolist() for axis, rows in zip(axes, kept, strict=True)],
        "losses": finite_or_null(losses[np.ix_(*kept)]),
    }


def units_of(names, units=None):
    """The units of coordinates; what version 0.1 wrote has none, and "phi" was an angle there."""
    return ["rad" if name == "phi" else "" for name in names] if units is None else list(units)


def path_payload(rows, names, label="", *, units=None):
    """A path, packed.

    Args:
        rows: Array of shape `(T, 4 + K)`: step, loss, distance, valley, K coordinates.
        names: The names of the K coordinates.
        label: Name of the run, as in a legend.
        units: The units of the coordinates; `None` for none.

    Returns:
        Bytes.

    Example:

    >>> rows = np.array([[0, 0.5, np.nan, 1, 0.7], [1, 0.4, np.nan, 0, 0.2]])
    >>> len(path_payload(rows, ["phi"])) % 8
    0
    """
    rows = np.asarray(rows, "float64").reshape(-1, len(COLUMNS) + len(names))
    derailed = derailed_rows(rows[:, VALLEY])
    kept = thin(rows, derailed)
    header = {
        "label": label,
        "coordinates": list(names),
        "units": [""] * len(names) if units is None else list(units),
        "num_rows": len(kept),
        "total_rows": len(rows),
        "last_step": int(rows[-1, 0]) if len(rows) else -1,
        "num_derailments": len(derailed),
    }
    text = json.dumps(header).encode()
    text += b" " * (-(4 + len(text)) % 8)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite in the picture
        columns = rows[kept, 1:].T.astype("<f4")
    return b"".join(
        (struct.pack("<I", len(text)), text, rows[kept, 0].astype("<f8"), columns.tobytes())
    )


def derailed_rows(valleys):
    """Pairs `(D, 2)` of row numbers: the last in one valley, and the next, in another.

    Rows in no valley (-1) are skipped.
    """
    inside = np.flatnonzero(np.asarray(valleys) >= 0)
    changed = np.flatnonzero(np.diff(np.asarray(valleys)[inside]))
    return np.stack([inside[changed], inside[changed + 1]], axis=1)


def thin(rows, derailed, most=MAX_ROWS):
    """Numbers of the rows to show: of about `most` the first, the last, extremes, derailments."""
    if len(rows) <= most:
        return np.arange(len(rows))
    marks = np.unique(derailed)
    if len(marks) > most // 2:
        marks = marks[_stride(len(marks), most // 2)]
    return np.union1d(extremes(rows[:, [LOSS, *range(VALLEY + 1, rows.shape[1])]].T, most), marks)


def extremes(columns, most):
    """Numbers of about `most` rows, all where there are not more.

    Of each stretch the first, where a column is least, and where it is greatest.
    """
    size = len(columns[0])
    if size <= most:
        return np.arange(size)
    width = -(-size * (1 + 2 * len(columns)) // most)
    starts = np.arange(0, size, width)
    found = [starts, [size - 1]]
    for column in columns:
        padded = np.full(len(starts) * width, np.nan)
        padded[:size] = np.where(np.isfinite(column), column, np.nan)
        stretches = padded.reshape(-1, width)
        for fill, extreme in ((np.inf, np.argmin), (-np.inf, np.argmax)):
            where = extreme(np.where(np.isnan(stretches), fill, stretches), axis=1)
            found.append(np.minimum(starts + where, size - 1))
        # And where it ceases to be finite, or is again.
        lost = ~np.isfinite(column)
        changes = np.flatnonzero(np.diff(lost)) if lost.any() else np.empty(0, int)
        found += [changes[:most], changes[:most] + 1]
    return np.unique(np.concatenate(found)).astype(int)


def _stride(size, most=MAX_SIDE):
    """Evenly spaced indices, the first and the last among them."""
    if size <= most:
        return np.arange(size)
    return np.unique(np.linspace(0, size - 1, most).round().astype(int))


def finite_or_null(values):
    """Nested lists of an array, with None for NaN and infinities: JSON has neither."""
    values = np.asarray(values, "float64")
    return np.where(np.isfinite(values), values.astype(object), None).tolist()
