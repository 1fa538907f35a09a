"""The axes of a grid, lines or rings, and which valley owns a coordinate.

Here alone is decided what a period makes of an axis: of samples over more than one period the first
period is read; where less than a period was sampled, by more than a step, the ends stay ends; and
an axis whose first step is a period long is a line.
"""

import bisect
import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from keras_valleys._checks import is_finite, refusal, shortened
from keras_valleys.surfaces import Surface

# Of all axes, or one of these per axis.
Periodic = Literal["auto"] | bool | float | None | Sequence[bool | float | None]

SLACK = 1e-6  # of an axis: float32 weights at the very end of a float64 axis are inside


@dataclasses.dataclass(frozen=True, eq=False)
class Axis:
    """One axis of a grid: a line, or with a period a ring.

    Attributes:
        nodes: The coordinates of the samples; on a ring each place once.
        stop: The largest coordinate.
        period: Length of the ring; `None` of a line.
        joined: Whether the last node and the first are neighbors.
    """

    nodes: np.ndarray
    stop: float
    period: float | None = None
    joined: bool = False

    @classmethod
    def of(cls, x, period):
        """The axis of samples at `x`; of more than one period the first is taken."""
        if period is None:
            return cls(x, float(x[-1]))
        end = float(x[0]) + period
        nodes = x[: np.searchsorted(x, end - SLACK * period)]
        # A longer part of the ring than any step was not sampled: nothing is known there.
        longest = np.diff(nodes).max(initial=0) * (1 + SLACK)
        joined = len(nodes) < len(x) or end - nodes[-1] <= longest
        return cls(nodes, end if joined else float(x[-1]), period, joined)

    @property
    def start(self):
        return float(self.nodes[0])

    def steps(self):
        """Distance from each node to the next; where there is no next, infinite."""
        return self._steps

    @functools.cached_property
    def _steps(self):
        end = [self.stop if self.joined else np.inf]
        steps = np.diff(np.concatenate([self.nodes, end]))
        known = steps[np.isfinite(steps)]
        if known.size and np.ptp(known) <= SLACK * known.mean():
            steps[np.isfinite(steps)] = known.mean()  # rounding decides no tie
        steps.setflags(write=False)
        return steps

    def sizes(self):
        """The length of axis that lies nearer to each node than to the others."""
        steps = np.where(np.isfinite(self.steps()), self.steps(), 0.0)
        return (steps + np.roll(steps, 1)) / 2

    def reach(self):
        """Half of the longer step from each node to its neighbors."""
        steps = np.where(np.isfinite(self.steps()), self.steps(), 0.0)
        return np.maximum(steps, np.roll(steps, 1)) / 2 * (1 + SLACK)

    def middles(self):
        """Between each node and the next."""
        nodes = np.append(self.nodes, self.stop) if self.joined else self.nodes
        return (nodes[1:] + nodes[:-1]) / 2

    def wrap(self, coordinates):
        """Coordinates on a ring; what is within it already is not rounded once more."""
        inside = (coordinates >= self.start) & (coordinates < self.start + self.period)
        wrapped = self.start + (coordinates - self.start) % self.period
        return np.where(inside, coordinates, wrapped)

    def known(self, coordinates):
        """Coordinates on a ring; NaN where float32 cannot tell a thousandth of a period.

        The place within the period means nothing there.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            known = (
                np.spacing(np.abs(coordinates).astype("float32")) <= (self.period or np.inf) / 1000
            )
        return np.where(known, coordinates, np.nan)

    def fold(self, coordinates):
        """Coordinates within the ring; NaN outside of the axis."""
        c = np.where(np.isfinite(coordinates), coordinates, np.nan)
        length = self.stop - self.start
        if self.period is not None:
            c = self.wrap(self.known(c))
            below = c >= self.start + self.period - SLACK * length
            c = np.where(below & ~np.bool_(self.joined), c - self.period, c)
        slack = SLACK * length
        return np.where((c >= self.start - slack) & (c <= self.stop + slack), c, np.nan)

    def fold_one(self, c):
        """As `fold` for one float, without the overhead of arrays."""
        if not math.isfinite(c):
            return math.nan
        start, length, period = self.start, self.stop - self.start, self.period
        if period is not None:
            if abs(c) * 2.0**-23 > period / 2000 and math.isnan(float(self.fold(c))):
                return math.nan
            c = c if start <= c < start + period else start + (c - start) % period
            if not self.joined and c >= start + period - SLACK * length:
                c -= period
        slack = SLACK * length
        return c if start - slack <= c <= self.stop + slack else math.nan

    def unroll(self, coordinates, last):
        """Coordinates in a picture from the start to a last coordinate, and their turns.

        Returns:
            Two arrays: the coordinates, those outside brought in by whole periods, NaN where that
            cannot be; and the number of periods that it took.
        """
        c, turns = np.asarray(coordinates, "float64"), np.zeros(np.shape(coordinates))
        slack = SLACK * (last - self.start)
        if self.period is not None:
            away = (c < self.start - slack) | (c > last + slack)
            turns = np.where(away, np.floor((c - self.start) / self.period), 0.0)
            c = self.known(c) - turns * self.period
        inside = (c >= self.start - slack) & (c <= last + slack)
        return np.where(inside, c, np.nan), turns

    def jumps(self, coordinates):
        """Which steps are longer than half a ring: the short way is round its end."""
        steps = np.abs(np.diff(coordinates))
        return steps > (np.inf if self.period is None else self.period / 2)

    def repeats(self, coordinate, last):
        """All places in a picture up to a last coordinate that are one with this, rising."""
        return [coordinate + shift for shift in self.shifts(coordinate, coordinate, last)]

    def shifts(self, low, high, last):
        """By how much a stretch of the axis is to be shifted to all its places in a picture."""
        if self.period is None:
            return [0.0]
        slack = SLACK * self.period
        first = -math.floor((high - self.start + slack) / self.period)
        stop = math.floor((last + slack - low) / self.period) + 1
        return [turn * self.period for turn in range(first, stop)]


@dataclasses.dataclass(frozen=True, eq=False)
class Places:
    """Which valley owns each part of a grid.

    Attributes:
        axes: K `Axis`.
        cuts: K rising tuples of the coordinates that part the axis; a cut belongs to what is below.
        owners: Integers of shape `(len(cuts[0]) + 1, ...)`: index of the valley or -1.
    """

    axes: tuple
    cuts: tuple
    owners: np.ndarray

    @classmethod
    def nearest(cls, axes, labels):
        """The owner of a place is that of the nearest node."""
        for k, axis in enumerate(axes):
            if axis.joined:
                labels = np.concatenate([labels, np.take(labels, [0], k)], k)
        return cls(axes, tuple(tuple(axis.middles().tolist()) for axis in axes), labels)

    def at(self, coordinates):
        """Index of the valley at coordinates `(..., K)`, or -1."""
        inside, where = True, []
        for k, (axis, cuts) in enumerate(zip(self.axes, self.cuts, strict=True)):
            folded = axis.fold(coordinates[..., k])
            inside = inside & ~np.isnan(folded)
            where.append(np.searchsorted(cuts, np.nan_to_num(folded)))
        return np.where(inside, self.owners[tuple(where)], -1)

    def at_one(self, point):
        """As `at` for one point of K floats, in a few microseconds."""
        where = []
        for axis, cuts, c in zip(self.axes, self.cuts, point, strict=True):
            folded = axis.fold_one(float(c))
            if folded != folded:
                return -1
            where.append(bisect.bisect_left(cuts, folded))
        return int(self.owners[tuple(where)])


def axes_of(
    surface: Surface, periodic: Periodic = "auto", owner: str = "find_valleys"
) -> tuple[Axis, ...]:
    """The axes of a surface, by its own periods or by what a user gave."""
    if isinstance(periodic, str) and periodic == "auto":
        pairs = zip(surface.coordinates, surface.periods, strict=True)
        periods = tuple(period if _is_ring(x, period) else None for x, period in pairs)
    else:
        periods = _read(periodic, surface.coordinates, owner)
    return tuple(map(Axis.of, surface.coordinates, periods))


def closed(surface: Surface, axes: Sequence[Axis] | None = None) -> Surface:
    """A surface for pictures: a ring whose last step was not sampled ends where it began.

    Args:
        surface: A surface.
        axes: Its axes; `None` reads them.
    """
    axes = axes_of(surface) if axes is None else axes
    pairs = list(zip(surface.coordinates, axes, strict=True))
    ends = [
        [axis.stop] if axis.joined and x[-1] < axis.stop - SLACK * (axis.stop - axis.start) else []
        for x, axis in pairs
    ]
    if not any(ends):
        return surface
    coordinates = tuple(np.append(x, end) for (x, _), end in zip(pairs, ends, strict=True))
    losses = like_closed(surface.losses, tuple(map(len, coordinates)))
    return dataclasses.replace(surface, losses=losses, coordinates=coordinates)


def like_closed(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Values of the samples, in the shape of the surface that `closed` made."""
    for k, size in enumerate(shape):
        if size > values.shape[k]:
            values = np.concatenate([values, np.take(values, [0], k)], k)
    return values


