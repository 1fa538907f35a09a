"""Equal digests for equal things, in another process too."""

import hashlib
import json

import keras
import numpy as np

from keras_valleys._weights import to_numpy


def signature(model, held, facts):
    """The digest, equal in another process.

    Args:
        model: A compiled model.
        held: The variables that are not varied.
        facts: Text about the data and the weights that are varied.
    """
    digest = hashlib.blake2b(f"{facts} {_describe(model)}".encode(), digest_size=16)
    aside = {id(variable) for variable in model.metrics_variables}
    for variable in held:
        if id(variable) not in aside and not variable.path.endswith("seed_generator_state"):
            digest.update(np.ascontiguousarray(to_numpy(variable)).tobytes())
    return digest.hexdigest()


def _describe(model):
    """The model and its loss as text: equal for a model built again, whatever the names."""
    parts = [type(model).__name__, model.loss]
    try:
        parts.append(model.get_config())
    except NotImplementedError:  # a subclassed model need not have one
        parts.append([type(layer).__name__ for layer in model.layers])
    return description(parts)


def description(parts):
    """Configurations and objects as text, whatever the names."""
    return json.dumps(_without_names(parts), default=_named, sort_keys=True)


def _without_names(value):
    if isinstance(value, dict):
        left_out = ("name", "inbound_nodes", "input_layers", "output_layers", "build_config")
        return {str(k): _without_names(v) for k, v in value.items() if k not in left_out}
    if isinstance(value, list | tuple):
        return [_without_names(part) for part in value]
    if hasattr(value, "get_config"):
        return [type(value).__name__, _without_names(value.get_config())]
    return value


def _named(value):
    return getattr(value, "__name__", type(value).__name__)


def digest_of(objective, *parts):
    """A digest of all that losses depend on: the objective, the backend, arrays and text."""
    signature = getattr(objective, "signature", None)
    signature = signature() if callable(signature) else getattr(objective, "fingerprint", "")
    digest = hashlib.sha256()
    for part in (signature, getattr(objective, "dtype", ""), keras.config.backend(), *parts):
        array = np.ascontiguousarray(part)
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
