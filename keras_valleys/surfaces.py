"""The loss, sampled on a line or a plane in weight space."""

import dataclasses
import reprlib

import numpy as np

from keras_valleys._archives import damaged, read_archive, write_archive


@dataclasses.dataclass(frozen=True, eq=False)
class Surface:
    """Losses on a grid of one or two axes in weight space.

    `losses[i, j]` is the loss at the weights
    `origin + coordinates[0][i] * directions[0] + coordinates[1][j] * directions[1]`.
    Losses that are not finite stay as they are.

    Args:
        losses: Array of shape `(n_1,)` or `(n_1, n_2)`.
        coordinates: One rising array per axis, of lengths `n_1` (and `n_2`).
        directions: Array of shape `(K, P)`, K the number of axes.
        origin: Weight vector of shape `(P,)`.
        labels: One name per axis. An axis named "phi" is an angle in radians.
        loss_name: Name of the loss.

    Raises:
        ValueError: The shapes do not belong together, or coordinates do not rise.

    Example:

    >>> x = np.linspace(-1, 2, 4)
    >>> surface = keras_valleys.surfaces.Surface(x**2, [x], [[1.0]], [0.0], ["x"])
    >>> float(surface.losses.min())
    0.0
    """

    losses: np.ndarray
    coordinates: tuple
    directions: np.ndarray
    origin: np.ndarray
    labels: tuple = ()
    loss_name: str = "loss"

    def __post_init__(self):
        axes = _as_axes(self.coordinates)
        losses, directions, origin = map(np.array, (self.losses, self.directions, self.origin))
        labels = (self.labels,) if isinstance(self.labels, str) else tuple(self.labels)
        labels = labels or tuple(f"direction {k + 1}" for k in range(len(axes)))
        if (
            len(axes) not in (1, 2)
            or losses.shape != tuple(map(len, axes))
            or directions.shape != (len(axes), origin.size)
            or origin.ndim != 1
            or len(labels) != len(axes)
        ):
            raise ValueError(
                "`Surface` expects K axes, 1 or 2: losses (n_1, ..., n_K), K coordinate arrays, "
                "directions (K, P), origin (P,), K labels. "
                f"Received: losses {losses.shape}, coordinates {[len(axis) for axis in axes]}, "
                f"directions {directions.shape}, origin {origin.shape}, labels {labels}. "
                "Make the shapes agree."
            )
        fields = dict(losses=losses, coordinates=axes, directions=directions, origin=origin)
        for array in (losses, directions, origin, *axes):
            array.setflags(write=False)  # a copy of what was given, and it stays as it is
        for name, value in {**fields, "labels": labels}.items():
            object.__setattr__(self, name, value)

    def save(self, path):
        """Write the surface to an npz file, whole or not at all.

        Args:
            path: Path of the file; an older file there is replaced.

        Raises:
            OSError: The file cannot be written; an older file is then still there.
        """
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        axes = fields.pop("coordinates")
        numbered = {f"coordinates_{k}": axis for k, axis in enumerate(axes)}
        write_archive(path, "surface", **fields, **numbered)

    @classmethod
    def load(cls, path):
        """Read a surface that `save` wrote; needs neither Keras nor the model.

        Args:
            path: Path of the file.

        Returns:
            A `Surface`.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is damaged or of another kind.
        """
        names = [field.name for field in dataclasses.fields(cls) if field.name != "coordinates"]
        fields = read_archive(path, "surface", names)
        axes = [f"coordinates_{k}" for k in range(fields["losses"].ndim)]
        fields["coordinates"] = list(read_archive(path, "surface", axes).values())
        fields["labels"] = tuple(map(str, fields["labels"]))
        fields["loss_name"] = str(fields["loss_name"])
        try:
            return cls(**fields)
        except ValueError as error:
            raise damaged(path, "surface", error) from error


