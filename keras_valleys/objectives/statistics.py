"""Statistics: what training moves without a gradient, such as the means of BatchNormalization."""

import contextlib
import functools
import inspect
import itertools

import keras
import numpy as np
from keras import ops

from keras_valleys._checks import refusal
from keras_valleys._weights import flatten, in_order, number_names, own_statistics

MODES = ("held", "batch", "reestimated")
MOST_PASSES = 40  # of a model that calls a layer more than once
CLOSE = 1e-5  # relative to the spread of a number: float32 knows no better


class Statistics:
    """The statistics of a model, and how its loss is evaluated with them.

    Args:
        model: A built Keras model.
        layers: The model and all layers within it.
        mode: "held": they keep their values. "batch": layers that move statistics use those of the
            batch, as in training. "reestimated": BatchNormalization uses those of all rows.
        forward: Function that runs the model on a batch in training mode, for its moves alone.

    Attributes:
        variables: The variables, in the order of the model's layers.
        layers: The layers that move some of them in training.
    """

    def __init__(self, model, layers, mode, forward):
        owners = {layer: own_statistics(layer) for layer in layers}
        owners = {layer: own for layer, own in owners.items() if own}
        self.mode = mode
        self.variables = in_order(model, sum(owners.values(), []))
        self.layers = _moving(owners, forward)
        self._normalizing = [layer for layer in self.layers if _is_standard(layer)]
        self._num_calls = {}
        sizes = [int(np.prod(variable.shape)) for variable in self.variables]
        ends = np.cumsum([0, *sizes]).tolist()
        self.size = ends[-1]
        self._parts = [slice(a, b) for a, b in itertools.pairwise(ends)]

    @property
    def names(self):
        """One name for each of the Q numbers, such as "batch_normalization/moving_mean[2]"."""
        return number_names(self.variables)

    def needs_two_passes(self, num_batches):
        """Whether the statistics of all rows must be known before the loss of a batch is."""
        if self.mode != "reestimated" or not self._normalizing:
            return False
        renormalizing = any(getattr(layer, "renorm", False) for layer in self._normalizing)
        return num_batches > 1 or renormalizing or self.is_shared

    @property
    def is_shared(self):
        """Whether the model calls a layer more than once: its statistics are of all calls."""
        return max(self._num_calls.values(), default=0) > 1

    def counting(self):
        """The context in which a run of the model shows how often it calls each layer."""
        self._num_calls.clear()

        def counted(layer):
            call = layer.call

            def count(*args, **options):
                self._num_calls[layer] = self._num_calls.get(layer, 0) + 1
                return call(*args, **options)

            return count

        return _calls({layer: counted(layer) for layer in self._normalizing})

    def in_use(self):
        """The context in which the model's loss is that of the mode, for one batch."""
        if self.mode == "held":
            return contextlib.nullcontext()
        layers = self.layers if self.mode == "batch" else self._normalizing
        return _calls({layer: _in_training(layer) for layer in layers})

    def present(self):
        """The present values as one new vector of shape `(Q,)`."""
        return flatten(self.variables)

    def mapping(self, numbers):
        """Pairs of a variable and its part of a flat tensor of shape `(Q,)`."""
        return [
            (variable, ops.cast(ops.reshape(numbers[part], variable.shape), variable.dtype))
            for variable, part in zip(self.variables, self._parts, strict=True)
        ]

    def in_words(self, batch_size, num_rows):
        """What the mode does here; "" where no layer moves statistics."""
        if not self.layers:
            return ""
        if self.mode == "held":
            return "statistics held at the model's present ones"
        if self.mode == "batch":
            return f"statistics of batches of {batch_size} rows"
        others = len(self.layers) - len(self._normalizing)
        rest = f", those of {others} other layers held" if others else ""
        return f"statistics of all {num_rows} rows at each point{rest}"

    @property
    def most_passes(self):
        """Number of passes over the data that make the statistics of all layers exact."""
        return MOST_PASSES if self.is_shared else len(self._normalizing)

    def moments_of(self, run, *, by_batch):
        """What reaches each BatchNormalization while `run()` runs the model on a batch.

        Args:
            run: Function without arguments.
            by_batch: Whether layers normalize by the batch, as in training, or as they are told.

        Returns:
            Tensor of one count, and the means and variances, for each layer, one after the other.
        """
        found: dict = {layer: [] for layer in self._normalizing}

        def watched(layer):
            call = _in_training(layer) if by_batch else layer.call

            def watch(inputs, *args, mask=None, **options):
                found[layer].append(_moments(inputs, mask, layer.axis))
                return call(inputs, *args, mask=mask, **options)

            return watch

        with _calls({layer: watched(layer) for layer in self._normalizing}):
            run()
        return ops.concatenate([_flat(layer, found[layer]) for layer in self._normalizing])

    def agree(self, one, other):
        """Whether statistics of all rows, shape `(n, Q)`, are equal for the loss."""
        places = dict(zip(map(id, self.variables), self._parts, strict=True))
        for layer in self._normalizing:
            mean, variance = places[id(layer.moving_mean)], places[id(layer.moving_variance)]
            scale = one[:, variance] + layer.epsilon
            apart = np.abs(other[:, mean] - one[:, mean]) / np.sqrt(scale)
            wider = np.abs(other[:, variance] - one[:, variance]) / scale
            # Where they are not finite no pass will make them so.
            if np.any(apart > CLOSE) or np.any(wider > CLOSE):
                return False
        return True

    def of_all_rows(self, parts):
        """Statistics of all rows from the moments of each batch.

        Args:
            parts: Arrays of shape `(n, M)`, one per batch, of what `moments_of` returned.

        Returns:
            float64 array of shape `(n, Q)`: the present values of all statistics but those of
            BatchNormalization that was reached.
        """
        total = functools.reduce(self._joined, (np.asarray(part, "float64") for part in parts))
        found = np.tile(self.present().astype("float64"), (len(total), 1))
        places = dict(zip(map(id, self.variables), self._parts, strict=True))
        for layer, (count, mean, variance) in self._split(total):
            if np.all(count):
                found[:, places[id(layer.moving_mean)]] = mean
                found[:, places[id(layer.moving_variance)]] = variance
        return found

    def _joined(self, one, other):
        """The moments of the rows of two parts together."""
        joined = []
        for (_, a), (_, b) in zip(self._split(one), self._split(other), strict=True):
            count = a[0] + b[0]
            share = b[0] / np.maximum(count, 1)
            apart = b[1] - a[1]
            mean = a[1] + share * apart
            variance = a[2] + share * (b[2] - a[2]) + share * (1 - share) * apart**2
            joined += [count, mean, variance]
        return np.concatenate(joined, axis=1)

    def _split(self, moments):
        """Each layer with its counts `(n, 1)`, means and variances `(n, C)`."""
        first = 0
        for layer in self._normalizing:
            size = int(np.prod(layer.moving_mean.shape))
            last = first + 1 + 2 * size
            yield layer, np.split(moments[:, first:last], [1, 1 + size], axis=1)
            first = last


