"""A finished path as a run in TensorBoard, as if it had been shown while it went on."""

import os
from collections.abc import Mapping

import keras
import numpy as np

from keras_valleys._checks import check_kind, refusal
from keras_valleys.callbacks.steps import Row
from keras_valleys.callbacks.surface_board import Schedule, SurfaceBoard
from keras_valleys.events import HParam, absolute_path, check_free
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectory, TrajectoryLike, as_trajectory, kind_words
from keras_valleys.valleys import Valleys

OF_THE_OPTIMIZER = ("optimizer", "learning_rate")  # listed before the start, as a board does


def write_run(
    log_dir: str | os.PathLike,
    surface: Surface,
    trajectory: TrajectoryLike,
    *,
    hparams: Mapping[str, HParam] | None = None,
    images: int = 10,
    valleys: Valleys | None = None,
    persistence: float | None = None,
) -> str:
    """Write a finished path on a surface as a run for TensorBoard, as if it had been live.

    What a `keras_valleys.callbacks.SurfaceBoard` writes while `model.fit` runs is written at once:
    the scalars, the pictures and the animation, the hyperparameters, the report, and the path in
    the tab. So the surface may be one that is only known after the run, such as the plane of the
    path itself, `keras_valleys.directions.principal(trajectory)`, and the path may come from
    checkpoints, from `compare` or from `descend`.

    True losses, as `measured` and `compare` give them, are the scalar `valley/true_loss` and not
    `valley/loss`, which is the recorded one, and the last of them is `valley/final_loss`. A loss
    of NaN is not known, and not written; but where a run diverged, at weights that are not finite
    and at the last ones before them, it is what the loss was, and is written as NaN.

    A path has no optimizer: its label is listed as one where it names one of Keras, else as
    "label", and `hparams` tells what else is known. Several fits in one path are one run.

    Args:
        log_dir: Folder of the run; `tensorboard --logdir` takes its parent. It must not be occupied
            by files: nothing is overwritten.
        surface: A `keras_valleys.surfaces.Surface` over all weights of the path.
        trajectory: A `keras_valleys.trajectories.Trajectory`, or the recorder that has it.
        hparams: Dictionary of hyperparameters to list, such as `{"learning_rate": 0.05}`.
        images: As for `SurfaceBoard`.
        valleys: As for `SurfaceBoard`.
        persistence: As for `SurfaceBoard`.

    Returns:
        The absolute path of the folder.

    Raises:
        ValueError: At once, and before anything is written: a path without rows, before step 0 or
            over another number of weights than the surface, a folder in use, hyperparameters that
            TensorBoard cannot list, another impossible argument.

    Example:

    >>> wave = keras_valleys.surfaces.Surface([1.0, 0.0, 1.0], [[-1, 0, 1]], [[1.0]], [0.0])
    >>> path = keras_valleys.trajectories.Trajectory([0, 1], [[0.8], [0.4]], [0.64, np.nan], "SGD")
    >>> log_dir = os.path.join(tempfile.mkdtemp(), "run")
    >>> folder = keras_valleys.callbacks.write_run(log_dir, wave, path, images=2)
    >>> len(os.listdir(folder))
    1
    """
    check_kind("write_run", "surface", surface=surface)
    path = as_trajectory("write_run", trajectory)
    _check_path(path, surface)
    _check_unused(absolute_path(log_dir))
    options = {"images": images, "valleys": valleys, "persistence": persistence}
    return FinishedPath(log_dir, surface, path, hparams=hparams, **options).write()