def evaluate(objective, directions=None, *, coordinates, origin=None, labels=None):
    """Sample the loss on a line or a plane in weight space, in one compiled call.

    Args:
        objective: A `keras_valleys.objectives.Objective` over P weights.
        directions: Array of shape `(K, P)` with K = 1 or 2, or `(P,)` for one axis. `None` takes
            the weights themselves as axes, for models of one or two weights: the coordinate is
            then the weight.
        coordinates: One rising 1-D array per axis; a single array for one axis. In units of the
            directions' lengths.
        origin: Weight vector of shape `(P,)` where all coordinates are 0. `None` is the model's
            present weights; where `directions` is `None` as well, it is 0.
        labels: One name per axis. An axis named "phi" is an angle in radians. `None` takes the
            names of the weights, or "direction 1", "direction 2".

    Returns:
        A `Surface`.

    Raises:
        ValueError: Shapes that do not belong together, coordinates that do not rise, a zero
            direction, numbers that are not finite.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    >>> model.compile(loss=keras_valleys.losses.RootError())
    >>> (x, y), _ = keras_valleys.datasets.rosette()
    >>> objective = keras_valleys.objectives.Objective(model, x, y)
    >>> phi = np.linspace(-1.5, 1.5, 301)
    >>> surface = keras_valleys.surfaces.evaluate(objective, coordinates=phi)
    >>> round(float(surface.losses.min()), 3)
    0.462
    """
    axes = _as_axes(coordinates)
    size = objective.size
    if directions is None:
        if len(axes) != size:
            raise ValueError(
                "`evaluate` expects `directions` unless the model has one weight per coordinate "
                f"array. Received: directions=None, {size} weights, {len(axes)} coordinate arrays. "
                f"Give directions of shape ({len(axes)}, {size})."
            )
        directions = np.eye(size)
        origin = np.zeros(size) if origin is None else origin
        labels = objective.weight_names if labels is None else labels
    directions = np.atleast_2d(np.asarray(directions, "float64"))
    origin = np.asarray(objective.point() if origin is None else origin, "float64")
    _check_directions(directions, origin, len(axes), size)
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    losses = objective.along(grid, directions, origin)
    return Surface(losses, axes, directions, origin, labels or (), objective.loss_name)


def _as_axes(coordinates):
    axes = list(coordinates) if np.iterable(coordinates) else [coordinates]
    if axes and not np.iterable(axes[0]):
        axes = [axes]  # one axis, given as it is
    axes = tuple(np.array(axis, "float64") for axis in axes)
    for axis in axes or [np.empty(0)]:
        rising = axis.ndim == 1 and axis.size and np.all(np.diff(axis) > 0)
        if not rising or not np.all(np.isfinite(axis)):
            raise ValueError(
                "A surface expects `coordinates` to be one rising 1-D array of finite numbers per "
                f"axis. Received: coordinates={reprlib.repr(coordinates)}. "
                "Use numpy.linspace(start, stop, n)."
            )
    return axes


def _check_directions(directions, origin, num_axes, size):
    if num_axes not in (1, 2) or directions.shape != (num_axes, size) or origin.shape != (size,):
        raise ValueError(
            "`evaluate` expects one or two coordinate arrays, `directions` with one row of "
            f"{size} numbers for each, and `origin` of {size} numbers. Received: {num_axes} "
            f"coordinate arrays, directions of shape {directions.shape}, origin of shape "
            f"{origin.shape}. Use `objective.point()` to see the order of the weights."
        )
    if not np.all(np.isfinite(directions)) or not np.all(np.isfinite(origin)):
        raise ValueError(
            "`evaluate` expects finite `directions` and a finite `origin`. Received: numbers that "
            "are NaN or infinite. Check the run that they come from, or give another origin."
        )
    if np.any(~np.any(directions, axis=1)):
        raise ValueError(
            "`evaluate` expects directions that lead somewhere. Received: a direction of zeros. "
            "Give each axis a nonzero direction."
        )
