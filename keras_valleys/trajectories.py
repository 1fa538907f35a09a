"""What an optimizer did: the weights and the loss at each step."""

import dataclasses

import numpy as np

from keras_valleys import _planes, _weight_files
from keras_valleys._archives import damaged, read_archive, write_archive


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectory:
    """A walk through weight space.

    Row `t` is the state before update `t` and the loss there; the last row holds the final
    weights, whose loss is NaN unless it was measured. After T updates there are T + 1 rows, fewer
    where some steps were not seen: `steps` says which are there.

    Args:
        steps: Integers of shape `(T+1,)`, rising: the number of updates made before each row.
        weights: Array of shape `(T+1, P)`: the flat weights.
        losses: Array of shape `(T+1,)`; NaN where the loss is not known.
        label: Name of the run, as in a legend.
        loss_source: Where the losses came from, in words.

    Raises:
        ValueError: The shapes do not belong together, or the steps do not rise.

    Example:

    >>> path = keras_valleys.trajectories.Trajectory([0, 1], [[0.8], [0.7]], [0.61, np.nan])
    >>> path.weights.shape
    (2, 1)
    """

    steps: np.ndarray
    weights: np.ndarray
    losses: np.ndarray
    label: str = ""
    loss_source: str = ""

    def __post_init__(self):
        steps, weights, losses = map(np.array, (self.steps, self.weights, self.losses))
        if not len(steps):
            steps = steps.astype("int64")
        if steps.dtype.kind not in "iu" or any(
            a.dtype.kind not in "iuf" for a in (weights, losses)
        ):
            raise ValueError(
                "`Trajectory` expects `steps` to be integers, `weights` and `losses` real numbers. "
                f"Received: dtypes {steps.dtype}, {weights.dtype}, {losses.dtype}. Convert them."
            )
        steps = steps.astype("int64")
        if weights.ndim != 2 or steps.shape != weights.shape[:1] or losses.shape != steps.shape:
            raise ValueError(
                "`Trajectory` expects `steps` (T+1,), `weights` (T+1, P) and `losses` (T+1,). "
                f"Received: steps {steps.shape}, weights {weights.shape}, losses {losses.shape}. "
                "Give each row one step, one weight vector and one loss (NaN where unknown)."
            )
        if np.any(np.diff(steps) <= 0):
            raise ValueError(
                "`Trajectory` expects `steps` to rise. "
                f"Received: steps={steps}. Sort the rows by step, one row per step."
            )
        for name, value in (("steps", steps), ("weights", weights), ("losses", losses)):
            value.setflags(write=False)  # a copy of what was given, and it stays as it is
            object.__setattr__(self, name, value)

    def __len__(self):
        return len(self.steps)

    def save(self, path):
        """Write the trajectory to an npz file, whole or not at all.

        Args:
            path: Path of the file; an older file there is replaced.

        Raises:
            OSError: The file cannot be written; an older file is then still there.
        """
        write_archive(path, "trajectory", **dataclasses.asdict(self))

    @classmethod
    def load(cls, path):
        """Read a trajectory that `save` wrote.

        Args:
            path: Path of the file.

        Returns:
            A `Trajectory`.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is damaged or of another kind.
        """
        fields = read_archive(path, "trajectory", [field.name for field in dataclasses.fields(cls)])
        for name in ("label", "loss_source"):
            fields[name] = str(fields[name])
        try:
            return cls(**fields)
        except ValueError as error:
            raise damaged(path, "trajectory", error) from error


