"""What the tab in TensorBoard and the page show of a surface and of a path on it."""

import math

import numpy as np

from keras_valleys.valleys import find_valleys


def periods(surface):
    """Per axis its period, or `None`: a line at phi and at phi + pi is the same line."""
    axes = zip(surface.coordinates, surface.labels, strict=True)
    return tuple(
        math.pi if label == "phi" and 0 < np.diff(axis).max(initial=0) < 3 else None
        for axis, label in axes
    )


def valleys_of(surface):
    """The valleys of a surface, joined round an angle."""
    return find_valleys(surface, periodic=periods(surface))


def surface_info(surface, found):
    """The dictionary that `tensorboard_plugin_valleys.payload` describes."""
    return {
        "labels": list(surface.labels),
        "loss_name": surface.loss_name,
        "coordinates": [axis.tolist() for axis in surface.coordinates],
        "periods": list(periods(surface)),
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
