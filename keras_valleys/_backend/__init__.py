"""Where TensorFlow, JAX and torch differ: compiling, mapping and differentiating."""

import contextlib
import functools
import warnings

import keras
import numpy as np
from keras import ops

from keras_valleys._backend.tensorflow import traced

GROUP_BYTES = 2**22  # of values side by side on torch: more leave the processor's cache
GROUP = 256  # points at most: more are no faster


def compiled(function):
    """Compile a function of nested tensors, for any number of rows of its first tensor."""
    backend = keras.config.backend()
    if backend == "tensorflow":
        return traced(function)
    if backend == "jax":
        import jax

        return jax.jit(function)
    import torch

    return torch.no_grad()(function)


def reader(variable):
    """A function that returns the tensor of a Keras variable's value, as often as it is called.

    Callbacks read between the steps of a training, where TensorFlow's own ways take thrice as long.
    """
    value = variable.value
    if keras.config.backend() != "tensorflow" or not hasattr(value, "handle"):
        return lambda: variable.value
    if hasattr(value, "values"):  # on several devices
        return lambda: variable.value.value()
    import tensorflow as tf

    read = tf.raw_ops.ReadVariableOp
    return functools.partial(read, resource=value.handle, dtype=value.dtype)


def map_rows(function, rows):
    """`function` of each row, stacked."""
    group = getattr(function, "group", 1)
    if group == 1:
        return ops.map(function, rows)
    import torch

    return torch.vmap(function, chunk_size=group)(rows)


def side_by_side(evaluate, rows, point_bytes):
    """How many rows torch may run side by side with `evaluate(rows, group)`.

    JAX and TensorFlow compile a loop. On torch the loop is Python's, and `torch.vmap` up to a
    hundred times faster, for the layers that it knows: it is tried, and its values compared.
    """
    group = int(min(GROUP_BYTES // max(point_bytes, 1), GROUP))
    if keras.config.backend() != "torch" or group < 2:
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
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return jax.grad(function)(point)
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(point)
            value = function(point)
        return _dense(tape.gradient(value, point), point)
    import torch

    with torch.enable_grad():
        point = point.detach().requires_grad_(True)
        value = function(point)
        return _of_torch(value, point, create_graph=False)


def gradients(function, rows, *, together):
    """The gradient of a scalar function at each row.

    Args:
        function: Of a point.
        rows: Tensor of points.
        together: Whether all rows go through the function at once. They share no weights, so
            that the gradient of the sum of their values is the gradient of each.
    """
    if not together:
        return ops.map(lambda row: gradient(function, row), rows)
    vectorized = ops.vectorized_map
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        # What it cannot vectorize it would run in turn, more slowly than `ops.map`.
        vectorized = functools.partial(tf.vectorized_map, fallback_to_while_loop=False)
    return gradient(lambda rows: ops.sum(vectorized(function, rows)), rows)


def pays_together(num_values):
    """Whether points are faster together than in turn, by the numbers that one makes."""
    # JAX compiles a loop without overhead. On TensorFlow that of `ops.map` is as long as a small
    # model takes; on torch the loop is Python's.
    limits = {"tensorflow": 2**15, "torch": 2**24}
    return num_values <= limits.get(keras.config.backend(), 0)


def build(optimizer, weights):
    """Build an optimizer on one variable as `model.fit` does."""
    if keras.config.backend() != "tensorflow":
        optimizer.build([weights])
        return
    import tensorflow as tf

    def trace():
        # As in fit, what the optimizer assigns when it is built is lost: Keras 3.15's
        # ScheduleFreeAdamW begins at 0 on TensorFlow, and at the weights on JAX and torch.
        if not optimizer.built:
            optimizer.build([weights])

    tf.function(trace, autograph=False).get_concrete_function()


def applier(optimizer, variables):
    """A function that updates variables by their gradients, with an optimizer built on them."""
    if keras.config.backend() != "jax":
        return lambda slopes: optimizer.apply(slopes, variables)
    import jax

    step = jax.jit(optimizer.stateless_apply)  # one by one its operations compile for seconds

    def apply(slopes):
        state = [variable.value for variable in optimizer.variables]
        found = step(state, slopes, [variable.value for variable in variables])
        for variable, value in zip([*variables, *optimizer.variables], sum(found, []), strict=True):
            variable.assign(value)

    return apply


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
    if keras.config.backend() == "jax":

        def update(_, values):
            point, *state = values
            with keras.StatelessScope(list(zip(optimizer.variables, state, strict=True))):
                scale = optimizer.scale_loss(1.0)
            found = optimizer.stateless_apply(state, [scale * gradients_at(point)], [point])
            return [ops.cast(a, v.dtype) for a, v in zip(sum(found, []), variables, strict=True)]

        return ops.fori_loop(0, num, update, values)
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)

    def count_update(_, count):
        point = ops.convert_to_tensor(weights.value)
        optimizer.apply([optimizer.scale_loss(1.0) * gradients_at(point)], [weights])
        return count + 1

    ops.fori_loop(0, num, count_update, ops.zeros((), "int32"))
    return [ops.copy(ops.convert_to_tensor(variable.value)) for variable in variables]


def hessian_vector_product(function, point, vector):
    """The Hessian of a scalar function at a point, times a vector."""
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return jax.jvp(jax.grad(function), (point,), (vector,))[1]
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as outer:
            outer.watch(point)
            slope = ops.sum(gradient(function, point) * vector)
        return _dense(outer.gradient(slope, point), point)
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    # The fused kernels of attention have no second derivative.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        point = point.detach().requires_grad_(True)
        slope = _of_torch(function(point), point, create_graph=True)
        return _of_torch((slope * vector).sum(), point, create_graph=False)


def num_replicas():
    """By how much Keras divides losses within the scope of a distribution strategy."""
    if keras.config.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


@contextlib.contextmanager
def random_numbers_apart():
    """Gives a function that seeds the random numbers that do not come from Keras' own seeds.

    On torch Keras draws dropout from torch's global generator, which is given back as it was.
    """
    if keras.config.backend() != "torch":
        yield lambda seed: None
        return
    import torch

    with torch.random.fork_rng():
        yield torch.manual_seed


def backend_version():
    """Name and version of the backend."""
    name = keras.config.backend()
    return f"{name} {__import__(name).__version__}"


def _dense(gradient, point):
    import tensorflow as tf

    return tf.zeros_like(point) if gradient is None else tf.convert_to_tensor(gradient)


def _of_torch(value, point, *, create_graph):
    import torch

    if not value.requires_grad:  # does not depend on the point
        return torch.zeros_like(point)
    (found,) = torch.autograd.grad(value, point, create_graph=create_graph, allow_unused=True)
    return torch.zeros_like(point) if found is None else found
