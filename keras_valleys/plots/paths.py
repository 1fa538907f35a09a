"""Paths on a surface: where they are drawn, what is shown, and what is said of both."""

import dataclasses
import itertools

import numpy as np

from keras_valleys._checks import check_kind, refusal
from keras_valleys.plots.style import name_of
from keras_valleys.trajectories import MAX_ROWS, Projection, kinds_of, on_surface, thin
from keras_valleys.valleys import (
    axes_of,
    closed_valleys,
    dropped_text,
    shown_range,
    shown_valleys,
)

MAX_LINES = 3


@dataclasses.dataclass(frozen=True)
class Path:
    """A path on a surface, ready to be drawn.

    Attributes:
        points: Array of shape `(n, K)` in units of the surface's coordinates, wrapped into the
            surface's range on axes with a period; NaN outside of it.
        heights: Array of shape `(n,)`: the losses; where unknown, the height of the surface.
        steps: Array of shape `(n,)`.
        turns: Array of shape `(n, K)`: the periods by which coordinates were wrapped.
        jumps: Booleans of shape `(n - 1,)`: the way to the next row is not to be drawn.
        unled: Booleans of shape `(n - 1,)`, those of `jumps` where no step led to the next row.
        hidden: How many rows are outside of the surface, and how many diverged.
        stride: One row in so many is here.
        projection: The whole path beside the surface.
    """

    points: np.ndarray
    heights: np.ndarray
    steps: np.ndarray
    turns: np.ndarray
    jumps: np.ndarray
    unled: np.ndarray
    hidden: tuple
    stride: int
    projection: Projection | None = None

    def broken(self, values):
        """The values with a row of NaN in each jump, so that a line breaks there."""
        return np.insert(np.asarray(values, "float64"), np.flatnonzero(self.jumps) + 1, np.nan, 0)


def path_of(trajectory, surface):
    """The `Path` of a trajectory."""
    found = on_surface(trajectory, surface)
    no_steps = np.isin(trajectory.steps, trajectory.no_steps)
    known = found.coordinates, trajectory.losses, surface
    path = place(*known, steps=trajectory.steps, no_steps=no_steps)
    return dataclasses.replace(path, projection=found)


def place(coordinates, losses, surface, *, steps=None, no_steps=None):
    """The `Path` of raw coordinates `(n, K)` and losses `(n,)`.

    `no_steps`, booleans of shape `(n,)`, tells to which rows no step led: nothing is drawn on the
    way there.
    """
    coordinates = np.where(np.isfinite(coordinates), coordinates, np.nan)
    losses = np.asarray(losses, "float64")
    diverged = np.isinf(losses) | np.any(np.isnan(coordinates), axis=1)
    points, turns = wrap(coordinates, surface)
    outside = np.any(np.isnan(points), axis=1)
    counts = int(np.sum(outside & ~diverged)), int(np.sum(diverged))
    rows = thin(len(points), MAX_ROWS)
    hidden = (outside | diverged)[rows]
    points = np.where(hidden[:, None], np.nan, points[rows])
    turns, heights = turns[rows], np.where(hidden, np.nan, losses[rows])
    if np.isnan(losses[rows]).any():
        heights = np.where(np.isnan(losses[rows]), height_on(points, surface), heights)
    steps = np.arange(len(coordinates)) if steps is None else steps
    stride = int(rows[1]) if len(rows) < len(losses) else 1
    moved = np.zeros(len(coordinates), bool) if no_steps is None else no_steps
    unled = np.diff(np.cumsum(moved)[rows]) > 0
    jumps = _jumps(points, turns, surface) | unled
    return Path(points, heights, steps[rows], turns, jumps, unled, counts, stride)


def wrap(coordinates, surface):
    """Coordinates in the surface's range or NaN, and the periods that it took, `(n, K)` both."""
    points, turns = np.empty(coordinates.shape), np.empty(coordinates.shape)
    for k, (axis, x) in enumerate(zip(axes_of(surface), surface.coordinates, strict=True)):
        points[:, k], turns[:, k] = axis.unroll(coordinates[:, k], x[-1])
    return points, turns


