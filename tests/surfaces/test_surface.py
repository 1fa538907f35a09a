"""Losses on a grid: which axis is which, files, and what is refused."""

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers import references
from helpers.formulas import AXES, PLANE, Bowl
from helpers.lines import dense_model, rosette_model
from keras_valleys.objectives import Objective
from keras_valleys.surfaces import Surface, evaluate


@pytest.mark.parametrize(
    "options, message",
    [
        ({"verbose": 2}, "`verbose` to be 'auto', 0 or 1"),
        ({"executor": 4}, "`executor` to be a concurrent.futures.Executor"),
        ({"refine": 0.0}, "`refine` to be a tolerance > 0"),
        ({"refine": True}, "`refine` to be a tolerance > 0"),
        ({"refine": "fine"}, "`refine` to be a tolerance > 0"),
        ({"refine": 1e-3}, "one coordinate array where `refine` is given"),
        ({"directions": "ab"}, "`directions` to be an array of numbers"),
        ({"origin": ["a", "b"]}, "`origin` to be an array of numbers"),
        ({"coordinates": "ab"}, "`coordinates` to be an array of numbers"),
        ({"labels": ["only one"]}, "Make the shapes agree"),
    ],
)
def test_bad_input_is_refused_before_any_work(options, message, tmp_path):
    objective = Bowl()
    path = tmp_path / "surface.partial.npz"
    with pytest.raises(ValueError, match=message):
        evaluate(objective, **{**PLANE, "checkpoint": path, **options})
    assert objective.calls == [] and not path.exists()


class Pair:
    """What `keras_valleys.directions` returns, as far as surfaces look at it."""

    vectors = np.array([[1.0, 0.2], [-0.3, 0.9]])
    labels = ("first", "second")
    details = {"kind": "random", "seed": np.int64(3)}


def test_a_surface_says_where_it_comes_from(tmp_path):
    surface = evaluate(Bowl(), Pair(), coordinates=AXES)
    np.testing.assert_array_equal(surface.directions, Pair.vectors)
    assert surface.labels == Pair.labels
    assert surface.details["data"] == "bowl" and surface.details["num_points"] == 322
    assert surface.details["directions"] == {"kind": "random", "seed": 3}
    versions = surface.details["versions"]
    assert versions["keras"] == keras.__version__ and versions["numpy"] == np.__version__
    assert versions["keras_valleys"] == kv.__version__
    assert versions["backend"].startswith(keras.config.backend())
    surface.save(tmp_path / "surface.npz")
    assert Surface.load(tmp_path / "surface.npz").details == surface.details
    assert evaluate(Bowl(), Pair(), coordinates=AXES, labels=["u", "v"]).labels == ("u", "v")
    assert evaluate(Bowl(), **PLANE).details["directions"] == {"kind": "given"}
    assert evaluate(Bowl(), coordinates=AXES).details["directions"] == {"kind": "weights"}


def test_a_file_of_an_older_version_has_no_details(tmp_path):
    surface = evaluate(Bowl(), **PLANE)
    surface.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as archive:
        fields = {name: archive[name] for name in archive.files if name != "details"}
    np.savez(tmp_path / "old.npz", **fields)
    old = Surface.load(tmp_path / "old.npz")
    assert old.details == {}
    np.testing.assert_array_equal(old.losses, surface.losses)


@pytest.mark.parametrize("details", [{"model": object()}, ["a"], {"k": {1, 2}}])
def test_details_that_json_cannot_hold_are_refused(details):
    with pytest.raises(ValueError, match="`details` to be a dictionary of what JSON can hold"):
        Surface(np.zeros(3), [[0, 1, 3]], [[1.0]], [0.0], details=details)


def line():
    (x, y), _ = kv.datasets.straight_line(num_points=60)
    return dense_model(), x, y


def test_for_one_weight_the_coordinate_is_the_weight():
    (x, y), _ = kv.datasets.rosette()
    model = rosette_model()
    phi = np.linspace(-1.3, 1.4, 6)
    surface = evaluate(Objective(model, x, y), coordinates=phi)
    np.testing.assert_array_equal(surface.coordinates[0], phi)
    assert surface.labels == ("phi",) and surface.loss_name == "root_error"
    expected = references.evaluate_at(model, phi[:, None], x, y)
    np.testing.assert_allclose(surface.losses, expected, rtol=1e-6)
    np.testing.assert_array_equal(surface.origin, [0.0])


