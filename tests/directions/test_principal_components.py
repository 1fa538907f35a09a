"""Principal directions against dense PCA."""

import tracemalloc

import numpy as np
import pytest

from keras_valleys import directions
from keras_valleys.directions import principal_components
from keras_valleys.trajectories import Trajectory


def walk(rows=23, size=40, seed=2):
    random = np.random.default_rng(seed)
    scales = np.r_[5, 3, 2, 0.1 * np.ones(size - 3)]
    turn = np.linalg.qr(random.normal(size=(size, size)))[0]
    return (random.normal(size=(rows, size)) * scales) @ turn + 7


def check_principal(found, rows, count):
    """The twin: the eigenvectors of the dense covariance."""
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    expected = vectors.T[::-1][:count]
    signs = np.sign([row[np.abs(row).argmax()] for row in expected])
    np.testing.assert_allclose(found, expected * signs[:, None], atol=1e-8)
    explained = (values[::-1] / values.sum())[:count]
    np.testing.assert_allclose(found.details["explained_variance"], explained, rtol=1e-9)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(count), atol=1e-12)


@pytest.mark.parametrize("gram_rows", [1, 1024], ids=["by products", "by all pairs"])
@pytest.mark.parametrize("shape", [(23, 40), (60, 40)])
def test_principal_directions_are_those_of_the_covariance(shape, gram_rows, monkeypatch):
    monkeypatch.setattr(principal_components, "GRAM_ROWS", gram_rows)
    monkeypatch.setattr(principal_components, "BLOCK_NUMBERS", 200)
    rows = walk(*shape)
    for count in (1, 3):
        check_principal(directions.principal(rows, count), rows, count)
    np.testing.assert_array_equal(directions.principal(rows), directions.principal(rows.tolist()))


def test_several_paths_are_one_set_of_rows():
    rows = walk(30)
    bad = rows.copy()[:8]
    bad[[1, 4, 6], [0, 3, 39]] = np.nan, np.inf, -np.inf
    paths = [
        Trajectory(np.arange(8), bad, np.zeros(8)),
        Trajectory(np.arange(12), rows[8:20], np.zeros(12)),
        rows[20:],
    ]
    found = directions.principal(paths, 3)
    check_principal(found, np.delete(rows, [1, 4, 6], axis=0), 3)
    assert found.details["kind"] == "principal" and found.details["num_rows"] == 27
    alone = directions.principal(paths[1])
    check_principal(alone, rows[8:20], 2)


def test_a_single_weight_has_one_principal_direction():
    found = directions.principal(np.array([[3.0], [4.0], [4.5]]), 1)
    assert found.vectors.tolist() == [[1.0]]
    assert found.details["explained_variance"] == pytest.approx([1.0])


@pytest.mark.parametrize("gram_rows", [1, 1024])
@pytest.mark.parametrize(
    "rows, message",
    [
        (np.ones((5, 3)), "at least 3 different finite rows .* span 0 dimensions"),
        (np.ones((1, 3)), "Received: 1 rows, 1 of them finite, that span 0 dimensions"),
        (np.full((4, 3), np.nan), "Received: 4 rows, 0 of them finite, that span 0"),
        (np.outer(np.arange(6.0), [1, 2, 3]) + 0.1, "6 of them finite, that span 1 dimensions"),
        (np.arange(6.0)[:, None], "span 1 dimensions"),
        (np.empty((0, 3)), "Received: 0 rows"),
    ],
)
def test_rows_that_span_too_little_are_refused(rows, message, gram_rows, monkeypatch):
    monkeypatch.setattr(principal_components, "GRAM_ROWS", gram_rows)
    with pytest.raises(ValueError, match=f"`principal` expects .*{message}"):
        directions.principal(rows)


def test_long_paths_of_large_models_need_little_memory():
    random = np.random.default_rng(1)
    rows = (random.normal(size=(1500, 2)) * [3, 2]).astype("float32")
    wide = rows @ random.normal(size=(2, 15_000)).astype("float32")
    tracemalloc.start()
    found = directions.principal(wide)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < wide.nbytes / 2  # 90 MB; a float64 copy alone would be 180
    assert sum(found.details["explained_variance"]) == pytest.approx(1, abs=1e-6)
    left = wide[::100] - wide.mean(axis=0)
    inside = left @ found.vectors.T @ found.vectors
    np.testing.assert_allclose(inside, left, atol=1e-3)


def test_directions_are_turned_to_be_nearest_to_others():
    path = np.random.default_rng(0).normal(size=(30, 6)) * [9, 7, 5, 1, 0.1, 0.1]
    plain = directions.principal(path)
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for wanted in (turn @ plain.vectors, np.diag([1, -1]) @ plain.vectors, plain.vectors[::-1]):
        found = directions.principal(path, like=wanted)
        np.testing.assert_allclose(found.vectors, wanted, atol=1e-9)
        assert found.details["turned"] and found.labels[0].startswith("path direction")
        rows = path - path.mean(axis=0)
        shares = np.square(rows @ found.vectors.T).sum(axis=0) / np.square(rows).sum()
        np.testing.assert_allclose(found.details["explained_variance"], shares, rtol=1e-9)
    other = np.random.default_rng(1).normal(size=(2, 6))
    found, best = directions.principal(path, like=other), -np.inf
    for angle in np.linspace(0, 2 * np.pi, 721):  # the slow twin: every turn, and its mirror image
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        for one in (turn, np.diag([1, -1]) @ turn):
            best = max(best, float(np.sum((one @ plain.vectors) * other)))
    assert np.sum(found.vectors * other) >= best - 1e-9
    with pytest.raises(ValueError, match=r"`like` to be directions of shape \(2, 6\)"):
        directions.principal(path, like=np.ones((1, 6)))
