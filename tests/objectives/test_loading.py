"""Models from files: with their loss, whatever the file says of training."""

import json
import pathlib
import zipfile

import h5py
import keras
import numpy as np
import pytest

from helpers import models
from keras_valleys.objectives import Objective, load_model

OLD_ADAM = {"class_name": "Adam", "config": {"name": "Adam", "lr": 1e-3, "decay": 0.0}}
UNKNOWN = {"class_name": "Lookahead>Ranger", "config": {"sync_period": 6}}


def saved(folder, name, model=None, **changes):
    """A file that Keras wrote; of HDF5 with other entries of `training_config`, None for none."""
    path = folder / name
    (models.sequential()[0] if model is None else model).save(path)
    if changes:
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["training_config"]) | changes
            file.attrs["training_config"] = json.dumps(config)
    return path


def own_loss(y, z):
    return keras.ops.mean(keras.ops.abs(y - z), axis=-1)


def value_of(model):
    _, x, y = models.sequential()
    objective = Objective(model, x, y)
    return float(objective(np.linspace(-1, 1, objective.size)))


@pytest.fixture(scope="module")
def known():
    """The value of each loss."""
    model = models.sequential()[0]
    found = {}
    for loss in ("mean_squared_error", "mean_absolute_error"):
        model.compile(loss=loss)
        found[loss] = value_of(model)
    assert len(set(found.values())) == 2
    return found


@pytest.mark.parametrize("optimizer", [OLD_ADAM, UNKNOWN, None])
@pytest.mark.parametrize(
    "loss, name",
    [
        ("mse", "mean_squared_error"),
        ({"class_name": "MeanAbsoluteError", "config": {"reduction": "auto", "name": "a"}}, None),
        ({"class_name": "MeanSquaredError", "config": {"name": "b"}}, "mean_squared_error"),
    ],
)
def test_an_old_file_has_its_loss(tmp_path, known, optimizer, loss, name):
    metrics = [{"class_name": "F1Score>Addons", "config": {}}, "nobody_knows"]
    changes = {"optimizer_config": optimizer, "loss": loss, "metrics": metrics}
    path = saved(tmp_path, "old.h5", **changes, weighted_metrics=metrics)
    with pytest.raises((ValueError, TypeError, KeyError, UserWarning)):  # or it tests nothing
        keras.models.load_model(path)
    assert value_of(load_model(path)) == known[name or "mean_absolute_error"]


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.hdf5"])
def test_a_loss_that_is_given_goes_first(tmp_path, known, name):
    path = saved(tmp_path, name)
    for loss, found in known.items():
        assert value_of(load_model(path, loss)) == found
    assert value_of(load_model(str(path), keras.losses.MeanAbsoluteError())) == found
    assert load_model(path).loss == "mean_squared_error"


def test_an_optimizer_and_metrics_of_others_in_a_keras_file(tmp_path, known):
    class Other(keras.optimizers.SGD):
        pass

    model = models.sequential()[0]
    model.compile(Other(0.1), "mean_absolute_error", metrics=[own_loss])
    path = saved(tmp_path, "model.keras", model)
    with pytest.raises(TypeError):
        keras.models.load_model(path)
    assert value_of(load_model(path)) == known["mean_absolute_error"]


def test_losses_by_output_keep_their_weights(tmp_path):
    model, x, y = models.several_inputs_and_outputs()
    expected = Objective(model, x, y)
    expected = float(expected(np.linspace(-1, 1, expected.size)))
    for name in ("model.keras", "model.h5"):
        objective = Objective(load_model(saved(tmp_path, name, model)), x, y)
        found = objective(np.linspace(-1, 1, objective.size))
        assert float(found) == pytest.approx(expected, rel=1e-6)


