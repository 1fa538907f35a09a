"""A saved model with its loss, without what only training needs."""

import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import h5py
import keras

from keras_valleys._checks import refusal, shortened
from keras_valleys._files import local_path

COMPILE = "Or load it with `keras.models.load_model(path, compile=False)` and compile it."
OLD_REDUCTION = "auto"  # of Keras 2, which meant the mean

Loss: TypeAlias = str | keras.losses.Loss | Callable[..., Any] | Sequence[Any] | Mapping[str, Any]


def load_model(
    path: str | os.PathLike[str],
    loss: Loss | None = None,
    *,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
) -> keras.Model:
    """A model from a file, ready for an `Objective`: with its loss, and nothing else of training.

    `keras.models.load_model` makes the optimizer and the metrics of the file as well, and ends
    where it does not know them or their options any more, as `lr` and `decay` in the HDF5 files of
    older versions. The loss of a model depends on neither. To train the model, compile it anew: its
    optimizer is Keras' default, and it has no metrics.

    A model with a `compile` of its own is loaded as `keras.models.load_model` does it, unless
    `loss` is given.

    Args:
        path: A `.keras` file, or an HDF5 file, `.h5` or `.hdf5`, of a whole model.
        loss: The loss, as `model.compile` takes it. `None` takes that of the file, with its loss
            weights.
        custom_objects: Dictionary of names to classes and functions of your own that are not
            registered.
        safe_mode: Whether to refuse Python code in the file, such as of `Lambda` layers.

    Returns:
        A compiled `keras.Model`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file holds no model, one of unknown parts, or no loss where none is given.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    >>> model.compile(loss="mean_squared_error")
    >>> path = os.path.join(tempfile.mkdtemp(), "angle.keras")
    >>> model.save(path)
    >>> loaded = keras_valleys.objectives.load_model(path)
    >>> objective = keras_valleys.objectives.Objective(loaded, np.ones((3, 1)), np.ones((3, 1)))
    >>> float(objective([0.0]))
    1.0
    """
    path = local_path("load_model", path=path)
    if not os.path.exists(path):
        raise refusal(
            "load_model",
            "`path` to be a file of a saved model",
            f"{path!r}, which is not there",
            "Use the path that `model.save` was given.",
            FileNotFoundError,
        )
    given = dict(custom_objects or {})
    with keras.saving.custom_object_scope(given):
        found = _compile_config(path) or None
        model = _loaded(path, given, safe_mode)
        own_compile = type(model).compile is not keras.Model.compile
        if loss is None and own_compile and found is not None:
            return _loaded(path, given, safe_mode, compile=True)
        if loss is not None:
            model.compile(loss=_loss(loss))
        elif found is not None and found.get("loss") is not None:
            model.compile(loss=_loss(found["loss"]), loss_weights=found.get("loss_weights"))
        elif found is not None or _computes_loss(model):
            model.compile()  # what `add_loss` and methods of its own add up to
        else:
            raise refusal(
                "load_model",
                "`loss` to be given for a file without one",
                f"{path!r}, of a model that was not compiled when it was saved",
                "Use the loss that it was trained with, such as loss='mean_squared_error'.",
            )
    return model


def _loaded(path, custom_objects, safe_mode, *, compile=False):
    try:
        model = keras.models.load_model(
            path, custom_objects=custom_objects, compile=compile, safe_mode=safe_mode
        )
    except Exception as error:  # what is wrong with a file has as many forms as files
        raise refusal(
            "load_model",
            "the file of a model whose parts Keras knows",
            f"{path!r}, at which Keras says: {_innermost(error)}",
            "Give classes and functions of your own as `custom_objects={'Name': Name}`, or import "
            "the module that registers them.",
        ) from error
    return model


def _innermost(error):
    """What Keras says of a file, without the configurations that it shows before the reason."""
    return " ".join(str(error).split("Exception encountered:")[-1].split())[:300]


def _compile_config(path):
    """What a file says of `compile`: a dictionary, or `None` where the model was not compiled."""
    try:
        if os.path.isdir(path):
            with open(os.path.join(path, "config.json"), encoding="utf-8") as file:
                return json.load(file).get("compile_config")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json")).get("compile_config")
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                if "model_config" in file.attrs:
                    return json.loads(file.attrs.get("training_config", "null"))
    except (OSError, KeyError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise _no_model(path) from error
    raise _no_model(path)


def _no_model(path):
    what, remedy = "which is none", "Use a file that `model.save` wrote."
    if os.path.exists(os.path.join(path, "saved_model.pb")):
        what = "a SavedModel of TensorFlow, which Keras 3 does not read"
        remedy = "Load it where it was made, and save it there as a .keras or .h5 file."
    elif path.endswith(".weights.h5") or (os.path.isfile(path) and h5py.is_hdf5(path)):
        what = "which holds weights and no model"
        remedy = "Build and compile the model in Python, and use `model.load_weights(path)`."
    return refusal(
        "load_model",
        "`path` to be a .keras or HDF5 file of a whole model",
        f"{path!r}, {what}",
        remedy,
    )


def _loss(config):
    """A loss as `compile` takes it, of what is given or a file says of it."""
    if isinstance(config, Mapping) and "class_name" not in config:
        return {name: _loss(part) for name, part in config.items()}
    if isinstance(config, list | tuple):
        return [_loss(part) for part in config]
    if config is None or not isinstance(config, str | Mapping):
        return config
    try:
        found = keras.saving.get_registered_object(config) if isinstance(config, str) else None
        found = keras.losses.get(_of_today(config)) if found is None else found
        if not callable(found):
            raise TypeError(f"no loss: {found!r}")
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        name = config if isinstance(config, str) else _name_of(config)
        raise refusal(
            "load_model",
            "a loss that Keras knows",
            f"the loss {shortened(name)}",
            "Give it as `loss=...`, a name such as 'mean_squared_error' or the loss itself, or, "
            f"for a loss of your own, `custom_objects={{{name!r}: ...}}`. {COMPILE}",
        ) from error
    is_keras = getattr(found, "__module__", "").startswith("keras.")
    if isinstance(config, str) and is_keras:
        return config
    return found() if isinstance(found, type) else found


def _name_of(config):
    """What a loss is called in a file: a function by its own name, an object by its class."""
    return config["config"] if isinstance(config.get("config"), str) else config["class_name"]


def _of_today(config):
    """The configuration of a loss of Keras 2 as Keras 3 understands it."""
    options = config.get("config") if isinstance(config, Mapping) else None
    if not isinstance(options, Mapping) or options.get("reduction") != OLD_REDUCTION:
        return config
    return {**config, "config": {**options, "reduction": "sum_over_batch_size"}}


def _computes_loss(model):
    own = ("compute_loss", "test_step")
    return any(getattr(type(model), name) is not getattr(keras.Model, name) for name in own)