def test_a_quadratic_in_two_weights_is_that_quadratic_and_not_transposed():
    model, x, y = line()
    slopes, intercepts = np.linspace(-1.0, 6, 5), np.linspace(-2, 7.5, 4)
    surface = evaluate(Objective(model, x, y), coordinates=[slopes, intercepts])
    assert surface.losses.shape == (5, 4) and surface.labels == ("kernel", "bias")
    for i, a in enumerate(slopes):
        for j, b in enumerate(intercepts):
            exact = np.mean((a * x.astype("float64") + b - y) ** 2)
            assert surface.losses[i, j] == pytest.approx(exact, rel=1e-5)


def test_along_directions_from_the_present_weights():
    model, x, y = line()
    objective = Objective(model, x, y)
    direction = np.array([0.6, -1.7])
    t = np.array([-1.0, 0.5, 3.0])
    surface = evaluate(objective, direction, coordinates=[t], labels=["t"])
    expected = objective(objective.point() + t[:, None] * direction)
    np.testing.assert_allclose(surface.losses, expected, rtol=1e-6)
    np.testing.assert_array_equal(surface.origin, objective.point())
    assert surface.directions.shape == (1, 2) and surface.labels == ("t",)
    assert evaluate(objective, direction, coordinates=t).labels == ("direction 1",)


def test_save_and_load(tmp_path):
    surface = Surface(
        np.float32([[1, np.nan, 3], [np.inf, 5, 6]]),
        [[0, 1], [0, 2, 5]],
        np.random.RandomState(1).normal(size=(2, 4)),
        np.arange(4.0),
        ["slope", "intercept"],
        "mse",
    )
    surface.save(tmp_path / "surface.npz")
    loaded = Surface.load(tmp_path / "surface.npz")
    np.testing.assert_array_equal(loaded.losses, surface.losses)
    assert loaded.losses.dtype == np.float32
    for a, b in zip(loaded.coordinates, surface.coordinates, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(loaded.directions, surface.directions)
    np.testing.assert_array_equal(loaded.origin, surface.origin)
    assert (loaded.labels, loaded.loss_name) == (("slope", "intercept"), "mse")
    (tmp_path / "surface.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match="file written by `Surface.save`"):
        Surface.load(tmp_path / "surface.npz")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"coordinates": [0.0, 1.0]}, "expects `directions` unless the model has one weight per"),
        ({"coordinates": []}, "one rising 1-D array of finite numbers"),
        ({"coordinates": [[], [0.0, 1.0]]}, "one rising 1-D array of finite numbers"),
        ({"coordinates": [[0.0, 1.0], [1.0, 0.0]]}, "one rising 1-D array of finite numbers"),
        ({"coordinates": [[0.0, np.nan], [0.0, 1.0]]}, "one rising 1-D array of finite numbers"),
        (
            {"directions": [1.0, 2.0, 3.0], "coordinates": [0.0, 1.0]},
            "one row of 2 numbers for each",
        ),
        (
            {"directions": [[1.0, 2.0]], "coordinates": [[0.0, 1.0], [0.0, 1.0]]},
            "`coordinates` to be one array for each of 1 direction. Received: 2 coordinate arrays",
        ),
        (
            {"directions": [1.0, 2.0], "coordinates": [0.0, 1.0], "origin": [0.0]},
            "`origin` of 2 numbers",
        ),
        ({"directions": [0.0, 0.0], "coordinates": [0.0, 1.0]}, "directions that lead somewhere"),
        (
            {"directions": [np.nan, 0.0], "coordinates": [0.0, 1.0]},
            "finite `directions` and a finite",
        ),
        (
            {"directions": [1.0, 0.0], "coordinates": [0.0, 1.0], "origin": [np.inf, 0.0]},
            "finite `directions` and a finite",
        ),
    ],
)
def test_bad_input_is_refused(options, message):
    objective = Objective(*line())
    with pytest.raises(ValueError, match=message):
        evaluate(objective, **options)


def test_it_keeps_copies_that_nobody_can_change():
    losses, x = np.ones(3), np.arange(3.0)
    surface = Surface(losses, x, [[1.0]], [0.0], "phi")
    losses[0], x[0] = 5, 7
    assert surface.losses[0] == 1 and surface.coordinates[0][0] == 0
    assert surface.labels == ("phi",)
    with pytest.raises(ValueError, match="read-only"):
        surface.losses[0] = 5


def test_fields_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="Make the shapes agree"):
        Surface(np.zeros((2, 3)), [[0, 1, 2], [0, 1]], np.eye(2), np.zeros(2))
    with pytest.raises(ValueError, match="Make the shapes agree"):
        Surface(np.zeros(3), [[0, 1, 2]], [[1.0]], [0.0], labels=["a", "b"])
