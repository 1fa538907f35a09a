"""The steps of a fit: the weights before each, and its loss."""

import collections
import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_valleys._checks import check_whole, refusal
from keras_valleys._weights import flattener, select, statistics_of, to_numpy
from keras_valleys.callbacks.losses import UNSEEN, Logged, StepLosses

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

    Example:

    >>> keras_valleys.callbacks.Row(step=0, weights=np.array([0.8]), loss=0.61, known=True).step
    0
    """

    step: int
    weights: np.ndarray
    loss: float = math.nan
    known: bool = False
    statistics: np.ndarray = dataclasses.field(default_factory=lambda: NOTHING)


class StepCallback(keras.callbacks.Callback):
    """Base of callbacks that measure something at each step of `model.fit`.

    A subclass fills `on_row`, and `on_final` and `on_fit_begin` where it likes, and calls
    `super()` in Keras' own hooks where it needs these too. The rows are the same on each backend,
    for arrays, generators and data sets, with validation, several fits, accumulated gradients, and
    optimizers that average the weights; what Keras does not show is left out or not known, and
    never made up. Neither the history nor the weights of the run are changed. Given twice in one
    list of callbacks it counts once.

    The losses are exact if the model is compiled with `keras_valleys.metrics.StepLoss`. Otherwise
    the running mean that Keras logs is undone, to float32 rounding, which grows with the steps of
    an epoch: 1e-4 after a thousand. `loss_source` says which. With `steps_per_execution=k` only
    every k-th state is seen, and no loss belongs to it.

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
        self._steps = StepReader(
            every, self._select, statistics
        )  # all state is in it: names stay free

    def on_fit_begin(self) -> None:
        """Called before the first step of each fit. Fill it in a subclass."""

    def on_row(self, row: Row) -> None:
        """Called once for each row, in order, when its loss is known. Fill it in a subclass.

        That is while the next step begins, or at the end of the epoch.

        Args:
            row: A `Row`; it is yours to keep.
        """

    def on_final(self, row: Row) -> None:
        """Called at the end of each fit that ends without an error. Fill it in a subclass.

        Args:
            row: A `Row` with the weights after the last step; it has no loss.
        """

    @property
    def loss_source(self) -> str:
        """Where the losses of the rows came from, in words."""
        return "; ".join(self._steps.sources)

    @property
    def rows_ahead(self) -> list[Row]:
        """The rows that `on_row` has not been given yet.

        During a step and after an error the row whose loss is not known yet, else the state after
        the last step.
        """
        return self._steps.rows_ahead

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self._steps.train_begin(self.model, self.params):
            self._hand_on()
            self.on_fit_begin()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._steps.epoch_begin(self.model)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if self._steps.begins(batch):
            self._steps.batch_begin(self.model, batch)
            self._hand_on()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._steps.batch_end(batch, logs)

    def on_test_begin(self, logs: dict | None = None) -> None:
        if self._steps.reads_before_evaluation:
            self._steps.evaluation_begin(self.model)
            self._hand_on()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._steps.epoch_end(self.model, (self.params or {}).get("steps"))
        self._hand_on()

    def on_train_end(self, logs: dict | None = None) -> None:
        final = self._steps.train_end(self.model)
        if final is not None:
            self.on_final(final)

    def _hand_on(self):
        settled = self._steps.settled
        while settled:
            self.on_row(settled.popleft())

    def _select(self, model):
        """The variables whose values a row holds."""
        return select(type(self).__name__, model.trainable_variables, weights=self.weights)


