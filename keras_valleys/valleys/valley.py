"""What `find_valleys` returns: the valleys of a surface as a table."""

import csv
import dataclasses
import io
import math
import os
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._checks import refusal
from keras_valleys._files import write_whole
from keras_valleys._results import Result, counted, cut, place_text
from keras_valleys.surfaces import Surface, coordinate_text
from keras_valleys.valleys.axes import Places

MAX_ROWS = 40  # of a printed table
BORDER = "lowest at the border"  # what is no minimum, as what lies beyond was not sampled


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Valley(Result):
    """A local minimum of a sampled loss, with its basin; or the lowest point of a border.

    What lies beyond the border was not sampled: a lowest point there, `on_border`, is no minimum,
    and its depth is not known.

    Attributes:
        index: Number of the valley, 0 the one with the lowest loss.
        position: Tuple of the coordinates of the floor, one per axis.
        loss: Loss of the surface at the floor: that of the slice.
        depth: Loss of the lowest ridge or saddle around the valley minus the loss at the floor;
            infinite where nothing surrounds it, NaN where `on_border`.
        width: On a curve the distance between the two ridges. On a plane the side of the square
            that is as large as the basin, in the unit of the coordinates; where the two axes have
            different units, in the root of their product.
        ridges: On a curve the two coordinates of the ridges on the left and on the right; where
            there is none, of the last sample before the surface's end or before a diverged one.
            Around the end of a period they lie beyond the surface's ends. On a plane the
            positions of the lowest saddles to each neighboring valley, the lowest first.
        on_border: Whether the floor lies on the border of the surface. No period has a border.
        loss_error: How far `loss` may be from the loss of the function itself at its floor there,
            which lies between the samples: `loss` minus that is at most this nearly always. It is
            estimated from the samples around and their noise or, for a floor that was located on
            the `objective`, from how that jitters. NaN where nothing can be said: `on_border`, and
            beside a sample that is not finite.
    """

    index: int
    position: tuple[float, ...]
    loss: float
    depth: float
    width: float
    ridges: tuple[Any, ...]
    on_border: bool = False
    loss_error: float = math.nan

    def _in_short(self) -> str:
        depth = BORDER if self.on_border else f"depth {self.depth:.4g}"
        error = "" if math.isnan(self.loss_error) else f" ± {self.loss_error:.1g}"
        return (
            f"{self.index} at {place_text(self.position)}, loss {self.loss:.4g}{error}, "
            f"{depth}, width {self.width:.4g}"
        )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Valleys(Result, Sequence[Valley]):
    """The valleys of a surface, the lowest first: an immutable sequence of `Valley`.

    Those that are `on_border` are in it, with an index and a basin; where valleys are counted in
    words they are not.

    Attributes:
        surface: The surface, with the periods that the valleys were found with.
        periodic: The period of each axis, `None` for one that has none, or too few samples.
        labels: Integers of the shape of the surface's losses: index of the valley in whose basin
            the sample is, -1 where the loss is not finite.
        persistence: How deep a valley had to be to be counted, in units of the loss.
        dropped: How many were less deep. They belong to their neighbors.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> valleys = keras_valleys.valleys.find_valleys(wave)
    >>> valleys.at([-1.7, 0.4, 9.0])
    array([ 0,  1, -1])
    """

    surface: Surface
    periodic: tuple[float | None, ...]
    labels: np.ndarray
    _valleys: tuple[Valley, ...]
    _passes: tuple[tuple[float, int, int], ...] = dataclasses.field(compare=False)
    _places: Places = dataclasses.field(compare=False)
    persistence: float = 0.0
    dropped: int = 0

    @overload
    def __getitem__(self, index: int) -> Valley: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Valley, ...]: ...
    def __getitem__(self, index):
        return self._valleys[index]

    def __len__(self) -> int:
        return len(self._valleys)

    def _in_short(self) -> str:
        axes = " and ".join(map(cut, self.surface.labels))
        lowest = ""
        if len(self):
            lowest = f", lowest {self[0].loss:.4g} at {place_text(self[0].position)}"
        dropped = f", {dropped_text(self)}" if self.dropped else ""
        return f"{count_text(self)}{dropped} over {axes}{lowest}"

    @overload
    def at(self, coordinates: float) -> int: ...
    @overload
    def at(self, coordinates: ArrayLike) -> np.ndarray | int: ...
    def at(self, coordinates):
        """The valleys in whose basins coordinates lie.

        On a curve the basins end at the ridges, on a plane between the samples. Beside a diverged
        sample the nearest sample decides.

        Args:
            coordinates: Array of shape `(..., K)`. For K = 1 the last dimension may be left out;
                an array of one dimension is one of many coordinates. On a ring they may lie beyond
                the ends.

        Returns:
            Integers of shape `(...)`, an int for a single point: index of the valley, and -1
            outside of the surface, where it is not finite, and on a ring so far off that the place
            within the period is lost in float32.

        Raises:
            ValueError: The last dimension is not K.
        """
        if isinstance(coordinates, float) and self.labels.ndim == 1:
            return self._places.at_one((coordinates,))
        c, size = np.asarray(coordinates, "float64"), self.labels.ndim
        if size == 1 and (c.ndim < 2 or c.shape[-1] != 1):
            c = c[..., None]
        if not c.ndim or c.shape[-1] != size:
            raise refusal(
                "Valleys.at",
                f"coordinates of shape (..., {size})",
                f"shape {c.shape}",
                "Use `keras_valleys.trajectories.project`.",
            )
        return self._places.at_one(c.tolist()) if c.ndim == 1 else self._places.at(c)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The valleys as a list of dictionaries, angles in radians."""
        return [dataclasses.asdict(valley) for valley in self]

    def to_csv(self, path: str | os.PathLike | None = None) -> str | None:
        """The valleys as CSV: one row each, angles in radians, all digits.

        Args:
            path: Path of a file to write; `None` writes none.

        Returns:
            The text, where `path` is `None`. On a plane its ridge is the lowest saddle. What is
            `on_border` has no depth, and blank is an error that is not known.
        """
        labels, line = self.surface.labels, self.labels.ndim == 1
        ridges = ["ridge left", "ridge right"] if line else [f"saddle {name}" for name in labels]
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["index", *labels, "loss", "loss error", "depth", "width", *ridges])
        for v in self:
            ridge = v.ridges if line else next(iter(v.ridges), ("",) * len(labels))
            depth = "" if v.on_border else v.depth
            error = "" if math.isnan(v.loss_error) else v.loss_error
            writer.writerow([v.index, *v.position, v.loss, error, depth, v.width, *ridge])
        if path is None:
            return file.getvalue()
        write_whole(path, file.getvalue())
        return None

    def __str__(self) -> str:
        line, units = self.labels.ndim == 1, self.surface.units
        ridge = "ridges" if line else "lowest saddle"
        rows = [["valley", *self.surface.labels, "loss", "error", "depth", "width", ridge]]
        for v in self[:MAX_ROWS]:
            position = map(coordinate_text, v.position, units)
            if line:
                ends = " to ".join(coordinate_text(c, *units) for c in v.ridges)
            else:
                lowest = next(iter(v.ridges), ())
                ends = ", ".join(map(coordinate_text, lowest, units[: len(lowest)]))
            width = coordinate_text(v.width, units[0] if len(set(units)) == 1 else "")
            depth = BORDER if v.on_border else f"{v.depth:.5g}"
            error = "" if math.isnan(v.loss_error) else f"{v.loss_error:.1g}"
            numbers = [f"{v.loss:.6g}", error, depth, width]
            rows.append([str(v.index), *position, *numbers, ends])
        sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.rjust(size) for cell, size in zip(row, sizes, strict=True))
            for row in rows
        ]
        more = len(self) - MAX_ROWS
        lines += [f"... and {more} more"] * (more > 0)
        return "\n".join(lines + [dropped_text(self)] * (self.dropped > 0))


def count_text(valleys: Sequence[Valley]) -> str:
    """How many valleys there are, in words: what is only lowest at the border is none.

    Example:

    >>> x = np.linspace(-2, 2.5, 451)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> keras_valleys.valleys.count_text(keras_valleys.valleys.find_valleys(wave))
    '2 valleys, and lowest at the border'
    """
    border = sum(valley.on_border for valley in valleys)
    inside = len(valleys) - border
    at_border = f"{border} {BORDER}" if border > 1 else BORDER
    if not border:
        return counted(inside, "valley")
    return f"{counted(inside, 'valley')}, and {at_border}" if inside else at_border


def dropped_text(valleys: Valleys) -> str:
    """What was found, but is not counted as a valley, in words; "" where that is nothing."""
    if not valleys.dropped:
        return ""
    return f"{valleys.dropped:,} shallower than {valleys.persistence:.2g} not counted"