def check_mode(statistics):
    """Refuse what is no way to evaluate statistics."""
    if statistics not in MODES:
        raise refusal(
            "Objective",
            f"`statistics` to be one of {', '.join(map(repr, MODES))}",
            {"statistics": statistics},
            "Use 'batch' for surfaces of models with BatchNormalization.",
        )


def _moments(inputs, mask, axis):
    """Count, mean and variance of rows over all axes but one, as tensors (1,), (C,), (C,)."""
    inputs = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
    axes = [k for k in range(inputs.ndim) if k != axis % inputs.ndim]
    weights = ops.ones_like(inputs)
    if mask is not None:
        weights = ops.broadcast_to(ops.cast(mask[..., None], inputs.dtype), ops.shape(inputs))
        inputs = ops.where(weights > 0, inputs, 0)
    counts = ops.sum(weights, axis=axes, keepdims=True)
    mean = ops.sum(weights * inputs, axis=axes, keepdims=True) / ops.maximum(counts, 1)
    variance = ops.sum(weights * ops.square(inputs - mean), axis=axes) / ops.maximum(
        ops.reshape(counts, (-1,)), 1
    )
    return ops.reshape(counts, (-1,))[:1], ops.reshape(mean, (-1,)), variance


def _flat(layer, found):
    """Count, means and variances of a layer's calls in one vector; zeros where there were none."""
    if not found:
        return ops.zeros(1 + 2 * int(np.prod(layer.moving_mean.shape)))
    counts, means, variances = (ops.stack(part) for part in zip(*found, strict=True))
    total = ops.sum(counts, axis=0)
    shares = counts / ops.maximum(total, 1)
    mean = ops.sum(shares * means, axis=0)
    variance = ops.sum(shares * (variances + ops.square(means - mean)), axis=0)
    return ops.concatenate([total, mean, variance])


def _moving(owners, forward):
    """The layers among the owners of statistics that move them in training."""
    known = [layer for layer in owners if _is_keras(layer)]
    others = [layer for layer in owners if layer not in known]
    moved = set()
    if others:  # of the user's own, which are tried out
        with keras.StatelessScope() as scope:
            forward()
            moved = {
                id(layer)
                for layer in others
                if any(scope.get_current_value(v) is not None for v in owners[layer])
            }
    return [layer for layer in owners if layer in known or id(layer) in moved]


def _is_keras(layer):
    return type(layer).__module__.startswith("keras.")


def _is_standard(layer):
    """Whether a layer normalizes as `keras.layers.BatchNormalization` does."""
    kind = keras.layers.BatchNormalization
    return isinstance(layer, kind) and type(layer).call is kind.call


def _in_training(layer):
    """The layer's call in training mode, whatever the model is told."""
    call = layer.call
    if "training" not in inspect.signature(call).parameters:
        return call

    def in_training(*args, training=None, **options):
        return call(*args, training=True, **options)

    return in_training


@contextlib.contextmanager
def _calls(functions):
    """Let layers be called by other functions for a while.

    On the instances and past Keras' tracking of attributes, so that nothing of a layer changes.
    """
    before = {layer: vars(layer)["call"] for layer in functions if "call" in vars(layer)}
    try:
        for layer, function in functions.items():
            object.__setattr__(layer, "call", function)
        yield
    finally:
        for layer in functions:
            vars(layer).pop("call", None)
            if layer in before:
                object.__setattr__(layer, "call", before[layer])
