"""torch: nothing is compiled, and a loop is Python's."""

import contextlib

import keras
import torch
from keras import ops

from keras_valleys._backend import shared

COMPILES_EACH_SHAPE = False
LARGEST_GROUP = 256  # points side by side: more are no faster
TOGETHER_VALUES = 2**24

applier = shared.applier
logs_of_test_step = shared.logs_of_test_step
num_replicas = shared.one_replica
updated = shared.updated
vectorized_map = ops.vectorized_map


def compiled(function):
    return torch.no_grad()(function)


def to_numpy(tensor):
    tensor = tensor.detach().cpu()
    if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
        tensor = ops.cast(tensor, "float32")  # NumPy has no form of it
    return tensor.numpy()


def array_reader(variable):
    return lambda: to_numpy(variable.value)


def map_rows(function, rows, group):
    if group == 1:
        return ops.map(function, rows)
    return torch.vmap(function, chunk_size=group)(rows)


def gradient(function, point):
    with torch.enable_grad():
        point = point.detach().requires_grad_(True)
        return _gradient(function(point), point, create_graph=False)


def hessian_vector_product(function, point, vector):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    # The fused kernels of attention have no second derivative.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        point = point.detach().requires_grad_(True)
        slope = _gradient(function(point), point, create_graph=True)
        return _gradient((slope * vector).sum(), point, create_graph=False)


def build(optimizer, weights):
    optimizer.build([weights])


@contextlib.contextmanager
def random_numbers_apart():
    # Keras draws dropout from torch's global generator.
    with torch.random.fork_rng():
        yield torch.manual_seed


def _gradient(value, point, *, create_graph):
    if not value.requires_grad:  # does not depend on the point
        return torch.zeros_like(point)
    (found,) = torch.autograd.grad(value, point, create_graph=create_graph, allow_unused=True)
    return torch.zeros_like(point) if found is None else found
