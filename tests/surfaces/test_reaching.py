"""How far `reach` goes, beside closed forms and a slow walk."""

import keras
import numpy as np
import pytest

import keras_valleys as kv
from keras_valleys.surfaces import evaluate, reach


class Formula:
    """An objective of a formula, as exact as its numbers; it counts what it is asked."""

    num_rows, loss_name = 1, "formula"

    def __init__(self, function, point, dtype="float64"):
        self.function, self.dtype = function, dtype
        self._point = np.asarray(point, dtype)
        self.size, self.num_calls, self.num_points = self._point.size, 0, 0
        self.shapes = set()

    def point(self):
        return self._point.copy()

    def along(self, coefficients, directions, origin):
        rows = np.asarray(coefficients, self.dtype)
        self.num_calls, self.num_points = self.num_calls + 1, self.num_points + len(rows)
        self.shapes.add(rows.shape)
        points = np.asarray(origin, self.dtype) + rows @ np.asarray(directions, self.dtype)
        with np.errstate(all="ignore"):
            return np.array([self.function(point) for point in points], self.dtype)


CURVATURES = np.array([0.7, 40.0, 3e-3])
CENTER = np.array([0.5, -1.0, 2.0])


def bowl(floor):
    return lambda w: floor + 0.5 * np.sum(CURVATURES * (w - CENTER) ** 2)


def roots(objective, direction, origin, top):
    """Where a parabola is at a height, by its three numbers: the closed form."""
    low, here, high = (objective.function(origin + t * direction) for t in (-1, 0, 1))
    a, b = (high + low) / 2 - here, (high - low) / 2
    root = np.sqrt(b * b + 4 * a * (top - here))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def check_ends(axis, expected, bound=np.inf):
    """The ends have risen, and lie at most 1 % beyond the first that have, or at the bound."""
    for end, (low, sign) in zip(axis[[0, -1]], zip(expected, (-1, 1), strict=True), strict=True):
        if sign * low >= bound:
            assert sign * end == pytest.approx(bound, rel=1e-12)
        else:
            assert 1 - 1e-9 <= end / low <= 1.0102, (end, low)


@pytest.mark.parametrize("rise", [1.5, 10.0, 70.0])
@pytest.mark.parametrize("floor", [0.4, 20.0])
def test_a_bowl_is_left_where_the_closed_form_says(floor, rise):
    objective = Formula(bowl(floor), [0.9, -0.8, 1.0])
    directions = np.array([[3.0, 0.0, 0.1], [0.2, 0.5, -1.0]])
    x, y = reach(objective, directions, rise=rise, num_points=(7, 5))
    assert (len(x), len(y)) == (7, 5)
    here = objective.function(objective.point())
    for axis, direction in zip((x, y), directions, strict=True):
        low, high = roots(objective, direction, objective.point(), rise * here)
        bound = 10 * np.linalg.norm(objective.point()) / np.linalg.norm(direction)
        check_ends(axis, (low, high), bound)
        assert not np.isclose(-low, high, rtol=0.005)
        np.testing.assert_allclose(np.diff(axis), (axis[-1] - axis[0]) / (len(axis) - 1))
    assert objective.num_points <= 100 and objective.num_calls <= 25
    assert objective.shapes == {(4, 2)}  # one compiled program


def test_a_loss_below_zero_rises_by_multiples_of_its_size():
    objective = Formula(bowl(-5.0), CENTER)
    (axis,) = reach(objective, [1.0, 0.0, 0.0], rise=3.0)
    low, high = roots(objective, np.array([1.0, 0, 0]), CENTER, -5.0 + 2 * 5.0)
    check_ends(axis, (low, high))


@pytest.mark.parametrize("floor", [0.0, 1e-12, -1e-12])
def test_a_loss_of_nothing_rises_to_a_share_of_what_is_usual(floor):
    objective = Formula(bowl(floor), CENTER)
    directions = np.eye(3)[:2]
    axes = reach(objective, directions, rise=4.0)
    norm = np.linalg.norm(CENTER)
    usual = np.median(0.5 * CURVATURES[:2] * norm**2)
    for axis, direction in zip(axes, directions, strict=True):
        expected = roots(objective, direction, CENTER, floor + 3 * usual / 1000)
        check_ends(axis, expected)


def test_a_flat_way_ends_at_the_bound():
    def ramp(w):  # it rises to one side only, and never along the second weight
        return 1.0 + max(w[0] - 3.0, 0.0)

    objective = Formula(ramp, [0.0, 12.0])
    x, y = reach(objective, [[2.0, 0.0], [0.0, 0.5]], rise=5.0)
    assert 3.5 <= x[-1] <= 3.5 * 1.0101 and x[0] == -60.0
    assert (y[0], y[-1]) == (-240.0, 240.0)
    (axis,) = reach(Formula(lambda w: 0.0, [0.0]))  # near zero the norm is taken for 1
    assert (axis[0], axis[-1]) == (-10.0, 10.0)