class StepReader:
    """Reads the rows of a callback's fits, and counts the steps.

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
        self._open = []  # pairs, in order: a row whose loss is not known yet, and its `Logged`
        self._opened = {}  # last batch of an execution -> its `Logged`, until the logs are here
        self._latest = None  # the `Logged` that waits for the tracker's values after its step
        self._final = None  # the row after the last step, until a next step follows
        self._step = 0  # steps made before the present epoch
        self._begun = None  # the batch of the present epoch that began last
        self._ends = set()  # last batch of each execution within it
        self._stride = 1  # steps per execution
        self._iterations = None  # the optimizer's count at the begin of the present epoch
        self._due = 0
        self._fit = None  # the model and parameters of a fit, from its begin to its first epoch
        self._in_fit = False
        self._variables: Any = None
        self._flat: Any = None
        self._with_statistics = with_statistics
        self._flat_statistics: Any = None
        self.statistics: list = []  # the variables
        self._losses: Any = None
        self._known = None  # the variables of the first fit

    def __getstate__(self):
        # Functions: made anew in the next fit.
        return {**self.__dict__, "_flat": None, "_flat_statistics": None}

    @property
    def rows_ahead(self):
        """The rows that are not settled, else the final one."""
        if self._open:
            return [row for row, _ in self._open]
        return [] if self._final is None else [self._final]

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
        self._drop_unmade_step()
        # A callback before this one may have raised at the end of a step, which was made.
        made, counted = len(self._ends) * self._stride, self._count_updates(model)
        self._step += made + 1 if self._stride == 1 and counted == made + 1 else made
        self._begun, self._ends, self._iterations = None, set(), None
        self._opened, self._variables, self._losses = {}, None, None
        self._stride = model.steps_per_execution
        self._fit, self._in_fit = (model, params), True
        if model.built:
            self._meet(model)
        return True

    def epoch_begin(self, model):
        """Start an epoch: Keras has reset the loss tracker."""
        self._fit, self._begun = None, None
        self._iterations = _iterations(model)

    def begins(self, batch):
        """Note that a batch begins, and tell whether anything is to be read before it."""
        if batch == self._begun:  # given twice
            return False
        self._begun = batch
        return self._step + batch >= self._due or self._latest is not None

    def batch_begin(self, model, batch):
        """Read the state before a step, where a row is due."""
        step = self._step + batch
        if self._variables is None and not self._meet(model):
            warnings.warn(
                "The model has no weights before its first step, so that step is not recorded. "
                "Call the model on a batch of data before `fit`, or start it with `keras.Input`.",
                stacklevel=2,
            )
            self._due = step + 1
            return
        tracked = self._finish_latest()
        self._settle()
        if step >= self._due:
            self._due = (step // self._every + 1) * self._every
            self._final = None
            needed = batch == 0 or self._every > 1 or self._losses.need_tracker
            before = (tracked or self._losses.read_tracker()) if needed else None
            self._latest = Logged(batch, before)
            self._open.append((self._row(step), self._latest))
            self._opened[batch + self._stride - 1] = self._latest

    def batch_end(self, batch, logs):
        """Keep the logs; nothing else is safe here."""
        self._ends.add(batch)
        if batch in self._opened:
            self._opened[batch].logs = dict(logs or {})

    @property
    def reads_before_evaluation(self):
        """Whether the loss tracker is to be read before an evaluation resets it."""
        return self._latest is not None

    def evaluation_begin(self, model):
        """Read the loss tracker before the validation resets it."""
        self._finish_latest()
        self._settle()

    def epoch_end(self, model, num_steps=None):
        """Settle the epoch's rows and read the state after its last step.

        `num_steps` is the number of steps of an epoch, where Keras knows it.
        """
        if self._variables is None and not self._meet(model):
            return
        self._finish_latest()
        self._settle()
        self._drop_unmade_step()
        self._opened = {}
        made = len(self._ends) * self._stride
        if self._stride > 1:  # the last execution may have been shorter than Keras says
            counted = self._count_updates(model) or 0
            plausible = made - self._stride < counted <= made
            made = counted if plausible else min(made, num_steps or made)
        self._step += made
        self._begun, self._ends, self._iterations = None, set(), None
        self._final = self._row(self._step)

    def train_end(self, model):
        """Read the final weights: some optimizers replace them after the last epoch.

        Returns the final row once for each fit, else `None`.
        """
        if not self._in_fit or self._variables is None or model is None:
            return None
        self._fit, self._in_fit = None, False
        self._final = self._row(self._step)
        return self._final

    def _row(self, step):
        """The state now."""
        row = Row(step, self._flat())
        if self.statistics:
            row.statistics = self._flat_statistics()
        return row

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
        self._flat = flattener(self._variables) if self._variables else lambda: np.empty(0)
        if self._with_statistics:
            self.statistics = statistics_of(model)
            self._flat_statistics = flattener(self.statistics) if self.statistics else None
        self._losses = StepLosses(model)
        return True

    def _count_updates(self, model):
        """The updates since the begin of the epoch, `None` where they are not the steps."""
        now = _iterations(model)
        return None if now is None or self._iterations is None else now - self._iterations

    def _finish_latest(self):
        """Read the loss tracker after the latest step, where it was read before; return it."""
        latest, self._latest = self._latest, None
        if latest is None or latest.before is None:
            return None
        latest.after = self._losses.read_tracker()
        return latest.after

    def _drop_unmade_step(self):
        """Drop a last row that no update followed: its batch did not exist, or fit was ended."""
        if self._open:
            row, _ = self._open.pop()
            self._due = row.step

    def _settle(self):
        """Give the rows whose logs have arrived their losses, in order."""
        while self._open:
            row, seen = self._open[0]
            if seen.logs is None or seen is self._latest:
                return
            source = UNSEEN
            if self._stride == 1:
                loss, source = self._losses.of(seen)
                row.known = loss is not None
                row.loss = loss if row.known else math.nan
            self.settled.append(row)
            del self._open[0]
            if source not in self.sources:
                self.sources.append(source)


def _iterations(model):
    """The optimizer's count of updates, where it makes one at each step."""
    optimizer = model.optimizer
    skips = getattr(optimizer, "gradient_accumulation_steps", None)
    if optimizer is None or skips or hasattr(optimizer, "inner_optimizer"):
        return None
    return int(to_numpy(optimizer.iterations))
