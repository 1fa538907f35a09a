"""All that this package knows of the tab's format: surfaces and paths as the view shows them."""

import dataclasses
import functools
import hashlib
import json
import math
import time

import numpy as np

from keras_valleys.trajectories import Plane, breaks, event_strides, project, strides
from keras_valleys.valleys import closed, crossed_rows, dropped_text, shown_range
from tensorboard_plugin_valleys.metadata import (
    CHUNK_ROWS,
    COLUMNS,
    PLUGIN_NAME,
    SHOWN_TAG,
    SURFACE_INFO_TAG,
    SURFACE_TAG,
    moment_tag,
    path_tag,
)
from tensorboard_plugin_valleys.places import slice_heights

SECONDS = 0.5  # the longest that a row waits, while others follow
# What version 0.1 did not write: runs of both may be on one surface.
LATER = {"shown", "statistics", "units", "not_counted", "on_border"}
MAX_WRITES = 32  # of one chunk: a slow run makes small ones rather than write the same rows again


def surface_info(surface, found):
    """The dictionary that `tensorboard_plugin_valleys.payload` describes, of a closed surface."""
    return {
        "labels": list(surface.labels),
        "loss_name": surface.loss_name,
        "coordinates": [axis.tolist() for axis in surface.coordinates],
        "periods": list(found.periodic),
        "units": list(surface.units),
        "num_weights": surface.origin.size,
        "statistics": surface.statistics_sentence,
        "valleys": [
            {
                "position": list(valley.position),
                "loss": valley.loss,
                "depth": _finite(valley.depth),
                "width": _finite(valley.width),
                "on_border": valley.on_border,
            }
            for valley in found
        ],
        "not_counted": dropped_text(found),
        "shown": list(shown_range(found)),
    }


@dataclasses.dataclass(frozen=True)
class Past:
    """What the later rows of a path need to know of those that came before.

    Attributes:
        num_rows: How many these were.
        num_events: How many derailments, and ends of what is finite, were among them.
        step: Step of the last row in a valley.
        valley: Index of that valley, or -1.
        heights: The least and the greatest loss of the surface under the path; empty where none
            is known.
    """

    num_rows: int = 0
    num_events: int = 0
    step: float = -1.0
    valley: float = -1.0
    heights: tuple = ()


def path_rows(steps, losses, coordinates, distances, found, past=Past(), *, no_steps=()):
    """Rows `(T, 9 + K)` as `tensorboard_plugin_valleys.metadata` describes them.

    Args:
        steps: Integers of shape `(T,)`.
        losses: Array of shape `(T,)`; NaN where unknown.
        coordinates: Array of shape `(T, K)`; K = 0 where there is no surface.
        distances: Array of shape `(T,)`: the distance from the surface; NaN where unknown.
        found: The `Valleys` of the surface, or `None`.
        past: The `Past` of a path that goes on.
        no_steps: Those of the steps to whose rows no step led: there nothing was derailed, and no
            line is drawn to them.

    Returns:
        The rows, and their `Past`.
    """
    steps, inside = np.asarray(steps), np.full(len(steps), -1.0)
    moved = np.isin(steps, no_steps)
    if found is not None and len(steps):
        inside = found.at(coordinates)
    steps_and_past, inside_and_past = np.append(past.step, steps), np.append(past.valley, inside)
    before, after = crossed_rows(inside_and_past, np.append(False, moved)).T
    left, left_at = np.full((2, len(steps)), -1.0)
    left[after - 1], left_at[after - 1] = inside_and_past[before], steps_and_past[before]

    drawn = np.column_stack([losses, coordinates]).T
    jumps = np.flatnonzero(moved)[:, np.newaxis] + [-1, 0]
    events = np.concatenate([np.stack([before, after], axis=1) - 1, breaks(drawn), jumps])
    events = events[np.argsort(events[:, 1], kind="stable")]
    rows = np.column_stack(
        [
            *(steps, losses, distances, inside, left, left_at),
            strides(drawn, past.num_rows),
            event_strides(events, len(steps), past.num_events),
            moved,
            coordinates,
        ]
    )
    heights = _heights(rows[inside >= 0], found)
    past = _past(rows, len(events), past, heights)
    if np.any(moved[steps > past.step]):  # led to a row in no valley
        past = dataclasses.replace(past, step=-1.0, valley=-1.0)
    return rows, past


def _heights(rows, found):
    """The losses of the surface under rows, where they are known."""
    if found is None or not len(rows):
        return np.empty(0)
    surface = closed(found.surface)
    places = rows[:, len(COLUMNS) :]
    heights = slice_heights(places, surface.losses, surface.coordinates, found.periodic)
    return heights[np.isfinite(heights)]


def _past(rows, num_events, past, heights):
    """The `Past` of rows with a past of their own."""
    inside = rows[rows[:, COLUMNS.index("valley")] >= 0]
    step, valley = past.step, past.valley
    if len(inside):
        step, valley = inside[-1, [COLUMNS.index("step"), COLUMNS.index("valley")]]
    heights = np.append(past.heights, heights)
    heights = (heights.min(), heights.max()) if heights.size else ()
    return Past(past.num_rows + len(rows), past.num_events + num_events, step, valley, heights)


