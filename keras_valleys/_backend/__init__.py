"""Where TensorFlow, JAX and torch differ: compiling, mapping, differentiating, reading.

A file for each of them, with the same names in it; the one of the backend in use is imported. What
is said and done here holds for all. A new backend is one new file.
"""

import importlib
import warnings

import keras
import numpy as np
from keras import ops

from keras_valleys._checks import refusal

GROUP_BYTES = 2**22  # of values side by side: more leave the processor's cache


class _Missing:
    """A backend without a file: the package is imported, and what computes is refused."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, name):
        raise refusal(
            "keras_valleys",
            "the Keras backend to be one that trains: tensorflow, jax or torch",
            repr(self._name),
            "Set KERAS_BACKEND before Keras is imported.",
        )


def _choose():
    name = keras.config.backend()
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        return _Missing(name)


_chosen = _choose()


def compiled(function, *, open_batch=False):
    """Compile a function of nested tensors, for any number of rows of its first tensor.

    With `open_batch` a trace does not know the rows of its last argument, where it need not: so
    TensorFlow evaluates a model, and Keras then weighs the losses of outputs by batches, not rows.
    """
    return _chosen.compiled(function, open_batch)


def compiles_each_shape():
    """Whether a compiled function is compiled anew for each number of rows."""
    return _chosen.COMPILES_EACH_SHAPE


def to_numpy(tensor):
    """The values of a tensor or variable; they may share its memory.

    Keras' own `convert_to_numpy` and `get_weights` warn under NumPy 2 (their `__array__` has no
    `copy`), and users run with warnings as errors.
    """
    return _chosen.to_numpy(getattr(tensor, "value", tensor))  # of a Keras variable: the backend's


def vector_reader(variables):
    """A function that returns the values of Keras variables as one new vector, each in C order.

    Callbacks read between the steps of a training, where TensorFlow's own ways take thrice as long.
    """
    return _chosen.vector_reader(variables)


def forgets_unlisted():
    """Whether `evaluate` forgets what is assigned to variables that a model does not list."""
    return _chosen.FORGETS_UNLISTED


def has_text():
    """Whether a model may have text in it."""
    return _chosen.HAS_TEXT


def has_sparse():
    """Whether there are sparse tensors that Keras takes."""
    return _chosen.sparse_tensor is not None


def has_ragged():
    """Whether there are tensors of rows of different lengths that Keras takes."""
    return _chosen.ragged_tensor is not None


def sparse_tensor(places, values, shape):
    """A sparse tensor of values at places, arrays of shape `(n,)` and `(n, num_axes)`."""
    return _chosen.sparse_tensor(places, values, shape)


def ragged_tensor(values, splits):
    """A ragged tensor of values, and for each ragged axis where its rows begin and end."""
    return _chosen.ragged_tensor(values, splits)


def map_rows(function, rows, group=1):
    """`function` of each row, stacked; `group` rows side by side, as `side_by_side` allows.

    What the function returns is of the dtype of the rows.
    """
    return _chosen.map_rows(function, rows, group)


def side_by_side(evaluate, rows, point_bytes):
    """How many rows may run side by side with `evaluate(rows, group)`.

    JAX and TensorFlow compile a loop. On torch the loop is Python's, and `torch.vmap` up to a
    hundred times faster, for the layers that it knows: it is tried, and its values compared.
    """
    group = int(min(GROUP_BYTES // max(point_bytes, 1), _chosen.LARGEST_GROUP))
    if group < 2:
        return 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # torch warns of operations that it runs in turn
            found = evaluate(rows, group)
    except Exception:  # each layer has its own way not to run under vmap
        return 1
    return group if np.allclose(found, evaluate(rows, 1), rtol=1e-4, equal_nan=True) else 1


def gradient(function, point):
    """The gradient of a scalar function at a point."""
    return _chosen.gradient(function, point)


def gradients(function, rows, *, together):
    """The gradient of a scalar function at each row.

    Args:
        function: Of a point.
        rows: Tensor of points.
        together: Whether all rows go through the function at once. They share no weights, so
            that the gradient of the sum of their values is the gradient of each.
    """
    if not together:
        return map_rows(lambda row: gradient(function, row), rows)
    return gradient(lambda rows: ops.sum(_chosen.vectorized_map(function, rows)), rows)


def pays_together(num_values):
    """Whether points are faster together than in turn, by the numbers that one makes."""
    return num_values <= _chosen.TOGETHER_VALUES


def hessian_vector_product(function, point, vector):
    """The Hessian of a scalar function at a point, times a vector."""
    return _chosen.hessian_vector_product(function, point, vector)


def build(optimizer, weights):
    """Build an optimizer on one variable as `model.fit` does."""
    _chosen.build(optimizer, weights)


def applier(optimizer, variables):
    """A function that updates variables by their gradients, with an optimizer built on them."""
    return _chosen.applier(optimizer, variables)


def updated(optimizer, weights, gradients_at, values, num):
    """The values of a variable, and of those of its optimizer, after a number of updates.

    Args:
        optimizer: A Keras optimizer built on `[weights]`.
        weights: A Keras variable.
        gradients_at: Function of a tensor like `weights` that returns another: the gradient there.
        values: List of tensors: where `[weights, *optimizer.variables]` are to begin.
        num: Scalar integer tensor.
    """
    variables = [weights, *optimizer.variables]
    values = [ops.cast(a, v.dtype) for a, v in zip(values, variables, strict=True)]
    return _chosen.updated(optimizer, weights, gradients_at, values, num)


def logs_of_test_step(model, mapping, data, follow):
    """What a model's own `test_step` logs for a batch, with variables at other values.

    Args:
        model: A built and compiled model. Its metrics begin anew.
        mapping: Pairs of a variable and its value; the others keep their own.
        data: What `test_step` takes.
        follow: What `reach` returns for the model's layers.
    """
    return _chosen.logs_of_test_step(model, mapping, data, follow)


def run_test_step(model, mapping, data, follow, carried):
    """What a model's `test_step` logs for a batch, and what it leaves in some variables.

    As `logs_of_test_step`, but that its metrics begin where `mapping` says.

    Args:
        model: A built and compiled model.
        mapping: Pairs of a variable and its value; the others keep their own.
        data: What `test_step` takes.
        follow: What `reach` returns for the model's layers.
        carried: Variables that are in `mapping`.

    Returns:
        The logs, and a list of the values that `carried` have in the end.
    """
    return _chosen.run_test_step(model, mapping, data, follow, carried)


def normal_mode():
    """A context in which tensors can be differentiated and assigned to: torch has one without."""
    return _chosen.normal_mode()


def reach(layers):
    """How a model is run so that it follows the values of Keras' scope past which it has ways.

    TensorFlow's functions that were traced before have the model's own variables in their graphs,
    and a torch module has its own parameters.

    Args:
        layers: All layers of a model.

    Returns:
        A function that calls a function without arguments, which runs the model within a scope.
    """
    return _chosen.reach(layers)


def read_past_scope(run, point, variables):
    """The variables whose own values, and not those of Keras' scope, a function reads.

    Args:
        run: Function of a point, which runs a model within a scope, and returns the values that the
            variables have in it.
        point: Tensor of shape `(P,)`.
        variables: Keras variables.
    """
    return _chosen.read_past_scope(run, point, variables)


def num_replicas():
    """By how much Keras divides losses within the scope of a distribution strategy."""
    return _chosen.num_replicas()


def random_numbers_apart():
    """Gives a function that seeds the random numbers that do not come from Keras' own seeds.

    A context, at whose end these are as they were.
    """
    return _chosen.random_numbers_apart()


def backend_version():
    """Name and version of the backend."""
    name = keras.config.backend()
    return f"{name} {importlib.import_module(name).__version__}"
