"""Coordinates, lines and planes through points, Hessian directions, against plain geometry."""

import json
import math

import numpy as np
import pytest

from helpers import models
from helpers.objectives import objective_of
from keras_valleys import directions, gradients, surfaces, trajectories
from keras_valleys.directions import Directions


def test_coordinates_are_single_weights():
    objective = objective_of(models.nested)
    for name in [objective.weight_names[7], objective.weight_names[-1]]:
        found = directions.coordinate(objective, name)
        assert found.labels == (name,) and found.details == {"kind": "coordinate", "names": [name]}
        assert np.flatnonzero(found).tolist() == [objective.weight_names.index(name)]
    assert objective.names[0].count("/") == 2  # a layer of a model within a model
    pair = f"{objective.names[-2]}[2,1]", " " + objective.names[0].split("/", 1)[-1] + "[ 0,3 ]"
    found = directions.coordinate(objective, pair)
    assert np.argmax(found, axis=1).tolist() == [objective.size - 3, 3]
    assert found.labels == (pair[0], pair[1].strip())
    single = objective_of(models.subclassed)
    places = {"scale": single.names.index(single.variables[0].path)}
    assert np.argmax(directions.coordinate(single, "scale")[0]) == places["scale"] == 0


@pytest.mark.parametrize(
    "names, message",
    [
        ("kernal[0, 1]", r"the name of a weight. Received: 'kernal\[0, 1\]'.*kernel\[2, "),
        ("kernel[0, 1]", r"more of the path. Received: 'kernel\[0, 1\]'. Weights that exist are "),
        ("dense_x/bias[1]", "the name of a weight"),
        ("{last}[3, 0]", r"an index within the shape \(3, 2\) of '.*kernel'. Received"),
        ("{last}[1]", r"within the shape \(3, 2\).*exist are '.*kernel\[2, 1\]'"),
        ("{last}", "an index within the shape"),
        ("{last}[-1, 0]", "an index within the shape"),
        (["{last}[0, 1]", "{last}[0,1]"], "the names of different weights"),
        ([], "the names of different weights"),
        (3, "names that are texts. Received: 3"),
        ([3], "names that are texts. Received: 3"),
    ],
)
def test_names_that_are_not_those_of_one_weight_are_refused(names, message):
    objective = objective_of(models.nested)

    def full(name):
        return name.replace("{last}", objective.names[-2]) if isinstance(name, str) else name

    names = [full(name) for name in names] if isinstance(names, list) else full(names)
    with pytest.raises(ValueError, match=f"`coordinate` expects .*{message}"):
        directions.coordinate(objective, names)