def test_parts_of_ones_own(tmp_path, known):
    model = models.sequential()[0]
    model.compile("sgd", own_loss)
    for name in ("model.keras", "model.h5"):
        path = saved(tmp_path, name, model)
        with pytest.raises(ValueError, match="the loss 'own_loss'.*custom_objects={'own_loss'"):
            load_model(path)
        found = load_model(path, custom_objects={"own_loss": own_loss})
        assert value_of(found) == pytest.approx(known["mean_absolute_error"], rel=1e-6)
        assert value_of(load_model(path, own_loss)) == value_of(found)

    class Own(keras.layers.Dense):
        pass

    model = keras.Sequential([keras.Input((3,)), Own(2)])
    model.compile("sgd", "mse")
    path = saved(tmp_path, "own.keras", model)
    with pytest.raises(ValueError, match="Keras says: .*Own.*custom_objects={'Name': Name}"):
        load_model(path)
    assert type(load_model(path, custom_objects={"Own": Own}).layers[0]) is Own


def test_a_file_without_a_loss(tmp_path, known):
    model = models.sequential()[0]
    bare = keras.Sequential.from_config(model.get_config())
    bare.set_weights(model.get_weights())
    for name in ("bare.keras", "bare.h5"):
        path = saved(tmp_path, name, bare)
        with pytest.raises(ValueError, match="`loss` to be given for a file without one"):
            load_model(path)
        found = load_model(path, loss="mean_squared_error")
        assert value_of(found) == known["mean_squared_error"]
    with pytest.raises(ValueError, match="the loss 'mean_sqared_error'"):
        load_model(path, "mean_sqared_error")
    path = saved(tmp_path, "other.h5", loss={"class_name": "Of>Another", "config": {"name": "a"}})
    with pytest.raises(ValueError, match="the loss 'Of>Another'"):
        load_model(path)


def test_a_loss_within_the_model(tmp_path):
    model, x, y = models.nothing_but_add_loss()
    path = saved(tmp_path, "model.keras", model)
    expected = Objective(model, x, y)
    point = expected.point()
    found = load_model(path, custom_objects={type(a).__name__: type(a) for a in parts_of(model)})
    assert float(Objective(found, x, y)(point)) == pytest.approx(float(expected(point)), rel=1e-6)


def parts_of(model):
    return [model, *model.layers]


def weights(folder):
    models.sequential()[0].save_weights(folder / "a.weights.h5")
    return folder / "a.weights.h5"


def old_weights(folder):
    with h5py.File(folder / "weights.h5", "w") as file:
        file["dense/kernel"] = np.ones(3)
    return folder / "weights.h5"


def text(folder):
    (folder / "model.h5").write_text("no model")
    return folder / "model.h5"


def cut(folder):
    path = saved(folder, "model.keras")
    path.write_bytes(path.read_bytes()[:-200])
    return path


def other_zip(folder):
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("readme.txt", "no model")
    return folder / "model.keras"


def of_tensorflow(folder):
    (folder / "saved_model.pb").write_bytes(b"")
    return folder


def missing_part(folder):
    path = saved(folder, "model.h5")
    with h5py.File(path, "r+") as file:
        del file["model_weights"]
    return path


@pytest.mark.parametrize(
    "make, message",
    [
        (weights, "which holds weights and no model. Build and compile"),
        (old_weights, "which holds weights and no model. Build and compile"),
        (text, "which is none. Use a file that `model.save` wrote"),
        (cut, "which is none. Use a file that `model.save` wrote"),
        (other_zip, "which is none. Use a file that `model.save` wrote"),
        (of_tensorflow, "a SavedModel of TensorFlow, which Keras 3 does not read"),
        (missing_part, "model.h5', at which Keras says: .*model_weights"),
        (lambda folder: 3, "a local path. Received: path=3"),
    ],
)
def test_what_is_no_model_is_told(tmp_path, make, message):
    with pytest.raises(ValueError, match=f"^`load_model` expects .*{message}"):
        load_model(make(tmp_path))


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="'none.keras', which is not there"):
        load_model(pathlib.Path("none.keras"))
