"""What a comparison starts with: the model, the weights, the seeds, the surface."""

import math

import keras
import numpy as np

from keras_valleys._weights import flatten
from keras_valleys.surfaces import Surface
from keras_valleys.valleys import find_valleys


def built(build_model, x):
    """The model that a function returns, with its weights."""
    if not callable(build_model) or isinstance(build_model, keras.layers.Layer):
        raise ValueError(
            "`compare` expects `build_model` to be a function that returns a compiled Keras model. "
            f"Received: {build_model!r}. Use a function that builds and compiles the model."
        )
    model = build_model()
    if not isinstance(model, keras.Model):
        raise ValueError(
            "`compare` expects `build_model` to return a compiled Keras model. "
            f"Received: {model!r}. End the function with `return model`."
        )
    if not model.built:
        model(keras.tree.map_structure(lambda a: np.asarray(a)[:1], x))
    return model


class Starts:
    """The flat weight vectors that runs start from.

    Args:
        given: Array, number, or `None`.
        bench: The `Bench`, whose model has its initial weights.
        build_model: Function that returns such a model.
        x: The inputs, to build a model with.
    """

    def __init__(self, given, bench, build_model, x):
        self._bench, self._build_model, self._x = bench, build_model, x
        size = bench.objective.size
        whole = isinstance(given, int | np.integer) and not isinstance(given, bool)
        self._count = None
        if given is None or (whole and given >= 1):
            self._count = 1 if given is None else int(given)
            self._points = self._draw(bench.model)
        else:
            self._points = self._as_points(given, size)
        self._points = self._points.astype(bench.objective.dtype)
        if self._count and self._count > 1 and len(np.unique(self._points, axis=0)) < self._count:
            raise ValueError(
                "`compare` expects `build_model` to give other weights at each call where `starts` "
                f"is a number. Received: starts={given}, and the same weights again. "
                "Use initializers without a seed, or give the weights as an array."
            )

    def found(self, files):
        """Array of shape `(S, P)`; of random ones those that were kept in the folder."""
        if self._count is None:
            return self._points
        name = f"{self._bench.objective.signature()[:8]}-{self._count}"
        return files.starts(name, self._points, self._draw)

    def _draw(self, first=None):
        points = [] if first is None else [flatten(first.trainable_variables)]
        while len(points) < self._count:
            points.append(flatten(built(self._build_model, self._x).trainable_variables))
        return np.stack(points)

    @staticmethod
    def _as_points(given, size):
        try:
            points = np.asarray(given, "float64")
        except (TypeError, ValueError):
            points = np.empty(0)
        if points.ndim == 1:
            points = points[:, None] if size == 1 else points[None]
        if points.ndim != 2 or not len(points) or points.shape[1] != size:
            raise ValueError(
                f"`compare` expects `starts` to be weight vectors of shape (S, {size}), a number "
                f">= 1, or None. Received: starts={given!r}. `Objective.point()` is such a vector."
            )
        if not np.all(np.isfinite(points)):
            raise ValueError(
                "`compare` expects finite `starts`. Received: numbers that are NaN or infinite. "
                "Leave these starts out."
            )
        return points


def as_seeds(seeds):
    """Different integers >= 0, as a list."""
    if isinstance(seeds, int | np.integer) and not isinstance(seeds, bool) and seeds >= 1:
        return list(range(int(seeds)))
    found = np.asarray(seeds if not isinstance(seeds, range) else list(seeds))
    if found.ndim != 1 or found.dtype.kind not in "iu" or not found.size or np.any(found < 0):
        found = np.zeros(2, int)
    if len(np.unique(found)) < len(found):
        raise ValueError(
            "`compare` expects `seeds` to be different integers >= 0, or how many of them. "
            f"Received: seeds={seeds!r}. Use seeds=5 for 0 to 4."
        )
    return [int(seed) for seed in found]


def check_numbers(*, steps, every, tolerance):
    """Refuse what is out of range."""
    for name, value in (("steps", steps), ("every", every)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise ValueError(
                f"`compare` expects `{name}` to be an integer >= 1. "
                f"Received: {name}={value!r}. Use {name}=1 for the least."
            )
    if isinstance(tolerance, str) or not 0 <= tolerance < math.inf:
        raise ValueError(
            "`compare` expects `tolerance` to be a number >= 0, in units of the loss. "
            f"Received: tolerance={tolerance!r}. Use tolerance=0.01."
        )


def as_valleys(surface, size):
    """The valleys of a surface over so many weights, of a `Surface` or its `Valleys`; or `None`."""
    if surface is None:
        return None
    valleys = surface
    if isinstance(surface, Surface):
        periods = [math.pi if label == "phi" else None for label in surface.labels]
        valleys = find_valleys(surface, periodic=periods)
    if not isinstance(getattr(valleys, "surface", None), Surface) or not hasattr(valleys, "at"):
        raise ValueError(
            "`compare` expects `surface` to be a `keras_valleys.surfaces.Surface`, the valleys of "
            f"one, or None. Received: {type(surface).__name__}. Use "
            "`keras_valleys.surfaces.evaluate`."
        )
    if valleys.surface.origin.size != size:
        raise ValueError(
            f"`compare` expects a surface over the model's {size} trainable weights. Received: "
            f"one over {valleys.surface.origin.size}. Evaluate the surface of this model."
        )
    return valleys
