"""Descents side by side: one variable of many weight vectors, one Keras optimizer, one loop."""

import time

import keras
import numpy as np
from keras import ops

from keras_valleys._backends import build, gradients, pays_together, updated
from keras_valleys._sampling import Progress
from keras_valleys._weights import to_numpy

MOST = 1024  # starts at once: more are no faster
TOGETHER_BYTES = 2**25  # of values in one step, where starts go through the model together
STATE_BYTES = 2**28  # of weights and of what the optimizer keeps for each, about four times as much
WORK = 2**31  # values in one call, so that progress is seen and kept


class Ground:
    """An objective as ground to walk on: how many starts go together, and how they are held.

    Args:
        objective: A `keras_valleys.objectives.Objective`.
        owner: Name of the asking function, for the error messages.
    """

    def __init__(self, objective, owner):
        self.objective, self.owner = objective, owner
        _check_objective(objective, owner)
        self.together = pays_together(objective.num_values) and self._tries_together()
        self.constraint = _constraint_of(objective)

    def chunk(self, num, steps):
        """How many of `num` starts are walked at once."""
        size, values = self.objective.size, self.objective.num_values + self.objective.size
        most = min(num, MOST, STATE_BYTES // (4 * 8 * size))
        if self.together:
            return max(min(most, TOGETHER_BYTES // (4 * values)), 1)
        return max(min(most, max(WORK // (values * steps), 16)), 1)

    def _tries_together(self):
        """Whether the layers run under the backend's vectorization, and to the same values."""
        point = self.objective.point()
        rows = np.stack([point, 0.99 * point + 0.01])
        try:
            found = self.objective.compute(_gradients_together, rows)
        except Exception:  # each layer has its own way not to run
            return False
        expected = self.objective.compute(_gradients_in_turn, rows)
        scale = np.abs(expected).max()
        return bool(np.allclose(found, expected, rtol=1e-4, atol=1e-5 * scale, equal_nan=True))


class Walker:
    """An optimizer that walks from `num` starts at once, again and again.

    Args:
        ground: A `Ground`.
        make: Function that makes the optimizer.
        num: Number of starts.
    """

    def __init__(self, ground, make, num):
        self._ground, self._make = ground, make
        self._num, self._dtype, self.compiled = num, ground.objective.dtype, False
        self._optimizer, self._weights = self._begin(np.zeros((num, ground.objective.size)), None)
        self._advance = ground.objective.prepare(self._after)

    def __call__(self, starts, steps, marks=(), learning_rate=None):
        """The weights after each number of steps in `marks`, and at last as `fit` leaves them.

        Returns:
            Array of shape `(len(starts), len(marks) + 1, P)`.
        """
        padding = np.repeat(starts[-1:], self._num - len(starts), axis=0)
        fresh, weights = self._begin(np.concatenate([starts, padding]), learning_rate)
        values = [to_numpy(variable) for variable in [weights, *fresh.variables]]
        kept, done, self.compiled = [], 0, True
        for mark in sorted({*marks, steps}):
            if mark > done:
                values = self._advance(*values, mark - done)
            done = mark
            if mark in marks:
                kept.append(values[0])
        return np.stack([*kept, self._finished(values)], axis=1)[: len(starts)]

    def _begin(self, starts, learning_rate):
        """An optimizer without a past; some begin from the weights that they are built on."""
        optimizer = self._make()
        if learning_rate is not None:
            optimizer.learning_rate = learning_rate
        weights = keras.Variable(starts, dtype=self._dtype, trainable=False, name="weights")
        weights.constraint = self._ground.constraint
        build(optimizer, weights)
        return optimizer, weights

    def _after(self, loss, *values):
        *values, num = values

        def gradients_at(rows):
            return gradients(loss, rows, together=self._ground.together)

        num = ops.cast(num, "int32")
        return tuple(updated(self._optimizer, self._weights, gradients_at, list(values), num))

    def _finished(self, values):
        """What `fit` does last: an average of the weights may take their place."""
        for variable, value in zip(
            [self._weights, *self._optimizer.variables], values, strict=True
        ):
            variable.assign(value)
        self._optimizer.finalize_variable_values([self._weights])
        return np.array(to_numpy(self._weights))


class Walks:
    """All that is walked in one call: the starts, how far, and what is kept.

    Args:
        ground: A `Ground`.
        starts: Array of shape `(K, P)`.
        steps: Number of steps.
        marks: Numbers of steps after which weights are kept.
    """

    def __init__(self, ground, starts, steps, marks=()):
        self._ground, self._starts, self._steps, self._marks = ground, starts, steps, marks
        self._chunk = ground.chunk(len(starts), steps)

    def run(self, optimizers, checkpoint, verbose):
        """Walk from all starts under one optimizer and learning rate after the other.

        Args:
            optimizers: Pairs of a function that makes an optimizer, and a list of its learning
                rates, `None` for its own.
            checkpoint: A `Checkpoint`.
            verbose: "auto", 0 or 1.

        Yields:
            Array of shape `(K, len(marks) + 1, P)` for each optimizer and learning rate.
        """
        total = len(self._starts) * sum(len(rates) for _, rates in optimizers)
        progress = Progress(verbose, total, total, "start")
        for make, rates in optimizers:
            walker = Walker(self._ground, make, self._chunk)
            for rate in rates:
                try:
                    self._walk(walker, rate, checkpoint, progress)
                finally:  # what is finished outlives an error, and Ctrl-C
                    checkpoint.write()
                yield checkpoint.losses()

    def _walk(self, walker, rate, checkpoint, progress):
        pending = checkpoint.begin(len(self._starts))
        if len(pending) < len(self._starts):
            progress.add(len(self._starts) - len(pending), None)
        for first in range(0, len(pending), self._chunk):
            part = pending[first : first + self._chunk]
            begin, compiles = time.perf_counter(), not walker.compiled
            found = walker(self._starts[part], self._steps, self._marks, rate)
            checkpoint.put(part, found)
            seconds = (time.perf_counter() - begin) / self._chunk  # the last one is padded
            progress.add(len(part), None if compiles else seconds)


def _gradients_together(loss, rows):
    return gradients(loss, rows, together=True)


def _gradients_in_turn(loss, rows):
    return gradients(loss, rows, together=False)


def _check_objective(objective, owner):
    if objective.num_batches != 1:
        raise ValueError(
            f"`{owner}` expects data in one batch: each step takes the gradient on all rows. "
            f"Received: {objective.num_batches} batches. Give `Objective` arrays and "
            f"batch_size={objective.num_rows}, or fewer rows."
        )
    dtypes = {keras.backend.standardize_dtype(v.dtype) for v in objective.variables}
    if dtypes != {objective.dtype}:
        raise ValueError(
            f"`{owner}` expects all weights in {objective.dtype}, as one variable holds them. "
            f"Received: weights in {sorted(dtypes)}. Build the model under one dtype policy, with "
            "float32 or float64 variables."
        )


def _constraint_of(objective):
    """The constraints of the model's variables as one of rows of weights, or `None`."""
    constraints = [variable.constraint for variable in objective.variables]
    if not any(constraints):
        return None

    def constrained(row):
        parts = [
            ops.reshape(row[s], z) for s, z in zip(objective.slices, objective.shapes, strict=True)
        ]
        pairs = zip(constraints, parts, strict=True)
        return ops.concatenate([ops.reshape(a if c is None else c(a), (-1,)) for c, a in pairs])

    point = objective.point()
    rows = ops.convert_to_tensor(np.stack([point, -1.9 * point + 0.7]))
    expected = to_numpy(ops.stack([constrained(row) for row in rows]))
    mapped = ops.map
    try:
        found = to_numpy(ops.vectorized_map(constrained, rows))
        if np.allclose(found, expected, rtol=1e-6, equal_nan=True):
            mapped = ops.vectorized_map
    except Exception:  # each constraint has its own way not to run
        mapped = ops.map
    return lambda weights: mapped(constrained, ops.convert_to_tensor(weights.value))
