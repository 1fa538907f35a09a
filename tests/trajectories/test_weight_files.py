"""Trajectories from files of weights."""

import keras
import numpy as np
import pytest

from helpers.objectives import small_data, small_model
from keras_valleys.trajectories import from_checkpoints


def state(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def trained(folder, name="w-{epoch}.weights.h5", weights_only=True, epochs=11):
    model = small_model()
    keep = keras.callbacks.ModelCheckpoint(str(folder / name), save_weights_only=weights_only)
    rows = [np.concatenate([np.ravel(v) for v in model.trainable_variables])]
    after = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: rows.append(
            np.concatenate([np.ravel(v) for v in model.trainable_variables])
        )
    )
    model.fit(*small_data(), epochs=epochs, verbose=0, callbacks=[keep, after])
    return model, np.array(rows[1:])


@pytest.mark.parametrize(
    "name, weights_only", [("w-{epoch}.weights.h5", True), ("w-{epoch}.keras", False)]
)
def test_from_checkpoints_reads_a_series_in_natural_order(tmp_path, name, weights_only):
    model, rows = trained(tmp_path, name, weights_only)
    pattern = str(tmp_path / name.replace("{epoch}", "*"))
    for reader in (model, small_model(9)):  # the second has an optimizer that was never used
        before = state(reader)
        path = from_checkpoints(reader, pattern, label="adam")
        assert path.steps.tolist() == list(range(1, 12))
        np.testing.assert_array_equal(path.weights, rows)
        assert np.isnan(path.losses).all()
        assert (path.label, path.loss_source) == ("adam", "none: weights from files")
        for old, new in zip(before, state(reader), strict=True):
            np.testing.assert_array_equal(old, new)
    files = sorted(tmp_path.glob("*"), key=lambda file: len(file.name))[::-1][:2]
    path = from_checkpoints(model, files, steps=[4, 8])
    assert path.steps.tolist() == [4, 8]
    numbers = [int(file.name.split(".")[0][2:]) - 1 for file in files]
    np.testing.assert_array_equal(path.weights, rows[numbers])


def test_from_checkpoints_takes_steps_from_the_names_that_rise(tmp_path):
    model = small_model()
    for names, steps in (
        (["run3-e10-0.53", "run3-e20-0.41", "run3-e100-0.45"], [10, 20, 100]),
        (["e1-b5", "e1-b9", "e2-b5"], [0, 1, 2]),
        (["a", "b"], [0, 1]),
        (["a1", "b"], [0, 1]),
        (["7"], [7]),
    ):
        files = [str(tmp_path / f"{name}.weights.h5") for name in names]
        for file in files:
            model.save_weights(file)
        assert from_checkpoints(model, files).steps.tolist() == steps
    assert len(from_checkpoints(model, tmp_path / "7.weights.h5")) == 1


@pytest.mark.parametrize("bad", ["junk", "empty", "cut", "other", "less", "interrupt"])
def test_a_bad_file_in_the_series_is_named_and_the_model_is_as_it_was(tmp_path, monkeypatch, bad):
    model, _ = trained(tmp_path, epochs=3)
    file, error = tmp_path / "w-2.weights.h5", ValueError
    data = file.read_bytes()
    layers = [keras.Input((2,)), keras.layers.Dense(3)]
    match = rf"files of weights of '{model.name}'.*Received: .*w-2.weights.h5', which is damaged or"
    if bad == "interrupt":
        whole = model.load_weights
        taken = []

        def load(path):
            whole(path)
            taken.append(path)
            if len(taken) == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr(model, "load_weights", load)
        error, match = KeyboardInterrupt, None
    elif bad == "other":
        keras.Sequential([*layers, keras.layers.Dense(4)]).save_weights(file)
    elif bad == "less":  # Keras itself loads these without a word
        deep = [keras.layers.BatchNormalization(), keras.layers.Dense(1), keras.layers.Dense(1)]
        keras.Sequential([*layers, *deep]).save_weights(file)
    else:
        file.write_bytes({"junk": b"junk", "empty": b"", "cut": data[: len(data) // 2]}[bad])
    before = state(model)
    with pytest.raises(error, match=match):
        from_checkpoints(model, str(tmp_path / "w-*.weights.h5"))
    for old, new in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not np.array_equal(before[0], np.zeros_like(before[0]))


def test_from_checkpoints_refuses_no_files_no_model_and_other_steps(tmp_path):
    model = small_model()
    model.save_weights(tmp_path / "a.weights.h5")
    for paths in ([], str(tmp_path / "b*"), [tmp_path / "a.weights.h5", tmp_path / "none.keras"]):
        with pytest.raises(FileNotFoundError, match="`paths` to be a list of files or a pattern"):
            from_checkpoints(model, paths)
    with pytest.raises(FileNotFoundError, match="none.keras', which is no file"):
        from_checkpoints(model, [tmp_path / "none.keras"])
    for steps in ([1, 2], 3):
        with pytest.raises(ValueError, match="`steps` to be one rising integer per file.*1 files"):
            from_checkpoints(model, [tmp_path / "a.weights.h5"], steps=steps)
    with pytest.raises(ValueError, match="`steps` to be one rising integer per file"):
        from_checkpoints(model, [tmp_path / "a.weights.h5"] * 2, steps=[2, 1])
    with pytest.raises(ValueError, match="expects a built model with trainable weights"):
        from_checkpoints(keras.Sequential([keras.layers.Dense(1)]), [tmp_path / "a.weights.h5"])
