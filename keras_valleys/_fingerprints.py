"""Equal digests for equal things, in another process too."""

import hashlib
import inspect
import json
import types
import warnings

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
        with warnings.catch_warnings():  # of lambdas, whose code is in the text
            warnings.simplefilter("ignore")
            config = _without_names(value.get_config())
        codes = [code_of(one) for one in vars(value).values() if inspect.isfunction(one)]
        return [type(value).__name__, config, *codes]
    return code_of(value) if inspect.isfunction(value) else value


def _named(value):
    return getattr(value, "__name__", type(value).__name__)


def code_of(function):
    """A function as text: its name, what it does, and the plain values that it does it with.

    Of what else it calls it knows the names only.
    """
    names = function.__globals__.keys() & set(function.__code__.co_names)
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    held = [*(function.__globals__[name] for name in sorted(names)), *cells]
    held += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return " ".join([function.__name__, _instructions(function.__code__), *map(_plain, held)])


def _instructions(code):
    constants = [
        _instructions(c) if isinstance(c, types.CodeType) else _plain(c) for c in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _plain(value):
    """A plain value as text, equal in another process; of others the name."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, frozenset):
        return str(sorted(map(_plain, value)))
    plain = int | float | complex | str | bytes | np.generic
    return repr(value) if value is None or isinstance(value, plain) else _named(value)


def _is_filled(cell):
    try:
        return cell.cell_contents is not cell
    except ValueError:  # of a name that is not yet set
        return False


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
