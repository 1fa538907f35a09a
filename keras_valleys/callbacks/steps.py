"""The steps of a fit: the weights before each, and its loss."""

import collections
import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_valleys._backend import vector_reader
from keras_valleys._checks import check_whole, refusal
from keras_valleys._results import same
from keras_valleys._weights import select, statistics_of
from keras_valleys.callbacks.counting import StepCount
from keras_valleys.callbacks.losses import UNSEEN, Logged, StepLosses, logs_its_own
from keras_valleys.callbacks.train_steps import Mover, in_use

NOTHING = np.empty(0, "float32")  # of a model without statistics
Selected: TypeAlias = str | keras.Variable | keras.layers.Layer
Selection: TypeAlias = Selected | Sequence[Selected] | None  # which weights, as a user names them


@dataclasses.dataclass(slots=True)
class Row:
    """The state before one step of `model.fit`, and what is known of that step.

    Args:
        step: Number of steps made before.
        weights: Array of shape `(P,)`: the flat weights before the step.
        loss: The step's loss, of its batch, at these weights; NaN where it is not known.
        known: Whether `loss` is known: a known NaN is what the step had.
        statistics: Array of shape `(Q,)`: what training moves without a gradient, before the step;
            empty where the callback does not read it.
        no_step: Whether something else than the step before led here: weights averaged or restored
            at the end of `fit`, or set between two fits.

    Example:

    >>> keras_valleys.callbacks.Row(step=0, weights=np.array([0.8]), loss=0.61, known=True).step
    0
    """

    step: int
    weights: np.ndarray
    loss: float = math.nan
    known: bool = False
    statistics: np.ndarray = dataclasses.field(default_factory=lambda: NOTHING)
    no_step: bool = False


class StepCallback(keras.callbacks.Callback):
    """Base of callbacks that measure something at each step of `model.fit`.

    A subclass fills `on_row`, and `on_final` and `on_fit_begin` where it likes, and calls
    `super()` in Keras' own hooks where it needs these too. The rows are the same on each backend,
    for arrays, generators and data sets, with validation, several fits, accumulated gradients, and
    optimizers that average the weights; what Keras does not show is left out or not known, and
    never made up. Neither the history nor the weights of the run are changed. Given twice in one
    list of callbacks it counts once.

    The losses are exact if the model is compiled with `keras_valleys.metrics.StepLoss`, else as
    `TrajectoryRecorder` says; `loss_source` tells where they came from. With
    `steps_per_execution=k` only every k-th state is seen, and no loss belongs to it.

    Args:
        every: Read only every so many steps, for large models; the final weights always.
        weights: Read only some of the trainable weights: a list of variables, layers, or names
            such as "dense", "dense/kernel" or "kernel", each of which selects the variables with
            that name or layer in their path. `None` reads all.
        statistics: Read also what training moves without a gradient, such as the means of
            BatchNormalization.

    Raises:
        ValueError: At once for an impossible argument, at the start of fit for names that select
            nothing and for other weights than those read so far.

    Example:

    >>> class Rises(keras_valleys.callbacks.StepCallback):
    ...     num_rises, last = 0, np.inf
    ...     def on_row(self, row):
    ...         self.num_rises += int(row.loss > self.last)
    ...         self.last = row.loss
    >>> (x, y), _ = keras_valleys.datasets.rosette()
    >>> model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    >>> model.compile(keras.optimizers.SGD(0.05), keras_valleys.losses.RootError())
    >>> rises = Rises()
    >>> history = model.fit(x, y, batch_size=670, epochs=9, callbacks=[rises], verbose=0)
    >>> rises.num_rises
    1
    """

    def __init__(
        self, every: int = 1, weights: Selection = None, *, statistics: bool = False
    ) -> None:
        super().__init__()
        check_whole(type(self).__name__, 1, every=every)
        self.every = every
        self.weights = weights
        # All state is in it: names stay free.
        self._step_reader = StepReader(every, self._select, statistics)

    def on_fit_begin(self) -> None:
        """Called before the first step of each fit. Fill it in a subclass."""

    def on_row(self, row: Row) -> None:
        """Called once for each row, in order, when its loss is known. Fill it in a subclass.

        That is while the next step begins, or at the end of the epoch.

        Args:
            row: A `Row`; it is yours to keep.
        """

    def on_final(self, row: Row) -> None:
        """Called when a fit has ended without an error. Fill it in a subclass.

        That is after `on_train_end` of all callbacks, in whatever order they stand; a `History` of
        your own has to stand last.

        Args:
            row: A `Row` with the weights that the model has after fit; it has no loss. Its
                `no_step` tells whether these are others than those after the last step, as where
                `EarlyStopping` has restored the best ones. What a callback that stands before this
                one sets in `on_epoch_end` is taken for the step's.
        """

    @property
    def loss_source(self) -> str:
        """Where the losses of the rows came from, in words."""
        return "; ".join(self._step_reader.sources)

    @property
    def rows_ahead(self) -> list[Row]:
        """The rows that `on_row` has not been given yet.

        During a step and after an error the row whose loss is not known yet, else the state after
        the last step or, where it has ended, after fit.
        """
        return self._step_reader.rows_ahead

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self._step_reader.train_begin(self.model, self.params):
            hand_on(self)
            self.on_fit_begin()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._step_reader.epoch_begin(self.model, (self.params or {}).get("steps"))

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if self._step_reader.begins(batch):
            self._step_reader.batch_begin(self.model, batch)
            hand_on(self)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._step_reader.batch_end(batch, logs)

    def on_test_begin(self, logs: dict | None = None) -> None:
        if self._step_reader.data_ended():
            self._step_reader.evaluation_begin(self.model)
            hand_on(self)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._step_reader.epoch_end(self.model)
        hand_on(self)

    def on_train_end(self, logs: dict | None = None) -> None:
        model = self.model
        if self._step_reader.train_end(model):
            hand_on(self)
            history = self._step_reader.history_behind(model)
            if history is None:
                finish(self)
            else:  # callbacks that stand behind this one may still change the weights
                call_after(history, lambda: finish(self))

    def _select(self, model):
        """The variables whose values a row holds."""
        return select(type(self).__name__, model.trainable_variables, weights=self.weights)