def _jumps(points, turns, surface):
    jumps = np.any(np.diff(turns, axis=0) != 0, axis=1)
    for axis, column in zip(axes_of(surface), points.T, strict=True):
        jumps |= axis.jumps(column)  # a weight that its constraint wraps
    return jumps


def height_at(coordinates, surface):
    """The height of a 1-D surface between its samples; NaN where it is not finite, and outside."""
    (x,), (axis,) = surface.coordinates, axes_of(surface)
    losses = np.where(np.isfinite(surface.losses), surface.losses, np.nan)
    return np.interp(axis.unroll(coordinates, x[-1])[0], x, losses)


def repeats(valleys, surface):
    """The position of each valley at all places in a picture that are one with it.

    Returns:
        Array of shape `(n, K)` and one of shape `(n,)`: the valley of each.
    """
    rings = list(zip(axes_of(surface), surface.coordinates, strict=True))
    rows, owners = [], []
    for valley in valleys:
        pairs = zip(valley.position, rings, strict=True)
        places = list(itertools.product(*(axis.repeats(c, x[-1]) for c, (axis, x) in pairs)))
        rows += places
        owners += [valley] * len(places)
    return np.array(rows).reshape(-1, len(rings)), owners


def height_on(points, surface):
    """The height of a surface at points `(n, K)` between its samples; NaN where it has none."""
    if surface.losses.ndim == 1:
        return height_at(points[:, 0], surface)
    losses = np.where(np.isfinite(surface.losses), surface.losses.astype("float64"), np.nan)
    cells, shares, inside = [], [], np.ones(len(points), bool)
    for axis, values in zip(surface.coordinates, points.T, strict=True):
        cell = np.clip(np.searchsorted(axis, values, side="right") - 1, 0, max(len(axis) - 2, 0))
        width = axis[np.minimum(cell + 1, len(axis) - 1)] - axis[cell]
        share = (values - axis[cell]) / np.where(width > 0, width, 1.0)
        inside &= (share >= -1e-3) & (share <= 1 + 1e-3)
        cells.append((cell, np.minimum(cell + 1, len(axis) - 1)))
        shares.append(np.clip(share, 0, 1))
    ((i, k), (j, m)), (u, v) = cells, shares
    left = (1 - u) * losses[i, j] + u * losses[k, j]
    right = (1 - u) * losses[i, m] + u * losses[k, m]
    return np.where(inside, (1 - v) * left + v * right, np.nan)


def valleys_of(owner, surface, valleys, persistence):
    """The valleys that a picture shows, of the surface as it is drawn: closed.

    See `keras_valleys.valleys.shown_valleys`.
    """
    return closed_valleys(shown_valleys(owner, surface, valleys, persistence))


def limits(surface, paths=(), *, valleys=None):
    """What part of a surface to show: the lowest loss, the highest, and notes on what is left out.

    See `keras_valleys.valleys.shown_range`.
    """
    found = surface if valleys is None else valleys
    ranges = [shown_range(found, path.heights) for path in paths] or [shown_range(found)]
    low, top = min(low for low, _ in ranges), max(top for _, top in ranges)
    is_cut = np.any(surface.losses[np.isfinite(surface.losses)] > top)
    cut = f"cut at loss {top:.4g}" if is_cut else ""
    return low, top, [cut, diverged_note(surface), *_notes_of(paths, top)]


def _notes_of(paths, top):
    above = sum(int(np.sum(path.heights > top)) for path in paths)
    return [_count(above, "step", "above the cut"), *path_notes(paths)]


def path_notes(paths):
    """What of the paths is not drawn, in words."""
    outside, diverged = (sum(path.hidden[k] for path in paths) for k in (0, 1))
    notes = [_count(outside, "step", "outside"), _count(diverged, "step", "diverged")]
    stride = max((path.stride for path in paths), default=1)
    return [*notes, f"1 step in {stride} drawn" if stride > 1 else ""]


