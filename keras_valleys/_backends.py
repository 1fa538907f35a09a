"""Where TensorFlow, JAX and torch differ: compiling, mapping and differentiating."""

import contextlib
import warnings

import keras
import numpy as np
from keras import ops

GROUP_BYTES = 2**22  # of values side by side on torch: more leave the processor's cache
GROUP = 256  # points at most: more are no faster


def compiled(function):
    """Compile a function of nested tensors, for any number of rows of its first tensor."""
    backend = keras.config.backend()
    if backend == "tensorflow":
        return _traced(function)
    if backend == "jax":
        import jax

        return jax.jit(function)
    import torch

    return torch.no_grad()(function)


def read(variable):
    """The tensor of a Keras variable's value; what is no variable is returned as it is."""
    tensor = getattr(variable, "value", variable)
    if keras.config.backend() != "tensorflow" or not hasattr(tensor, "handle"):
        return tensor
    if hasattr(tensor, "values"):  # on several devices
        return tensor.value()
    import tensorflow as tf

    # In half the time of `value()`, and callbacks read between the steps of a training.
    return tf.raw_ops.ReadVariableOp(resource=tensor.handle, dtype=tensor.dtype)


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
    return ops.zeros_like(point) if gradient is None else ops.convert_to_tensor(gradient)


def _of_torch(value, point, *, create_graph):
    import torch

    if not value.requires_grad:  # does not depend on the point
        return torch.zeros_like(point)
    (found,) = torch.autograd.grad(value, point, create_graph=create_graph, allow_unused=True)
    return torch.zeros_like(point) if found is None else found


def _traced(function):
    """Trace for shapes as general as those seen so far.

    A plain `tf.function` would trace again for each number of rows, and warn.
    """
    import tensorflow as tf

    graph = tf.function(function, autograph=False)
    traces = []

    def specs_of(arguments):
        first = id(keras.tree.flatten(arguments)[0])

        def spec(tensor):
            shape = list(tensor.shape)
            return tf.TensorSpec([None, *shape[1:]] if id(tensor) == first else shape, tensor.dtype)

        return [spec(tensor) for tensor in _tensors(arguments)]

    def call(*arguments):
        specs = specs_of(arguments)
        for known, trace in reversed(traces):
            if _fits(known, specs):
                return trace(*arguments)
        if traces and len(traces[-1][0]) == len(specs):
            specs = [_widened(*pair) for pair in zip(specs, traces[-1][0], strict=True)]
        left = iter(specs)
        signature = keras.tree.map_structure(
            lambda leaf: None if leaf is None else next(left), arguments
        )
        traces.append((specs, graph.get_concrete_function(*signature)))
        return traces[-1][1](*arguments)

    return call


def _tensors(structure):
    return [leaf for leaf in keras.tree.flatten(structure) if leaf is not None]


def _fits(known, specs):
    return len(known) == len(specs) and all(
        a.is_compatible_with(b) for a, b in zip(known, specs, strict=True)
    )


def _widened(spec, known):
    if spec.dtype != known.dtype or spec.shape.rank != known.shape.rank:
        return spec
    dims = [a if a == b else None for a, b in zip(spec.shape, known.shape, strict=True)]
    return type(spec)(dims, spec.dtype)
