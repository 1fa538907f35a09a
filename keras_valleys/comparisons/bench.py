"""One model that is trained again and again, each time from the same state."""

import dataclasses
import time
import warnings

import keras
import numpy as np

from keras_valleys._arrays import as_arrays, as_fit_takes
from keras_valleys._backend import random_numbers_apart
from keras_valleys._checks import refusal
from keras_valleys._fingerprints import description
from keras_valleys._weights import layers_of, states_of, to_numpy, variables_of
from keras_valleys.datasets import repeat
from keras_valleys.objectives import Objective
from keras_valleys.trajectories import Trajectory, measured

MAX_REASON = 300  # characters


@dataclasses.dataclass(frozen=True)
class Fit:
    """What one call of `model.fit` did.

    Attributes:
        trajectory: The path, with the losses of all rows of data at each of its weights.
        clock: Seconds from the end of the first step, which compiles, to each row of the path.
        seconds: Wall time of the call.
        error: Why it ended early, or "".
        folder: Folder of its files, or `None`.
    """

    trajectory: Trajectory
    clock: np.ndarray
    seconds: float
    error: str = ""
    folder: str | None = None


class Bench:
    """A built and compiled model, its data, and the state that every fit starts from.

    Args:
        model: The model; `close` gives it back as it was.
        x: Array of shape `(N, ...)`, or a structure of these.
        y: As `x`.
        steps: Number of steps of a fit.
        batch_size: Rows of a step; `None` takes all.
        every: Steps from one recorded row to the next.
    """

    def __init__(self, model, x, y, steps, *, batch_size=None, every=1):
        # Stateful layers are built for one size of batches.
        self.objective = Objective(
            model, x, y, batch_size=batch_size if states_of(layers_of(model)) else None
        )
        self.model = model
        self.batches = Batches(x, y, steps, batch_size)
        self._every = every
        self._given = model.optimizer
        self._initial = [(v, np.array(to_numpy(v))) for v in variables_of(model)]
        self._seeds = [v for v in model.variables if v.path.endswith("seed_generator_state")]
        self._key = None  # of the optimizer that the model is compiled with

    @property
    def is_random(self):
        """Whether a seed changes anything."""
        return self.batches.are_drawn or bool(self._seeds)

    def identity(self):
        """Text about all that a fit depends on but the optimizer, the start and the seed.

        To be asked before the first fit: some of it is in the model's state.
        """
        with warnings.catch_warnings():  # of lambdas, whose code is in the text
            warnings.simplefilter("ignore")
            try:
                compiled = self.model.get_compile_config()
            except Exception:  # a loss that Keras cannot serialize
                compiled = {}
        compiled.pop("optimizer", None)
        order = [len(self.batches), self.batches.batch_size, self._every]
        return description([self.objective.signature(), compiled, order])

    def fit(self, job, *, board=None):
        """Train as a `Job` says, and take what comes of it as a `Fit`.

        Args:
            job: The optimizer, its learning rate, the flat weight vector to start from, the seed.
            board: A `keras_valleys.callbacks.SurfaceBoard`, or `None`.
        """
        from keras_valleys.callbacks import TrajectoryRecorder

        clock = _Clock()
        recorder = TrajectoryRecorder(self._every, label=job.candidate.label)
        begin, error = None, ""
        try:
            self._reset(job.point, job.seed)
            self._equip(job.candidate, job.rate)
            self.batches.shuffle(job.seed)
            begin = time.perf_counter()
            with random_numbers_apart() as set_seed:
                # Only when training begins: the first fit of a model draws some before.
                first = keras.callbacks.LambdaCallback(
                    on_train_begin=lambda logs: set_seed(job.seed)
                )
                callbacks = [first, clock, recorder, *([board] if board else [])]
                self.model.fit(self.batches, verbose=0, shuffle=False, callbacks=callbacks)
        except Exception as failure:  # it is told in the table, and the others are run
            self._key, error = None, _in_words(failure)
        seconds = 0.0 if begin is None else time.perf_counter() - begin
        path = recorder.trajectory
        # Each row is measured with its own weights and statistics; the states of stateful layers
        # are those of the start, and after an error JAX has given up the values.
        self._reset(job.point, job.seed)
        if len(path):
            path = measured(path, self.objective)
        folder = None if board is None else str(board.log_dir)
        return Fit(path, clock.at(path.steps), seconds, error, folder)

    def close(self):
        """Give the model back as it was."""
        for variable, value in self._initial:
            variable.assign(value)
        self.model.optimizer, self.model.train_function = self._given, None

    def _reset(self, point, seed):
        for variable, value in self._initial:
            variable.assign(value)
        for variable, value in zip(
            self.objective.variables, self.objective.split(point), strict=True
        ):
            variable.assign(value)
        for number, variable in enumerate(self._seeds):
            drawn = np.random.default_rng([seed, number]).integers(2**31)
            variable.assign(np.array([drawn, 0], keras.backend.standardize_dtype(variable.dtype)))

    def _equip(self, candidate, rate):
        """Give the model a new optimizer, or the old one its state: that saves a compilation."""
        optimizer = candidate.fresh(rate)
        wrap = keras.optimizers.LossScaleOptimizer
        scaled = isinstance(self._given, wrap) and "float16" in self.model.dtype_policy.name
        if scaled and not isinstance(optimizer, wrap):
            optimizer = wrap(optimizer)  # as `compile` did
        if candidate.label == self._key and _is_plain(optimizer):
            optimizer.build(self.model.trainable_variables)
            for old, new in zip(self.model.optimizer.variables, optimizer.variables, strict=True):
                old.assign(np.array(to_numpy(new)))
        else:
            self.model.optimizer, self.model.train_function = optimizer, None
            self._key = candidate.label