@dataclasses.dataclass(frozen=True, eq=False)
class Projection:
    """A trajectory beside a line or a plane, and how true the picture of it there is.

    Attributes:
        steps: Array of shape `(T,)`: the number of updates before each row.
        coordinates: Array of shape `(T, K)`: the nearest point on the line or plane; NaN where
            the weights are not finite.
        distances: Array of shape `(T,)`: the Euclidean distance from it in weight space.
        travelled: Array of shape `(T,)`: the Euclidean distance from the first finite row.
        losses: Array of shape `(T,)`: the true losses; NaN where unknown.
        plane_losses: Array of shape `(T,)`: the losses at the nearest points; NaN where unknown.
        explained_variance: Share, 0 to 1, of the variance of the finite rows about their mean
            that lies in the line or plane; NaN for a path that does not move.
        num_diverged: Number of rows whose weights or loss are not finite.
        num_weights: P.
        label: Name of the run.
    """

    steps: np.ndarray
    coordinates: np.ndarray
    distances: np.ndarray
    travelled: np.ndarray
    losses: np.ndarray
    plane_losses: np.ndarray
    explained_variance: float
    num_diverged: int
    num_weights: int
    label: str = ""


def on_surface(trajectory, surface, objective=None):
    """The path on a surface, and how far it is from being there.

    Args:
        trajectory: A `Trajectory` over P weights; it is read in blocks.
        surface: A `keras_valleys.surfaces.Surface` over the same weights.
        objective: The surface's `keras_valleys.objectives.Objective`. It measures the losses on
            the plane, and the true ones that are NaN; recorded ones stay. `None` measures nothing.

    Returns:
        A `Projection`. Without an objective an unknown loss (NaN) does not count as diverged.

    Raises:
        ValueError: The trajectory or the objective has another number of weights.

    Example:

    >>> line = keras_valleys.surfaces.Surface(np.zeros(2), [[0, 1]], [[2.0, 0.0]], np.zeros(2))
    >>> path = keras_valleys.trajectories.Trajectory([0, 1], [[0, 1], [6, 9]], [3.0, 2.0])
    >>> found = keras_valleys.trajectories.on_surface(path, line)
    >>> found.coordinates[:, 0], found.distances, round(found.explained_variance, 2)
    (array([0., 3.]), array([1., 9.]), 0.36)
    """
    weights, size = trajectory.weights, surface.origin.size
    _check_size("on_surface", weights, size)
    if objective is not None and objective.size != size:
        raise ValueError(
            f"`on_surface` expects an objective over the surface's {size} weights. "
            f"Received: one over {objective.size}. Use the one that the surface came from."
        )
    plane = _planes.Plane.through(surface.origin, surface.directions)
    inside, distances, travelled, share = _planes.measure(weights, plane)
    coordinates = inside @ plane.to_coordinates
    finite = ~np.isnan(travelled)
    losses = trajectory.losses.astype("float64")
    plane_losses, diverged = np.full(len(losses), np.nan), ~finite | np.isinf(losses)
    if objective is not None and finite.any():
        for rows, block in _planes.blocks(weights, np.flatnonzero(finite & np.isnan(losses))):
            losses[rows] = objective(block)
        feet = coordinates[finite]
        plane_losses[finite] = objective.along(feet, surface.directions, surface.origin)
        diverged |= ~np.isfinite(losses)
    return Projection(
        trajectory.steps, coordinates, distances, travelled, losses, plane_losses, share,
        int(diverged.sum()), size, trajectory.label,
    )  # fmt: skip


def project(weights, surface):
    """Least-squares coordinates of weight vectors on a surface.

    The coordinates `c` that minimize `|origin + c @ directions - weights|`, also right for
    directions that are not orthonormal.

    Args:
        weights: Array of shape `(..., P)`.
        surface: A `keras_valleys.surfaces.Surface` over the same P weights.

    Returns:
        float64 array of shape `(..., K)`, in units of the surface's coordinates.

    Raises:
        ValueError: The weights have another size than the surface's.

    Example:

    >>> plane = keras_valleys.surfaces.Surface(
    ...     np.zeros((2, 3)), ([0, 1], [0, 1, 2]), np.eye(2, 3), np.zeros(3)
    ... )
    >>> keras_valleys.trajectories.project([4.0, 5.0, 6.0], plane)
    array([4., 5.])
    """
    weights = np.asarray(weights, "float64")
    _check_size("project", weights, surface.origin.size)
    plane = _planes.Plane.through(surface.origin, surface.directions)
    return (weights - plane.origin) @ plane.basis.T @ plane.to_coordinates


