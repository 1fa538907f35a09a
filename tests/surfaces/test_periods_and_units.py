"""What a surface says of its axes: given, declared by layers, saved, and in print."""

import math

import keras
import numpy as np
import pytest

import keras_valleys as kv
from keras_valleys._files import read_archive, write_archive
from keras_valleys.surfaces import Surface, axis_text, coordinate_text, evaluate

GRID = [np.linspace(-1, 2, 4), np.linspace(0, 4, 3)]


def plane(**options):
    return Surface(
        np.arange(12.0).reshape(4, 3), GRID, np.eye(2), np.zeros(2), ["phi", "b"], **options
    )


class Wave(keras.layers.Layer):
    """radius * cos(x + theta): a layer of a user's own, with one angle and one length."""

    def __init__(self, period=2 * math.pi, **options):
        super().__init__(**options)
        self.period = period

    def build(self, input_shape):
        self.theta = self.add_weight(name="theta", shape=(), initializer="zeros")
        self.radius = self.add_weight(name="radius", shape=(), initializer="ones")
        self.theta.period, self.theta.unit = self.period, "rad"
        self.radius.unit = "m"

    def call(self, x):
        return self.radius * keras.ops.cos(x + self.theta)


class Plain(keras.layers.Layer):
    """A weight that is named phi and is no angle."""

    def build(self, input_shape):
        self.phi = self.add_weight(name="phi", shape=(), initializer="ones")

    def call(self, x):
        return self.phi * x


def objective_of(layer, **options):
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(loss="mean_squared_error")
    x = np.linspace(-1, 2, 7)[:, None]
    return kv.objectives.Objective(model, x, np.cos(x), **options)


def test_an_axis_has_neither_unless_it_is_said():
    surface = plane()
    assert surface.periods == (None, None) and surface.units == ("", "")
    assert Surface([1, 2], [[0, 1]], [[1.0]], [0.0], "phi").units == ("",)


def test_they_are_given_per_axis():
    surface = plane(periods=[3, None], units=["rad", None])
    assert surface.periods == (3.0, None) and surface.units == ("rad", "")
    line = Surface([1, 2], [[0, 1]], [[1.0]], [0.0], periods=np.float32(2), units="rad")
    assert line.periods == (2.0,) and line.units == ("rad",)
    assert plane(periods=np.array([1.0, 2.0]), units=()).periods == (1.0, 2.0)


@pytest.mark.parametrize(
    "periods",
    [
        1.0,
        (1,),
        (1, 2, 3),
        (0, None),
        (-1, 1),
        (math.inf, 1),
        (math.nan, 1),
        (True, None),
        ("pi", None),
        "pi",
    ],
)
def test_what_is_no_period_is_refused(periods):
    with pytest.raises(ValueError, match="`Surface` expects `periods`.*Received: periods="):
        plane(periods=periods)


@pytest.mark.parametrize("units", ["rad", ("rad",), (1, 2), 3, ("a", "b", "c")])
def test_what_is_no_unit_is_refused(units):
    with pytest.raises(ValueError, match="`Surface` expects `units`.*Received: units="):
        plane(units=units)


def test_files_keep_them(tmp_path):
    surface = plane(periods=(2 * np.pi, None), units=("rad", "m/s"))
    surface.save(tmp_path / "surface.npz")
    loaded = Surface.load(tmp_path / "surface.npz")
    assert loaded.periods == surface.periods and loaded.units == surface.units
    line = Surface([1, 2], [[0, 1]], [[1.0]], [0.0], "phi")
    line.save(tmp_path / "line.npz")
    loaded = Surface.load(tmp_path / "line.npz")
    assert loaded.periods == (None,) and loaded.units == ("",)  # the label says nothing


def as_version_0_1(path):
    """The file without what version 0.1 did not write."""
    names = ["losses", "coordinates_0", "coordinates_1", "directions", "origin", "labels"]
    fields = read_archive(path, "surface", [*names, "loss_name", "details", "periods", "units"])
    write_archive(
        path, "surface", **{k: v for k, v in fields.items() if k not in ("periods", "units")}
    )


def test_in_files_of_version_0_1_phi_is_the_angle_of_a_line(tmp_path):
    path = tmp_path / "surface.npz"
    plane().save(path)
    as_version_0_1(path)
    loaded = Surface.load(path)
    assert loaded.labels == ("phi", "b")
    assert loaded.periods == (np.pi, None) and loaded.units == ("rad", "")
    loaded.save(path)
    assert Surface.load(path).periods == (np.pi, None)


def test_half_of_them_is_a_damaged_file(tmp_path):
    path = tmp_path / "surface.npz"
    plane().save(path)
    names = ["losses", "coordinates_0", "coordinates_1", "directions", "origin", "labels"]
    fields = read_archive(path, "surface", [*names, "loss_name", "details", "units"])
    write_archive(path, "surface", **fields)
    with pytest.raises(ValueError, match="`Surface.load` expects a file written by"):
        Surface.load(path)