class FinishedPath(SurfaceBoard):
    """A board whose rows come from a path instead of a fit.

    Args:
        log_dir: Folder of the run.
        surface: A `Surface`.
        path: A `Trajectory` with at least one row.
        **options: As for `SurfaceBoard`.
    """

    _owner = "write_run"

    def __init__(self, log_dir, surface, path, **options):
        self._trajectory, self._loss_kind = path, path.loss_kind
        super().__init__(log_dir, surface, **options)

    @property
    def loss_source(self):
        path = self._trajectory
        if path.loss_kind == "recorded" and path.loss_source:
            return path.loss_source
        if np.all(np.isnan(path.losses)):
            return path.loss_source or "not known"
        return f"{kind_words([path])}{': ' * bool(path.loss_source)}{path.loss_source}"

    def write(self):
        """Write the whole run, and return its folder."""
        path = self._trajectory
        self._name_axes(path.weights.shape[1])
        self.on_fit_begin()
        self._run.schedule = Schedule(self.images, int(path.steps[-1] - path.steps[0]))
        *rows, final = rows_of(path)
        self._begin_at(self._place(rows[0] if rows else final))
        for row in rows:
            self.on_row(row)
        self.on_final(final)
        return self.log_dir

    def _run_label(self):
        return self._trajectory.label

    def _settings(self):
        label = self._trajectory.label
        named = {"optimizer" if _is_optimizer(label) else "label": label} if label else {}
        given = {name: self.hparams[name] for name in OF_THE_OPTIMIZER if name in self.hparams}
        return {**named, **given}

    def _final_loss(self, final):
        return final.loss if self._loss_kind == "true" else None


def rows_of(path: Trajectory) -> list[Row]:
    """The rows of a path as a fit hands them on; their weights are views."""
    known, moved = known_losses(path).tolist(), np.isin(path.steps, path.no_steps).tolist()
    steps, losses = path.steps.tolist(), path.losses.tolist()
    return [
        Row(step, path.weights[k], losses[k], known[k], no_step=moved[k])
        for k, step in enumerate(steps)
    ]


def known_losses(path: Trajectory) -> np.ndarray:
    """Booleans of shape `(T+1,)`: whether the loss of a row is known.

    NaN says that it is not. But where the weights are not finite, there or after the step that is
    made from there, it is what the loss was. No step was made from the last row, and so it has no
    recorded loss. Of a path without any loss none is known.
    """
    lost = ~np.all(np.isfinite(path.weights), axis=1)
    lost[:-1] |= lost[1:]
    lost[-1] &= path.loss_kind == "true"
    given = ~np.isnan(path.losses)
    return given | (lost & given.any())


def _is_optimizer(label):
    kind = getattr(keras.optimizers, label, None)
    return isinstance(kind, type) and issubclass(kind, keras.optimizers.Optimizer)


def _check_path(path, surface):
    shapes = path.steps.shape, path.losses.shape
    if path.weights.ndim != 2 or shapes != (path.weights.shape[:1],) * 2:
        raise refusal(
            "write_run",
            "one path, with a weight vector and a loss for each step",
            f"steps {path.steps.shape}, weights {path.weights.shape}, losses {path.losses.shape}",
            "Of descents, `keras_valleys.trajectories.Trajectory(found.steps, found.paths[:, k], "
            "losses)` is one.",
        )
    size = surface.origin.size
    if path.weights.shape[1] != size or not len(path.steps):
        raise refusal(
            "write_run",
            f"a path of at least one row over the surface's {size} weights",
            f"{len(path.steps)} rows of {path.weights.shape[1]} weights",
            "Record all trainable weights, or evaluate the surface over the recorded ones.",
        )
    if path.steps[0] < 0:
        raise refusal(
            "write_run",
            "steps from 0 on",
            {"steps": path.steps},
            "Count the updates made before each row.",
        )


def _check_unused(log_dir):
    try:
        check_free(log_dir)
    except (FileExistsError, NotADirectoryError) as error:
        raise refusal(
            "write_run",
            "a `log_dir` that is not in use",
            f"{log_dir!r}, in which there are files, or which is one",
            "Give each run a folder of its own, or delete the old one first.",
        ) from error
    except OSError:  # it is not there yet; what the disk refuses is told when it is written
        return