def diverged_note(surface):
    """How many losses of a surface are not finite, in words."""
    return _count(np.sum(~np.isfinite(surface.losses)), "loss", "diverged", plural="losses")


def _count(number, noun, what, plural=None):
    return f"{number} {noun if number == 1 else plural or noun + 's'} {what}" if number else ""


def check_axes(name, surface, num_axes, remedy):
    """Refuse what is no surface, and one of another number of axes."""
    check_kind(name, "surface", surface=surface)
    if surface.losses.ndim != num_axes:
        raise refusal(
            name,
            f"a {num_axes}-D surface",
            f"losses of shape {surface.losses.shape}",
            remedy,
        )


def loss_label(surface, trajectories):
    """The name of an axis with the losses of a surface, and with which of theirs paths lie on it.

    The losses of a surface are the slice; those of a path are recorded or true.
    """
    name = surface.loss_name.replace("_", " ")
    if not trajectories:
        return name
    return f"{name} (path{'s' * (len(trajectories) > 1)}: {kinds_of(trajectories)})"


def statistics_of(surface):
    """With which statistics a surface was evaluated, as lines of a caption."""
    words = surface.statistics_sentence
    return [f"Evaluated with {words}."] if words else []


def sources_of(trajectories):
    """Of which rows and with which statistics true losses are, as lines of a caption."""
    found: dict[str, list[str]] = {}
    for number, path in enumerate(trajectories):
        if path.loss_kind == "true" and path.loss_source:
            found.setdefault(path.loss_source, []).append(name_of(path, number))
    if len(found) == 1:
        return [f"True losses: {source}." for source in found]
    return [f"True losses of {', '.join(names)}: {source}." for source, names in found.items()]


def dropped_of(valleys):
    """What is not counted as a valley, as lines of a caption."""
    return [f"{dropped_text(valleys)}."] if valleys is not None and valleys.dropped else []


def captions(surface, paths, trajectories, *, valleys=None, with_losses=True):
    """What is to be known of a picture: with which statistics, and how far paths are from it.

    One line per path of a model of more weights than axes; of many paths only the worst. What of
    the surface is not counted as one of its `valleys` is said, where these are drawn.
    """
    known = [*dropped_of(valleys), *statistics_of(surface)]
    known += sources_of(trajectories) if with_losses else []
    found = [
        (path.projection, name_of(trajectory, number))
        for number, (path, trajectory) in enumerate(zip(paths, trajectories, strict=True))
        if path.projection.num_weights > path.points.shape[1]
    ]
    if len(found) <= MAX_LINES:
        return [*known, *(sentence(*each) for each in found)]
    worst, name = min(found, key=lambda each: _rank(each[0]))
    return [*known, f"Worst of {len(found)} runs: {sentence(worst, name)}"]


def sentence(projection, name):
    """What of a path a line or a plane does not show."""
    place = "line" if projection.coordinates.shape[1] == 1 else "plane"
    seen = np.isfinite(projection.distances)
    parts = []
    if seen.any():
        parts.append(
            f"at most {projection.distances[seen].max():.3g} from the {place}, "
            f"{projection.travelled[seen].max():.3g} from its start"
        )
    if np.isfinite(projection.explained_variance):
        share = _percent(projection.explained_variance)
        parts.insert(0, f"{share} of its variance lies in this {place}")
    number = projection.num_diverged
    if number:
        parts.append(f"{number} diverged point{'s' * (number != 1)}")
    return f"{name}: {'; '.join(parts) or 'no points'}"


def _percent(share):
    digits = f"{100 * share:.2g}" if share < 0.985 else f"{100 * share:.3g}"
    return f"{'over 99.9' if digits == '100' and share < 0.9999995 else digits} %"


def _rank(projection):
    """Less is worse: no finite row, then little variance in the plane, then a long way off."""
    seen = np.isfinite(projection.distances)
    share = projection.explained_variance
    far = projection.distances[seen].max() if seen.any() else np.inf
    return bool(seen.any()), share if np.isfinite(share) else 1.0, -far