class Batches(keras.utils.PyDataset):
    """The batches of `keras_valleys.datasets.repeat`, one after the other, without a copy of all.

    Args:
        x: Array of shape `(N, ...)`, or a structure of these.
        y: As `x`.
        steps: Number of batches.
        batch_size: Rows of a batch; `None` takes all, in their order.
    """

    def __init__(self, x, y, steps, batch_size):
        super().__init__()
        self._data = (_as_rows("x", x), _as_rows("y", y))
        self._steps, self._rows = steps, int(keras.tree.flatten(self._data)[0].shape[0])
        self.batch_size = self._rows if batch_size is None else batch_size
        whole = isinstance(batch_size, int | np.integer) and not isinstance(batch_size, bool)
        if batch_size is not None and not (whole and 1 <= batch_size <= self._rows):
            raise refusal(
                "compare",
                f"`batch_size` to be an integer from 1 to {self._rows}, the rows, or None",
                {"batch_size": batch_size},
                "Use None for all rows.",
            )
        self._order = None

    @property
    def are_drawn(self):
        """Whether the batches depend on a seed."""
        return self.batch_size < self._rows

    def shuffle(self, seed):
        """Take the order of a seed."""
        if self.are_drawn:
            rows = np.arange(self._rows)
            self._order, _ = repeat(rows, rows, self._steps, self.batch_size, seed)

    def __len__(self):
        return self._steps

    def __getitem__(self, step):
        rows = slice(None)
        if self._order is not None:
            rows = self._order[step * self.batch_size : (step + 1) * self.batch_size]
        return keras.tree.map_structure(
            lambda a: a if a is None else as_fit_takes(a[rows]), self._data
        )


class _Clock(keras.callbacks.Callback):
    """When each step began."""

    def __init__(self):
        super().__init__()
        self._times = {}

    def on_train_batch_begin(self, batch, logs=None):
        self._times[batch] = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self._times[self.params["steps"]] = time.perf_counter()

    def at(self, steps):
        """The seconds from the begin of the second step to that of each of some."""
        begins = sorted(self._times)
        start = self._times[begins[min(1, len(begins) - 1)]] if begins else 0.0
        times = [self._times.get(int(step), np.nan) - start for step in steps]
        return np.maximum(np.array(times), 0.0)


def _as_rows(name, given):
    rows = as_arrays("compare", name, given)
    if any(a is not None and not a.shape for a in keras.tree.flatten(rows)):
        raise refusal(
            "compare",
            "`x` and `y` to be arrays of one row per sample, or dictionaries or lists of these",
            type(given).__name__,
            "Convert it to an array.",
        )
    return rows


def _is_plain(optimizer):
    """Whether the variables of an optimizer are all its state, and begin as constants.

    Not known of other authors' optimizers, and not so for ScheduleFreeAdamW: its momentum begins as
    the weights, but for a `fit` on TensorFlow, which loses that.
    """
    kind = type(optimizer)
    return kind.__module__.startswith("keras.") and kind.__name__ != "ScheduleFreeAdamW"


def _in_words(failure):
    name, text = type(failure).__name__, " ".join(str(failure).split())
    if len(text) > MAX_REASON:
        text = text[: MAX_REASON - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return f"{name}: {text}" if text else name
