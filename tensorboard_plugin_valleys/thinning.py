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
