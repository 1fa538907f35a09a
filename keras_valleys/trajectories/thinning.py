"""Which rows of a long path a picture shows.

Of a path with too many rows each s-th is shown, s a power of three: of steps that jump to and fro
across a valley, every second would lie on the same side. A row that is shown at a stride is shown
at each smaller one too, so that one number says all of a row: the largest stride at which it is
still shown. Whoever has the path works it out, and whoever draws takes as many rows as fit.
"""

import numpy as np

MAX_ROWS = 1000  # of a path in a picture
LONGEST = 3**6  # rows of the longest stretch whose extremes are looked for


def thin(num_rows, most=MAX_ROWS):
    """Numbers of at most `most` rows and the last; a longer path keeps a subset of a shorter one's.

    Args:
        num_rows: Number of rows of the path.
        most: How many of them fit.

    Returns:
        Rising integers: each s-th row, and the last.

    Example:

    >>> keras_valleys.trajectories.thin(20, 3).tolist()
    [0, 9, 18, 19]
    """
    stride = 1
    while num_rows > stride * most:
        stride *= 3
    rows = np.arange(0, num_rows, stride)
    return np.append(rows, num_rows - 1) if num_rows and rows[-1] != num_rows - 1 else rows


def strides(columns, first=0):
    """For each row of a path the largest stride at which a picture shows it, extremes included.

    At a stride s are shown each s-th row, and of each stretch of s rows those in which a column is
    least and greatest. Longer stretches than `LONGEST` are not looked through: then the extremes of
    one such stretch in so many are shown. So a path may come in parts, of `LONGEST` rows or a
    multiple, and the numbers of one part need no other.

    Args:
        columns: Array of shape `(C, T)`: what is drawn of each row. What is not finite is no
            extreme.
        first: Number of the first of these rows in the path.

    Returns:
        Powers of three of shape `(T,)`, the largest for the first row of the path.

    Example:

    >>> column = np.array([0.0, 1.0, 5.0, 2.0, 3.0, 4.0])
    >>> keras_valleys.trajectories.strides([column], first=732).tolist()
    [729, 1, 729, 3, 1, 3]
    """
    columns = np.asarray(columns, "float64")
    found = powers_of_three(first + np.arange(columns.shape[1]))
    stride = 3
    while stride <= LONGEST and columns.size:
        rows = _extremes(columns, stride, first)
        shown = stride
        if stride == LONGEST:
            shown = stride * np.minimum(powers_of_three((first + rows) // stride), 3**20)
        found[rows] = np.maximum(found[rows], shown)
        stride *= 3
    return found


def powers_of_three(numbers):
    """The largest power of three that divides each integer; for 0 the largest there is.

    Example:

    >>> from keras_valleys.trajectories.thinning import powers_of_three
    >>> powers_of_three(np.array([1, 2, 3, 45])).tolist()
    [1, 1, 3, 9]
    """
    return np.gcd(numbers, 3**30)


def _extremes(columns, stride, first):
    """Numbers of the rows in which a column is least or greatest in its stretch, some twice."""
    before = first % stride
    num_stretches = -(-(before + columns.shape[1]) // stride)
    padded = np.full((len(columns), num_stretches * stride), np.nan)
    padded[:, before : before + columns.shape[1]] = np.where(np.isfinite(columns), columns, np.nan)
    stretches = padded.reshape(len(columns), num_stretches, stride)
    unknown = np.isnan(stretches)
    starts = np.arange(num_stretches) * stride - before
    rows = [
        (starts + extreme(np.where(unknown, worst, stretches), axis=2))[~unknown.all(axis=2)]
        for worst, extreme in ((np.inf, np.argmin), (-np.inf, np.argmax))
    ]
    return np.concatenate(rows)


def event_strides(pairs, num_rows, first=0):
    """As `strides`, of events that each lie between two rows: both rows are shown, or none.

    Args:
        pairs: Integers `(E, 2)`: numbers of the row before each event and of the row after it, in
            the order of the events; negative for a row that is not here.
        num_rows: Number T of the rows.
        first: Number of the events before these.

    Returns:
        Powers of three of shape `(T,)`; 0 where there is no event.

    Example:

    >>> keras_valleys.trajectories.event_strides(np.array([[0, 1], [2, 3]]), 5, first=2).tolist()
    [1, 1, 3, 3, 0]
    """
    found = np.zeros(num_rows, int)
    shown = powers_of_three(first + np.arange(len(pairs)))
    for rows in np.asarray(pairs, int).reshape(-1, 2).T:
        here = rows >= 0
        np.maximum.at(found, rows[here], shown[here])
    return found


def breaks(columns):
    """Pairs `(B, 2)` of rows between which a column ceases to be finite, or is again.

    Example:

    >>> keras_valleys.trajectories.breaks([[0.0, np.nan, np.inf, 1.0]]).tolist()
    [[0, 1], [2, 3]]
    """
    finite = np.isfinite(np.asarray(columns, "float64"))
    rows = np.flatnonzero(np.any(finite[:, 1:] != finite[:, :-1], axis=0))
    return np.stack([rows, rows + 1], axis=1)