@pytest.mark.parametrize("wall", [np.nan, np.inf, -np.inf])
def test_an_edge_that_diverges_has_risen(wall):
    objective = Formula(lambda w: wall if w[0] > 0.037 else 1 + 0.01 * w[0] ** 2, [0.0, 1.0])
    (axis,) = reach(objective, [1.0, 0.0])
    assert 0.037 < axis[-1] <= 0.037 * 1.0101
    assert axis[0] == -10.0  # 1 + 0.01 * 100 is twice the loss


def test_where_all_around_diverges_there_is_an_axis_still():
    objective = Formula(lambda w: 0.0 if w[0] == 0 else np.nan, [0.0])
    (axis,) = reach(objective, [1.0])
    assert axis[0] < 0 < axis[-1] < 1e-4 and np.all(np.diff(axis) > 0)


def test_a_way_goes_on_through_a_valley_to_where_the_loss_has_risen():
    objective = Formula(lambda w: 1 + (w[0] - 2) ** 2, [0.0])  # 5 at 0, lower till 4
    (axis,) = reach(objective, [1.0], rise=2.0)
    check_ends(axis, (-1.0, 5.0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_as_axes_have_the_weight_as_coordinate(dtype):
    objective = Formula(lambda w: 2 + (w[0] - 0.1) ** 2 + 9 * (w[1] + 4) ** 2, [0.1, -4], dtype)
    x, y = reach(objective, rise=3.0)
    np.testing.assert_allclose(x[[0, -1]] - 0.1, [-2, 2], rtol=0.011)
    np.testing.assert_allclose(y[[0, -1]] + 4, [-2 / 3, 2 / 3], rtol=0.011)
    assert (len(x), len(y)) == (51, 41)


def real_network():
    x = np.random.RandomState(3).normal(size=(60, 3)).astype("float32")
    keras.utils.set_random_seed(4)
    layers = [keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("sgd", "mean_squared_error")
    return kv.objectives.Objective(model, x, x[:, :1] - 2 * x[:, 2:])


def test_a_real_network_is_sampled_from_end_to_end():
    objective = real_network()
    directions = kv.directions.random(objective, 2, seed=1)
    before = objective.point()
    axes = reach(objective, directions, rise=2.5, num_points=7)
    np.testing.assert_array_equal(objective.point(), before)
    here = float(objective(before))
    surface = evaluate(objective, directions, coordinates=axes, verbose=0)
    assert surface.losses.shape == (7, 7)
    for axis, direction in zip(axes, directions.vectors, strict=True):
        for end in axis[[0, -1]]:  # a slow walk to it: it is the first that has risen
            way = np.linspace(0, end, 401)
            losses = objective(before + way[:, None] * direction)
            first = np.argmax(losses >= 2.5 * here)
            assert losses[-1] >= 2.5 * here * (1 - 1e-5)
            assert way[first] / end >= 0.985


def test_an_angle_goes_half_a_turn_at_most():
    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])
    model.compile(loss=kv.losses.RootError())
    (x, y), _ = kv.datasets.rosette(num_points=10)
    model.layers[-1].phi.assign(0.3)
    objective = kv.objectives.Objective(model, x, y)
    (axis,) = reach(objective, rise=50.0)
    assert axis[-1] == pytest.approx(0.3 + np.pi / 2, rel=1e-6)
    assert axis[0] == pytest.approx(0.3 - np.pi / 2, rel=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rise": 1}, "`rise` to be a number > 1"),
        ({"rise": 0.5}, "`rise` to be a number > 1"),
        ({"rise": np.nan}, "`rise` to be a number > 1"),
        ({"rise": np.inf}, "`rise` to be a number > 1"),
        ({"rise": "2"}, "`rise` to be a number > 1"),
        ({"num_points": 1}, "`num_points` to be 1 integers >= 2"),
        ({"num_points": 2.5}, "`num_points` to be 1 integers >= 2"),
        ({"directions": np.ones((3, 2))}, "one or two `directions` of 2 numbers"),
        ({"directions": [1.0, 2.0, 3.0]}, "one or two `directions` of 2 numbers"),
        ({"directions": [0.0, 0.0]}, "`reach` expects directions that lead somewhere"),
        ({"directions": [np.nan, 1.0]}, "`reach` expects finite `directions`"),
        ({"origin": [1.0]}, "`reach` expects"),
        ({"origin": [np.inf, 1.0]}, "`reach` expects"),
        ({"objective": 3}, "`objective` to be a"),
        ({"objective": Formula(lambda w: np.nan, [1.0, 2.0])}, "a finite loss at the origin"),
    ],
)
def test_what_it_does_not_take(change, message):
    given = {"objective": Formula(lambda w: w @ w, [1.0, 2.0]), "directions": [1.0, 0.0], **change}
    with pytest.raises(ValueError, match=message):
        reach(**given)
