"""How much of a fine surface and of a long path is sent to the browser."""

from collections.abc import Sequence

import numpy as np


def ranks(strides: np.ndarray, event_strides: np.ndarray) -> np.ndarray:
    """For each row of a path the least number of rows of which it is one.

    Where there is room for n rows, those of a rank of at most n are shown: the rows of the least
    stride at which they fit, and with them at most half as many beside events. The first and the
    last row have rank 0.

    Args:
        strides: Array of shape `(T,)`: the largest stride at which a row is shown.
        event_strides: The same for rows beside an event, 0 for others.

    Returns:
        Integers of shape `(T,)`.

    Example:

    >>> ranks(np.array([9, 1, 1, 3, 1, 1]), np.array([0, 0, 0, 0, 3, 3])).tolist()
    [0, 6, 6, 2, 4, 0]
    """
    found = _num_at_least(strides)
    events = np.flatnonzero(event_strides)
    found[events] = np.minimum(found[events], 2 * _num_at_least(event_strides[events]))
    found[[0, -1] if len(found) else []] = 0
    return found


def _num_at_least(values):
    """For each value how many are not less."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return counts[::-1].cumsum()[::-1][inverse]


def tolerances(columns: Sequence[np.ndarray], joined: np.ndarray | None = None) -> np.ndarray:
    """For each row of a path the largest error that a drawing without it may have.

    A drawing that may be wrong by e joins the rows whose number here is greater than e by straight
    lines. Then the way up to any row, this row drawn as well, and the drawing of it are nowhere
    farther from each other than 1.5 e: whatever the moment, nothing that was passed is missing, and
    nothing is drawn where the path was not.

    A stretch of 2, 4, 8 ... rows is drawn as one line where no row in it is farther from this line,
    and the way goes nowhere farther back along it, than the error, and so it is with each part
    of the stretch. The number of the row in its middle is the least such error.

    Args:
        columns: Places of the T rows along each axis of the picture, in units of its size. They are
            taken as far as one such size beyond it.
        joined: Whether a line leads to a row from the one before, shape `(T,)`; `None` for always.

    Returns:
        Array of shape `(T,)`; infinite for the first and the last row, for rows beside one without
        a line, and beside one that is not finite.

    Example:

    >>> tolerances([np.array([0.0, 0.1, 0.2, 0.3, 0.25]), np.zeros(5)]).round(2).tolist()
    [inf, 0.0, 0.05, 0.05, inf]
    """
    places = np.clip(np.column_stack([np.asarray(column, "float64") for column in columns]), -1, 2)
    size = len(places)
    found = np.full(size, np.inf)
    if size < 3:
        return found
    depth = int(size - 2).bit_length()
    known = np.all(np.isfinite(places), axis=1)
    last_known = np.maximum.accumulate(np.where(known, np.arange(size), 0))
    padded = np.append(last_known, np.full(2**depth + 1 - size, last_known[-1]))
    places = np.nan_to_num(places[padded])
    errors = np.zeros(2**depth)
    for level in range(1, depth + 1):
        length = 2**level
        starts = np.arange(0, 2**depth, length)
        errors = np.maximum(errors.reshape(-1, 2).max(axis=1), _errors(places, starts, length))
        middles = starts + length // 2
        found[middles[middles < size - 1]] = errors[middles < size - 1]
    ends = np.flatnonzero(np.diff(known))
    if joined is not None:
        ends = np.append(ends, np.flatnonzero(~np.asarray(joined, bool)[1:]))
    found[ends] = found[ends + 1] = np.inf
    return found


def _errors(places, starts, length):
    """Of each stretch as one line: how far a row is from it, or the way goes back along it."""
    rows = places[starts[:, np.newaxis] + np.arange(length + 1)]
    along, away = rows[:, -1:] - rows[:, :1], rows - rows[:, :1]
    size = np.sqrt(np.sum(along**2, axis=2, keepdims=True))
    along = np.divide(along, size, out=np.zeros_like(along), where=size > 0)
    passed = np.sum(away * along, axis=2, keepdims=True)
    distances = np.sqrt(np.sum((away - np.clip(passed, 0, size) * along) ** 2, axis=2))
    back = np.maximum.accumulate(passed, axis=1) - passed
    return np.maximum(distances.max(axis=1), back.max(axis=(1, 2)))


def extremes(columns: Sequence[np.ndarray], most: int) -> np.ndarray:
    """Numbers of about `most` rows, all where there are not more.

    Of each stretch the first, where a column is least, and where it is greatest.
    """
    size = len(columns[0])
    if size <= most:
        return np.arange(size)
    width = -(-size * (1 + 2 * len(columns)) // most)
    starts = np.arange(0, size, width)
    found: list[np.ndarray] = [starts, np.array([size - 1])]
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


def evenly(size: int, most: int) -> np.ndarray:
    """Evenly spaced indices, the first and the last among them.

    Example:

    >>> evenly(9, 5).tolist()
    [0, 2, 4, 6, 8]
    """
    if size <= most:
        return np.arange(size)
    return np.unique(np.linspace(0, size - 1, most).round().astype(int))