# Functions and not methods, whose names a subclass may want.


def hand_on(callback):
    """Give a callback the rows whose losses are known."""
    settled = callback._step_reader.settled
    while settled:
        callback.on_row(settled.popleft())


def finish(callback):
    """Give a callback its last row, when all callbacks have ended."""
    callback.on_final(callback._step_reader.read_final())


def call_after(history, function):
    """Call a function once, when all callbacks of a fit have ended.

    Keras' `History` is the last callback that can change anything; it has no end of its own.
    """
    waiting = vars(history).get("on_train_end")  # a function of another callback

    def on_train_end(logs=None):
        del history.on_train_end
        if waiting is not None:
            history.on_train_end = waiting
        history.on_train_end(logs)
        function()

    history.on_train_end = on_train_end


class StepReader:
    """Reads the rows of a callback's fits.

    On JAX each access to a callback's model copies the whole state back: each method is given it
    once, and asked first whether it needs it. Logs come from any thread on JAX and torch,
    where the model must not be touched: `batch_end` only keeps them.

    Args:
        every: Rows are read at every so many steps.
        select: Function from a built model to the list of variables to read.
        with_statistics: Whether to read statistics as well.
    """

    def __init__(self, every, select, with_statistics=False):
        self.settled: collections.deque = collections.deque()  # rows to hand on
        self.sources = []  # where losses came from
        self._every, self._select = every, select
        self._count = StepCount()
        self._open = []  # pairs, in order: a row whose loss is not known yet, and its `Logged`
        self._opened = {}  # last batch of an execution -> its `Logged`, until the logs are here
        self._latest = None  # the `Logged` that waits for the tracker's values after its step
        self._last = None  # the row after the last step of an epoch, until a next step follows
        self._final = None  # the row after fit, until a next step follows
        self._due = self._due_before = 0  # when to read next, and what that was before the last row
        self._fit = None  # the model and parameters of a fit, from its begin to its first epoch
        self._in_fit = self._is_first = False
        self._was_moved = False  # whether the next row is one that no step led to
        self._epochs = None  # those that the model's History had seen when the fit began
        self._watches = False  # whether the weights do not tell if a step that began was made
        self._witness = None  # what the loss tracker told before such a step
        self._variables: Any = None
        self._values: Any = None  # function without arguments: weights and statistics in one array
        self._num_weights = 0
        self._with_statistics = with_statistics
        self.statistics: list = []  # the variables
        self._losses: Any = None
        self._mover: Any = None
        self._known = None  # the variables of the first fit

    def __getstate__(self):
        return {**self.__dict__, "_values": None}  # a function: made anew in the next fit

    @property
    def optimizer(self):
        """The optimizer that moves the weights, from the first row on; `None` for none."""
        return None if self._mover is None else self._mover.found

    @property
    def rows_ahead(self):
        """The rows that are not settled, else those at the end."""
        if self._open:
            return [row for row, _ in self._open]
        end = self._final or self._last
        return [] if end is None else [end]

    def slow_down(self, every):
        """Read rows only at every so many steps from the next one on."""
        self._every = every

    def train_begin(self, model, params):
        """Meet the model of a new fit; `False` where the same callback begins a second time.

        Args:
            model: The model.
            params: The callback's parameters, which are one object within a fit.
        """
        if self._fit is not None and self._fit[0] is model and self._fit[1] is params:
            return False
        self._finish_latest()  # an exception may have ended the last fit within an epoch
        self._settle()
        self._count.fit_begin(model, self._left_traces(model))
        self._drop_unmade_step()
        self._opened, self._variables, self._losses, self._mover = {}, None, None, None
        self._fit, self._in_fit, self._is_first = (model, params), True, True
        self._epochs = getattr(getattr(model, "history", None), "epoch", None)
        if model.built:
            self._meet(model)
        return True

    def epoch_begin(self, model, num_steps):
        """Start an epoch: Keras has reset the loss tracker.

        `num_steps` is the number of steps of an epoch, where Keras knows it.
        """
        self._fit = self._witness = None
        self._count.epoch_begin(model, num_steps)
        self._watches = self._count.may_lack_data and (self._every > 1 or _accumulates(model))

    def begins(self, batch):
        """Note that a batch begins, and tell whether anything is to be read before it."""
        step = self._count.begin(batch)
        if step is None:
            return False
        return step >= self._due or self._latest is not None or self._watches or self._is_first

    def batch_begin(self, model, batch):
        """Read the state before a step, where a row is due."""
        step = self._count.made + batch
        if self._variables is None and not self._meet(model):
            warnings.warn(
                "The model has no weights before its first step, so that step is not recorded. "
                "Call the model on a batch of data before `fit`, or start it with `keras.Input`.",
                stacklevel=2,
            )
            self._due, self._is_first = step + 1, False
            return
        tracked = self._finish_latest()
        self._settle()
        if self._is_first:
            self._is_first, self._was_moved = False, self._is_elsewhere(step)
        if self._watches:
            self._witness = tracked = tracked or self._losses.read()
        if step >= self._due:
            self._due_before, self._due = self._due, (step // self._every + 1) * self._every
            needed = batch == 0 or self._every > 1 or self._losses.need_tracker
            before = (tracked or self._losses.read()) if needed else None
            self._latest = Logged(batch, before)
            row = self._row(step, self._was_moved)
            self._last = self._final = None
            self._was_moved = False
            self._open.append((row, self._latest))
            self._opened[batch + self._count.stride - 1] = self._latest

    def batch_end(self, batch, logs):
        """Keep the logs; nothing else is safe here."""
        self._count.end(batch)
        if batch in self._opened:
            self._opened[batch].logs = dict(logs or {})

    def data_ended(self):
        """Note that a validation begins, and tell whether the loss tracker is to be read before."""
        self._count.data_ended()
        return self._latest is not None

    def evaluation_begin(self, model):
        """Read the loss tracker before the validation resets it."""
        self._finish_latest()
        self._settle()

    def epoch_end(self, model):
        """Settle the epoch's rows and read the state after its last step."""
        if self._variables is None and not self._meet(model):
            return
        self._finish_latest()
        self._settle()
        self._drop_unmade_step()
        self._opened, self._witness = {}, None
        if self._count.epoch_end(model) or self._last is None:
            self._last, self._final = self._row(self._count.made), None

    def train_end(self, model):
        """Read the state after fit, as it is now; `False` where that was asked before."""
        if not self._in_fit or self._variables is None or model is None:
            return False
        self._finish_latest()  # in a loop of one's own that has no epochs
        self._settle()
        self._fit, self._in_fit, self._losses, self._witness = None, False, None, None
        self._mover.end()
        self.read_final()
        return True

    def read_final(self):
        """The row of the model after fit."""
        made = self._count.made
        moved = self._was_moved or self._is_elsewhere(made)
        self._final = self._row(made, moved)
        return self._final

    def history_behind(self, model):
        """The `History` of this fit if it is called after the callback, else `None`.

        It makes a new list of epochs when its fit begins.
        """
        history = getattr(model, "history", None)
        if not isinstance(history, keras.callbacks.History):
            return None
        return None if getattr(history, "epoch", None) is self._epochs else history

    def _is_elsewhere(self, step):
        """Whether the weights are others than the last step of an epoch or fit has left."""
        last = self._last
        if last is None or last.step != step:
            return False
        return not np.array_equal(last.weights, self._flat(), equal_nan=True)

    def _row(self, step, no_step=False):
        """The state now."""
        values, num = self._values(), self._num_weights
        return Row(step, values[:num], no_step=no_step, statistics=values[num:])

    def _flat(self):
        """The weights now."""
        return self._values()[: self._num_weights]

    def _meet(self, model):
        if not model.built or not model.trainable_variables:
            return False
        self._variables = self._select(model)
        # A callback that reads none still belongs to one model.
        known = self._variables or list(model.trainable_variables)
        self._known = self._known or known
        if len(known) != len(self._known) or any(
            a is not b for a, b in zip(known, self._known, strict=True)
        ):
            raise refusal(
                "A recording callback",
                "the same weights in each fit",
                f"other variables than in the fit before, {[v.path for v in known][:4]}",
                "Make a new callback for each model and for each set of trainable weights.",
            )
        self.statistics = statistics_of(model) if self._with_statistics else []
        read = [*self._variables, *self.statistics]
        self._values = vector_reader(read) if read else lambda: np.empty(0)
        self._num_weights = sum(math.prod(variable.shape) for variable in self._variables)
        metrics, optimizers = (), None
        if logs_its_own(model):
            metrics, optimizers = in_use(keras.metrics.Metric, keras.optimizers.Optimizer)
        self._losses = StepLosses(model, metrics)
        self._mover = Mover(model, optimizers)
        return True

    def _left_traces(self, model):
        """Whether the step that began last has changed anything, `None` where that is not seen."""
        if self._values is None:
            return None
        witness, self._witness = self._witness, None
        if witness and not same(self._losses.read(), witness):  # a NaN stays one
            return True
        if self._open and self._open[-1][1].logs is None:
            row, _ = self._open[-1]
            if not np.array_equal(row.weights, self._flat(), equal_nan=True):
                return True
            return False if witness or not _accumulates(model) else None
        return False if witness else None

    def _finish_latest(self):
        """Read the loss tracker after the latest step, where it was read before; return it."""
        latest, self._latest = self._latest, None
        if latest is None or latest.before is None:
            return None
        latest.after = self._losses.read()
        return latest.after

    def _drop_unmade_step(self):
        """Drop a last row that no update followed: its batch did not exist, or fit was ended."""
        if self._open:
            self._open.pop()
            self._due = self._due_before

    def _settle(self):
        """Give the rows whose logs have arrived their losses, in order."""
        while self._open:
            row, seen = self._open[0]
            if seen.logs is None or seen is self._latest:
                return
            source = UNSEEN
            if self._count.stride == 1:
                loss, source = self._losses.of(seen)
                row.known = loss is not None
                row.loss = loss if row.known else math.nan
            self._mover.look(self._variables or self._known)
            self.settled.append(row)
            del self._open[0]
            if source not in self.sources:
                self.sources.append(source)


def _accumulates(model):
    return bool(getattr(model.optimizer, "gradient_accumulation_steps", None))