def test_between_two_points_and_through_three():
    start, end, third = np.random.RandomState(4).normal(size=(3, 6))
    line = directions.between(start, end)
    distance = np.linalg.norm(end - start)
    np.testing.assert_allclose(line.vectors, [(end - start) / distance], rtol=1e-12)
    np.testing.assert_allclose(line.details["coordinates"], [[0], [distance]])
    plane = directions.between(start, end, third)
    np.testing.assert_allclose(plane.vectors @ plane.vectors.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(plane[0], line[0], rtol=1e-12)
    points = start + np.array(plane.details["coordinates"]) @ plane
    np.testing.assert_allclose(points, [start, end, third], rtol=1e-12)
    assert plane.details["coordinates"][1][1] == 0 < plane.details["coordinates"][2][1]
    oblique = directions.between(start, end, third, orthonormal=False)
    np.testing.assert_array_equal(oblique, [end - start, third - start])
    assert oblique.details["coordinates"] == [[0, 0], [1, 0], [0, 1]]
    assert oblique.labels == ("from start to end", "towards third") and len(line.labels) == 1


def test_axes_begin_at_the_origin_that_they_were_made_with():
    objective = objective_of(models.sequential)
    here, random = objective.point(), np.random.RandomState(0)
    a, b = here + random.normal(size=(2, here.size))
    t = np.linspace(0, 1, 5)
    made = [
        directions.between(a, b, orthonormal=False),
        directions.hessian(objective, 1, origin=a),
        directions.random(objective, 1, origin=a),
        directions.random(objective, 1, origin=a, normalization=None),
    ]
    for line in made:
        np.testing.assert_array_equal(line.origin, a)
        with pytest.raises(ValueError, match="read-only"):
            line.origin[0] = 1
        for origin, begin in ((None, a), (b, b)):
            line_surface = surfaces.evaluate(objective, line, coordinates=t, origin=origin)
            np.testing.assert_allclose(line_surface.origin, begin, rtol=1e-6)
            points = begin + t[:, None] * line.vectors
            np.testing.assert_allclose(line_surface.losses, objective(points), rtol=1e-4)
        path = trajectories.Trajectory([0, 1], [a, b], [1.0, 0.5])
        (reach,) = trajectories.span(path, line, num_points=3)
        assert reach[0] <= 0 <= reach[-1]
    (reach,) = trajectories.span(path, made[0], num_points=3, margin=0.0)
    np.testing.assert_allclose(reach, [0, 0.5, 1], atol=1e-9)
    for line in (directions.hessian(objective, 1), directions.random(objective, 1)):
        assert line.origin is None
        line_surface = surfaces.evaluate(objective, line, coordinates=t)
        np.testing.assert_array_equal(line_surface.origin, here)
    with pytest.raises(ValueError, match="`origin` to be a weight vector of 2 finite numbers"):
        directions.Directions([[1.0, 0.0]], "x", origin=[1.0])


@pytest.mark.parametrize(
    "points, message",
    [
        (([1, 2], [1, 2]), "points that differ and are not on one line"),
        (([1, 2], [1, 3], [1, 2]), r"Received: points at the distances \[1.0, 0.0\]"),
        (([1, 2], [2, 3], [3, 4.0000001]), "not on one line"),
        (([1, 2, 3], [1, 2]), "`end` to be a weight vector of 3 finite numbers. Received: shape"),
        (([1, 2], [1, np.nan]), "`end` to be a weight vector"),
        (([1, np.inf], [1, 2]), "`start` to be a weight vector"),
        (([[1, 2]], [[1, 3]]), "`start` to be a weight vector"),
        (([1, 2], [1, 3], [1]), "`third` to be a weight vector"),
    ],
)
@pytest.mark.parametrize("orthonormal", [True, False])
def test_points_that_make_no_line_or_plane_are_refused(points, message, orthonormal):
    with pytest.raises(ValueError, match=f"`between` expects .*{message}"):
        directions.between(*points, orthonormal=orthonormal)


def test_hessian_directions_are_the_sharpest():
    objective = objective_of(models.sequential)
    origin = objective.point() + 0.1
    found = directions.hessian(objective, 3, origin=origin, seed=4)
    expected = gradients.sharpness(objective, origin, num_eigenvalues=3, seed=4)
    np.testing.assert_array_equal(found, expected.eigenvectors)
    assert found.details["eigenvalues"] == expected.eigenvalues.tolist()
    assert found.labels == ("eigenvector 1", "eigenvector 2", "eigenvector 3")
    step = 0.02
    losses = objective([origin + s * v for v in found for s in (-step, 0, step)]).reshape(3, 3)
    curvature = (losses.astype("float64") @ [1, -2, 1]) / step**2
    np.testing.assert_allclose(curvature, expected.eigenvalues, rtol=0.05)


def test_directions_are_an_array_with_labels():
    given = np.arange(6).reshape(2, 3)
    found = Directions(given, ["a", "b"])
    given[0, 0] = 99
    assert found[0].tolist() == [0, 1, 2] and found.labels == ("a", "b")
    assert found.shape == (2, 3) and len(found) == 2 and [len(row) for row in found] == [3, 3]
    assert np.asarray(found) is found.vectors and found.vectors.dtype == "float64"
    assert np.asarray(found, "float32").dtype == "float32"
    np.testing.assert_array_equal([1, 2] @ np.asarray(found), np.array([1, 2]) @ found)
    np.testing.assert_array_equal(np.array(found, copy=True), found)
    with pytest.raises(ValueError, match="copy"):
        np.array(found, "float32", copy=False)
    with pytest.raises(ValueError, match="read-only"):
        found.vectors[0, 0] = 1
    assert found.details == {"kind": "given"} and json.dumps(found.details)
    assert Directions(np.ones((1, 2)), "phi").labels == ("phi",)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([1, 2], ["a"]), r"`vectors` of shape \(K, P\) and K labels. Received: .* \(2,\)"),
        (([[1, 2]], ["a", "b"]), r"labels=\('a', 'b'\). Give each row one label"),
        ((np.empty((0, 3)), []), "`Directions` expects `vectors`"),
        (([[1, np.nan]], "a"), "finite `vectors`"),
        (([[1, 2]], "a", {"seed": np.int64(3)}), "`details` to be what JSON can write"),
        (([[1, 2]], "a", {"value": math.nan}), "`details` to be what JSON can write"),
    ],
)
def test_what_is_no_set_of_directions_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Directions(*arguments)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda o: directions.random(o, 27), "`random` expects `num_directions` .* from 1 to 26"),
        (lambda o: directions.random(o, 0), "Received: num_directions=0. Use num_directions=1"),
        (lambda o: directions.random(o, normalization="row"), 'be "filter", "layer" or None'),
        (lambda o: directions.random(o, seed=1.5), "`seed` to be an integer >= 0. Received"),
        (lambda o: directions.random(o, seed=-1), "Received: seed=-1"),
        (lambda o: directions.random(o, origin=[1.0]), r"vector of 26 finite numbers.*shape \(1,"),
        (lambda o: directions.random(o, origin=[np.inf] * 26), "NaN or infinite"),
        (lambda o: directions.random(o, origin=[0] * 26), "an origin of zeros. Give another"),
        (lambda o: directions.hessian(o, 27), "`hessian` expects `num_directions`"),
        (lambda o: directions.hessian(o, seed="a"), "`seed` to be an integer"),
        (lambda o: directions.principal(np.ones((3, 2)), 0), "`num_directions` to be an integer"),
        (lambda o: directions.principal([]), "`principal` expects trajectories, or arrays"),
        (
            lambda o: directions.principal([np.ones((3, 2)), np.ones((3, 4))]),
            r"over the same P weights. Received: shapes \[\(3, 2\), \(3, 4\)\]",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(objective_of(models.sequential))