def _as_before(info):
    """What version 0.1 wrote of an info, also of each valley in it."""
    known = {key: value for key, value in info.items() if key not in LATER}
    return {
        **known,
        "valleys": [{k: v for k, v in one.items() if k not in LATER} for one in known["valleys"]],
    }


def _finite(value):
    return float(value) if math.isfinite(value) else None


class SurfaceRecord:
    """A surface as bytes, made before training.

    Args:
        surface: A `keras_valleys.surfaces.Surface`.
        found: Its `Valleys`.
    """

    def __init__(self, surface, found):
        shown = closed(found.surface)
        self.losses = shown.losses.astype("float32")
        self.surface, self.valleys = surface, found
        self._plane = Plane.through(surface.origin, surface.directions)
        info = surface_info(shown, found)
        self.info = np.frombuffer(json.dumps(info).encode(), "uint8")
        text = json.dumps(_as_before(info)).encode()
        self.digest = hashlib.sha256(self.losses.tobytes() + text).hexdigest()[:16].encode()

    def place(self, vector):
        """Coordinates of a weight vector, and last its distance from the surface; NaN if lost."""
        if not np.all(np.isfinite(vector)):
            return np.full(len(self.surface.directions) + 1, np.nan)
        inside, away = self._plane(vector)
        return np.append(inside @ self._plane.to_coordinates, np.linalg.norm(away))

    def coordinates(self, vectors):
        """Coordinates `(n, K)` of what the reader's rows hold: the one weight, or coordinates."""
        one_weight = self.surface.origin.size == 1
        return project(vectors, self.surface) if one_weight else vectors

    def write(self, writer, tag_of, step):
        writer.tensor(tag_of(SURFACE_TAG), self.losses, step, PLUGIN_NAME, self.digest)
        writer.tensor(tag_of(SURFACE_INFO_TAG), self.info, step, PLUGIN_NAME)


class PathChunks:
    """The path of one fit, in chunks of rows with a tag each.

    Args:
        writer: An `EventWriter`.
        names: Names of the coordinates, with which the rows' vectors begin; the distance from the
            surface may follow. Those of the surface's axes count, where there is one.
        label: Name of the run.
        record: The `SurfaceRecord`, written at once, or `None`.
        units: Units of the coordinates; those of the surface count as well. `None` for none.
        loss_kind: What the losses of the rows are, "recorded" or "true".
        moment: Number and step of the moment whose plane it is; `None` for the one surface of a
            run.
    """

    def __init__(
        self,
        writer,
        names,
        label="",
        record=None,
        *,
        units=None,
        loss_kind="recorded",
        moment=None,
    ):
        self._writer, self._record, self._num_coordinates = writer, record, len(names)
        self._tag_of = str if moment is None else functools.partial(moment_tag, moment[0])
        units = [""] * len(names) if units is None else units
        if record is not None:
            names, units = record.surface.labels, record.surface.units
            record.write(writer, self._tag_of, 0 if moment is None else moment[1])
        content = {
            "columns": COLUMNS,
            "coordinates": list(names),
            "units": list(units),
            "label": label,
            "loss_kind": loss_kind,
        }
        self._content = json.dumps(content).encode()
        self._rows, self._number, self._writes = [], 0, 0
        self._past, self._heights, self._shown = Past(), None, None
        self._unwritten, self._due = 0, 0.0  # the first row shows at once that a run has begun

    def add(self, row):
        """Take a row of the reader, and write if it is time."""
        self._rows.append(row)
        self._unwritten += 1
        if len(self._rows) >= CHUNK_ROWS or time.monotonic() >= self._due:
            self.flush()

    def flush(self):
        """Write what is not written yet."""
        if not self._unwritten:
            return
        tag, last = self._tag_of(path_tag(self._number)), self._rows[-1].step
        table, past = self._table()
        self._write_shown(past.heights, last)
        self._writer.tensor(tag, table, last, PLUGIN_NAME, self._content)
        self._unwritten, self._due = 0, time.monotonic() + SECONDS
        self._writes += 1
        if len(self._rows) >= CHUNK_ROWS or self._writes >= MAX_WRITES:
            self._rows, self._writes = [], 0
            self._number, self._past = self._number + 1, past

    def _write_shown(self, heights, step):
        """Before the rows that ask for it."""
        if self._record is None or heights == self._heights:
            return
        shown, self._heights = shown_range(self._record.valleys, heights), heights
        if shown != self._shown:
            self._writer.tensor(self._tag_of(SHOWN_TAG), np.array(shown), step, PLUGIN_NAME)
            self._shown = shown

    def _table(self):
        """The open chunk, and its `Past`."""
        rows, k, found = self._rows, self._num_coordinates, None
        vectors = np.stack([row.vector for row in rows]).astype("float64")
        coordinates, distances = vectors[:, :k], np.full(len(rows), math.nan)
        if vectors.shape[1] > k:
            distances = vectors[:, k]
        if self._record is not None:
            coordinates, found = self._record.coordinates(coordinates), self._record.valleys
        losses = [math.nan if row.loss is None else row.loss for row in rows]
        steps = [row.step for row in rows]
        no_steps = [row.step for row in rows if getattr(row, "no_step", False)]
        known = coordinates, distances, found, self._past
        return path_rows(steps, losses, *known, no_steps=no_steps)
