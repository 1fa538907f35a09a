"""All that this package knows of the tab's format: surfaces and paths as the view shows them."""

import hashlib
import json
import math
import time

import numpy as np

from keras_valleys.trajectories import Plane, project
from keras_valleys.valleys import closed
from tensorboard_plugin_valleys.metadata import (
    CHUNK_ROWS,
    PLUGIN_NAME,
    SURFACE_INFO_TAG,
    SURFACE_TAG,
    path_tag,
)

SECONDS = 0.5  # the longest that a row waits, while others follow
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
        "valleys": [
            {
                "position": list(valley.position),
                "loss": valley.loss,
                "depth": _finite(valley.depth),
                "width": _finite(valley.width),
            }
            for valley in found
        ],
    }


def path_rows(steps, losses, coordinates, distances, found):
    """Rows `(T, 4 + K)` as `tensorboard_plugin_valleys.payload` describes them.

    Args:
        steps: Integers of shape `(T,)`.
        losses: Array of shape `(T,)`; NaN where unknown.
        coordinates: Array of shape `(T, K)`; K = 0 where there is no surface.
        distances: Array of shape `(T,)`: the distance from the surface; NaN where unknown.
        found: The `Valleys` of the surface, or `None`.
    """
    inside = np.full(len(steps), -1.0)
    if found is not None and len(steps):
        inside = found.at(coordinates)
    return np.column_stack([steps, losses, distances, inside, coordinates])


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
        text = json.dumps(surface_info(shown, found)).encode()
        self.info = np.frombuffer(text, "uint8")
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

    def write(self, writer):
        writer.tensor(SURFACE_TAG, self.losses, 0, PLUGIN_NAME, self.digest)
        writer.tensor(SURFACE_INFO_TAG, self.info, 0, PLUGIN_NAME)


class PathChunks:
    """The path of one fit, in chunks of rows with a tag each.

    Args:
        writer: An `EventWriter`.
        names: Names of the coordinates, with which the rows' vectors begin; the distance from the
            surface may follow. Those of the surface's axes count, where there is one.
        label: Name of the run.
        record: The `SurfaceRecord`, written at once, or `None`.
        units: Units of the coordinates; those of the surface count as well. `None` for none.
    """

    def __init__(self, writer, names, label="", record=None, *, units=None):
        self._writer, self._record, self._num_coordinates = writer, record, len(names)
        units = [""] * len(names) if units is None else units
        if record is not None:
            names, units = record.surface.labels, record.surface.units
            record.write(writer)
        content = {"coordinates": list(names), "units": list(units), "label": label}
        self._content = json.dumps(content).encode()
        self._rows, self._number, self._writes = [], 0, 0
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
        tag, last = path_tag(self._number), self._rows[-1].step
        self._writer.tensor(tag, self._table(), last, PLUGIN_NAME, self._content)
        self._unwritten, self._due = 0, time.monotonic() + SECONDS
        self._writes += 1
        if len(self._rows) >= CHUNK_ROWS or self._writes >= MAX_WRITES:
            self._rows, self._writes = [], 0
            self._number += 1

    def _table(self):
        rows, k, found = self._rows, self._num_coordinates, None
        vectors = np.stack([row.vector for row in rows]).astype("float64")
        coordinates, distances = vectors[:, :k], np.full(len(rows), math.nan)
        if vectors.shape[1] > k:
            distances = vectors[:, k]
        if self._record is not None:
            coordinates, found = self._record.coordinates(coordinates), self._record.valleys
        losses = [math.nan if row.loss is None else row.loss for row in rows]
        steps = [row.step for row in rows]
        return path_rows(steps, losses, coordinates, distances, found)