def test_a_surface_over_the_weights_has_what_layers_declare():
    surface = evaluate(objective_of(Wave()), coordinates=GRID)
    assert surface.labels == ("theta", "radius")
    assert surface.periods == (2 * math.pi, None) and surface.units == ("rad", "m")
    surface = evaluate(objective_of(kv.layers.AngleFit()), coordinates=GRID[0])
    assert surface.periods == (math.pi,) and surface.units == ("rad",)
    refined = evaluate(objective_of(kv.layers.AngleFit()), coordinates=GRID[0], refine=0.1)
    assert refined.periods == (math.pi,) and len(refined.losses) > 4


def test_a_weight_named_phi_is_no_angle_for_its_name():
    surface = evaluate(objective_of(Plain()), coordinates=GRID[0])
    assert surface.labels == ("phi",) and surface.periods == (None,) and surface.units == ("",)


def test_axes_along_one_weight_have_its_period_in_their_own_length():
    objective = objective_of(Wave())
    axes = kv.directions.coordinate(objective, ["radius", "theta"])
    surface = evaluate(objective, axes, coordinates=GRID)
    assert surface.periods == (None, 2 * math.pi) and surface.units == ("m", "rad")
    surface = evaluate(objective, [[-4.0, 0.0], [0.0, -1.0]], coordinates=GRID)
    assert surface.periods == (math.pi / 2, None) and surface.units == ("", "m")
    # One period on, the loss is the same.
    ends = evaluate(objective, [-4.0, 0.0], coordinates=[0.2, 0.2 + math.pi / 2])
    assert ends.losses[1] == pytest.approx(float(ends.losses[0]), rel=1e-5)


def test_axes_that_mix_weights_have_none():
    objective = objective_of(Wave())
    surface = evaluate(objective, [[1.0, 1e-9], [0.0, 1.0]], coordinates=GRID)
    assert surface.periods == (None, None) and surface.units == ("", "m")


def test_only_the_chosen_weights_count():
    objective = objective_of(Wave(), variables="theta")
    assert evaluate(objective, coordinates=GRID[0]).periods == (2 * math.pi,)
    objective = objective_of(Wave(), variables="radius")
    assert evaluate(objective, coordinates=GRID[0]).units == ("m",)


def test_what_is_given_overrules_what_is_declared():
    objective = objective_of(Wave())
    options = {"periods": (None, 3.0), "units": ("", "s")}
    surface = evaluate(objective, coordinates=GRID, **options)
    assert surface.periods == (None, 3.0) and surface.units == ("", "s")
    surface = evaluate(objective, coordinates=GRID, periods=(), units=())
    assert surface.periods == (None, None) and surface.units == ("", "")
    plain = evaluate(objective_of(Plain()), coordinates=GRID[0], periods=1.5, units="rad")
    assert plain.periods == (1.5,) and plain.units == ("rad",)
    with pytest.raises(ValueError, match="expects `periods`"):
        evaluate(objective, coordinates=GRID, periods=3.0)


def test_a_path_along_a_coordinate_goes_round():
    """Offsets from the origin, on a ring: two axes, the second an angle."""
    objective = objective_of(Wave())
    axes = kv.directions.coordinate(objective, ["radius", "theta"])
    grid = [np.linspace(-1, 1.5, 26), np.linspace(-np.pi, np.pi, 73)]
    surface = evaluate(objective, axes, coordinates=grid, origin=[0.25, 1.0])
    valleys = kv.valleys.find_valleys(surface)
    assert valleys.periodic == (None, 2 * math.pi)
    weights = [[0.1, 1.1], [0.1 + 2 * math.pi, 1.1], [0.1 - 20 * math.pi, 1.1]]
    inside = valleys.at(kv.trajectories.project(weights, surface))
    assert inside[0] >= 0 and set(inside) == {inside[0]}


@pytest.mark.parametrize(
    "value, unit, long, short",
    [
        (math.pi / 5, "rad", "36.000°", "36°"),
        (-1e-9, "rad", "0.000°", "0°"),
        (-math.pi / 2, "rad", "-90.000°", "\N{MINUS SIGN}90°"),
        (0.123456789, "", "0.12346", "0.123"),
        (-0.0, "", "0", "0"),
        (-1234567.0, "m", "-1.2346e+06 m", "\N{MINUS SIGN}1.23e+06 m"),
        (25.5, "°", "25.500°", "25.5°"),
        (math.nan, "rad", "nan°", "nan°"),
        (math.inf, "", "inf", "inf"),
    ],
)
def test_a_coordinate_in_print(value, unit, long, short):
    assert coordinate_text(value, unit) == long
    assert coordinate_text(value, unit, short=True) == short


def test_an_axis_in_print():
    assert axis_text("theta", "rad") == "theta (°)"
    assert axis_text("phi") == "phi" and axis_text("speed", "m/s") == "speed (m/s)"
