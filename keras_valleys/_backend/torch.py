"""torch: nothing is compiled, and a loop is Python's."""

import contextlib
import functools

import keras
import torch
import torch.utils.checkpoint
from keras import ops
from torch.utils._python_dispatch import TorchDispatchMode

from keras_valleys._backend import shared

COMPILES_EACH_SHAPE = False
FORGETS_UNLISTED = False
HAS_TEXT = False
LARGEST_GROUP = 256  # points side by side: more are no faster
TOGETHER_VALUES = 2**24

applier = shared.applier
logs_of_test_step = shared.logs_of_test_step
ragged_tensor = sparse_tensor = None  # Keras fills in the zeros
num_replicas = shared.one_replica
run_test_step = shared.run_test_step
updated = shared.updated
vectorized_map = ops.vectorized_map


def compiled(function, open_batch=False):
    @normal_mode()
    @torch.no_grad()
    def call(*arguments):
        return function(*keras.tree.map_structure(_usable, arguments))

    return call


def normal_mode():
    return torch.inference_mode(False)


def _usable(tensor):
    return tensor.clone() if torch.is_tensor(tensor) and tensor.is_inference() else tensor


def to_numpy(tensor):
    tensor = tensor.detach().cpu()
    if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
        tensor = ops.cast(tensor, "float32")  # NumPy has no form of it
    return tensor.numpy()


def array_reader(variable):
    return lambda: to_numpy(variable.value)


def vector_reader(variables):
    return shared.vector_reader(array_reader, variables)


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


def reach(layers):
    wrapped = [one for one in layers if isinstance(one, keras.layers.TorchModuleWrapper)]
    own = {id(variable.value): variable for layer in wrapped for variable in layer.variables}
    modules = {id(module): module for layer in wrapped for module in layer.module.modules()}
    places = [
        (module._parameters, name, own[id(parameter)])
        for module in modules.values()
        for name, parameter in module.named_parameters(recurse=False)
        if id(parameter) in own
    ]
    return functools.partial(_with_parameters, places)


def _with_parameters(places, run):
    """Modules compute with the values of Keras' scope, and nothing is computed a second time.

    torch's own `functional_call` leaves other values in a module that is at two places. What is
    checkpointed would run again in the backward pass, when the scope has closed.
    """
    checkpoint = torch.utils.checkpoint.checkpoint
    before = [parameters[name] for parameters, name, _ in places]
    try:
        torch.utils.checkpoint.checkpoint = _not_again
        for parameters, name, variable in places:
            parameters[name] = variable.value
        return run()
    finally:
        torch.utils.checkpoint.checkpoint = checkpoint
        for (parameters, name, _), parameter in zip(places, before, strict=True):
            parameters[name] = parameter


def _not_again(
    function,
    *args,
    use_reentrant=None,
    context_fn=None,
    determinism_check=None,
    debug=False,
    early_stop=True,
    preserve_rng_state=True,
    **options,
):
    """As `torch.utils.checkpoint.checkpoint`, but that nothing is left out and computed later."""
    return function(*args, **options)


def read_past_scope(run, point, variables):
    with _Reads() as reads:
        run(point)
    return [v for v in variables if v.value.untyped_storage().data_ptr() in reads.places]


class _Reads(TorchDispatchMode):
    """Notes the memory that operations read, through whatever views of it."""

    def __init__(self):
        super().__init__()
        self.places = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        for tensor in keras.tree.flatten((args, kwargs)):
            if isinstance(tensor, torch.Tensor) and tensor.numel():
                self.places.add(tensor.untyped_storage().data_ptr())
        return function(*args, **(kwargs or {}))


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