def _check_size(name, weights, size):
    if weights.shape[-1] != size:
        raise ValueError(
            f"`{name}` expects weight vectors of the surface's size {size}. "
            f"Received: {weights.shape[-1]} weights. "
            "Record all trainable weights, or evaluate the surface over the recorded ones."
        )


def span(
    trajectories, directions=None, origin=None, *, num_points=(51, 41), margin=0.2, reach=10.0
):
    """Coordinates of a line or a plane that contains trajectories.

    They are what `keras_valleys.surfaces.evaluate` takes, with the same directions and origin. An
    axis along which no path moves gets the length, in weight space, of the other, or 1 each way.

    Rows that are not finite do not count, nor do those where a run blew up: farther from its start
    than `reach` times the farthest row that was no worse than the start (without losses: than the
    start is from zero). One warning says how many.

    Args:
        trajectories: A `Trajectory` or a list of them.
        directions: Array of shape `(K, P)` with K = 1 or 2, or what `numpy.asarray` makes one of.
            `None` takes the weights themselves, for models of one or two weights.
        origin: Weight vector of shape `(P,)`. `None` is the last finite row of the last trajectory,
            the model's weights after that fit; where `directions` is `None` as well, it is 0.
        num_points: Number of points per axis, or an int for each; a line takes the first.
        margin: Room on each side, relative to the extent of the paths.
        reach: See above; `numpy.inf` keeps all finite rows.

    Returns:
        Tuple of K rising arrays.

    Raises:
        ValueError: No finite row, shapes that do not belong together, or numbers out of range.

    Example:

    >>> path = keras_valleys.trajectories.Trajectory([0, 1], [[0, 1], [6, 9]], [3.0, 2.0])
    >>> x, y = keras_valleys.trajectories.span(path, margin=0.5)
    >>> [float(value) for value in (x[0], x[-1], y[0], y[-1])]
    [-3.0, 9.0, -3.0, 13.0]
    """
    paths = [trajectories] if isinstance(trajectories, Trajectory) else list(trajectories)
    return _planes.axes_around(paths, directions, origin, num_points, (margin, reach))


def from_checkpoints(model, paths, steps=None, label=""):
    """A trajectory from files of weights, as `keras.callbacks.ModelCheckpoint` writes them.

    The model loads one file after the other; afterwards, and after an exception, all its variables
    and its optimizer's are as they were.

    Args:
        model: The Keras model that was trained, built. Its trainable weights are the rows.
        paths: List of `.weights.h5` or `.keras` files in the order of training, or a pattern such
            as "run/w-*.weights.h5", in natural order: w-2 before w-10.
        steps: One rising integer per file. `None` takes the first number in the files' names that
            rises from file to file, such as the epoch, else 0, 1, 2...
        label: Name of the run, as in a legend.

    Returns:
        A `Trajectory` whose losses are NaN: the files do not hold them.

    Raises:
        FileNotFoundError: No file matches, or one of the list is missing.
        ValueError: An unbuilt model, a damaged file or one of another model, unfit `steps`.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for epoch in (2, 10):
    ...         model.save_weights(os.path.join(folder, f"w-{epoch}.weights.h5"))
    ...     pattern = os.path.join(folder, "w-*.weights.h5")
    ...     path = keras_valleys.trajectories.from_checkpoints(model, pattern)
    >>> path.steps, path.weights.shape
    (array([ 2, 10]), (2, 1))
    """
    files = _weight_files.find(paths)
    steps = _weight_files.steps_of(files) if steps is None else np.asarray(steps)
    _weight_files.check(model, files, steps)
    weights = _weight_files.read(model, files)
    unknown = np.full(len(files), np.nan)
    return Trajectory(steps, weights, unknown, label, "none: weights from files")