def _is_ring(x, period):
    return period is not None and len(x) > 1 and x[0] + period * (1 - SLACK) > x[1]


def _read(periodic, coordinates, owner):
    """The period of each axis, `None` for a line, from what a user may give."""
    given = periodic if isinstance(periodic, tuple | list) else (periodic,)
    if not isinstance(periodic, tuple | list):
        whole = periodic is None or isinstance(periodic, bool | np.bool_)
        given = given * len(coordinates) if whole else given
    if len(given) != len(coordinates):
        raise refusal(
            owner,
            "`periodic` to be 'auto', True, False, or one entry per axis",
            f"periodic={shortened(periodic)} for {len(coordinates)} axes",
            "Use a tuple such as (np.pi, None).",
        )
    return tuple(_period(one, x, owner) for one, x in zip(given, coordinates, strict=True))


def _period(one, x, owner):
    if one is None or (isinstance(one, bool | np.bool_) and not one):
        return None
    if isinstance(one, bool | np.bool_):
        one = float(x[-1] - x[0])
    if not is_finite(one) or not one > 0 or not _is_ring(x, one):
        raise refusal(
            owner,
            "a period longer than a step of the axis, True where that is the axis' extent, or None",
            f"{shortened(one)} for an axis of {len(x)} samples from {x[0]:.6g} to {x[-1]:.6g}",
            "Use np.pi for the angle of a line.",
        )
    return float(one)
