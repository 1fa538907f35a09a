"""Leading eigenvalues and traces of matrices, against the dense solver and Hutchinson's formula."""

import numpy as np
import pytest

from keras_valleys import _linalg, gradients


def matrix(values, seed=3):
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    return (turn * np.asarray(values, "float64")) @ turn.T


SPECTRA = {
    "one": ([5.0], 1),
    "two": ([2.0, 5.0], 2),
    "repeated": ([5, 5, 1, -9], 2),
    "often repeated": ([3] * 20 + [1] * 30, 4),
    "nothing but one value": ([3] * 30, 3),
    "zero": ([0] * 30, 2),
    "all negative": (-np.arange(1, 90.0), 2),
    "few large ones": (np.r_[100, 90, np.linspace(-1, 1, 150)], 3),
    "evenly spread": (np.linspace(0, 1, 131), 3),
    "second far below": (np.r_[1e6, 30, np.linspace(1, 2, 90)], 2),
    "all of them": (np.arange(1, 18.0), 17),
    "tiny": (np.r_[1e-30, 3e-30, -2e-30], 2),
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("rows", [24, 256], ids=["restarted", "whole"])
def test_leading_eigenvalues_are_those_of_the_dense_solver(name, rows, monkeypatch):
    monkeypatch.setattr(_linalg, "BASIS_ROWS", rows)
    values, count = SPECTRA[name]
    dense = matrix(values)
    found = _linalg.leading(lambda vector: dense @ vector, len(dense), count, tolerance=1e-6)
    expected = np.sort(values)[::-1][:count]
    scale = np.abs(values).max()
    np.testing.assert_allclose(found.values, expected, rtol=1e-9, atol=1e-13 * scale)
    measured = np.linalg.norm(found.vectors @ dense - found.values[:, None] * found.vectors, axis=1)
    np.testing.assert_allclose(found.residuals, measured, atol=1e-13 * scale)
    assert found.converged and np.all(measured <= 1e-6 * np.abs(expected) + 1e-13 * scale)


@pytest.mark.parametrize("count", [1, 3])
def test_the_trace_is_estimated_without_bias_and_its_error_is_right(count):
    values = np.r_[100, 50, 20, np.linspace(-1, 2, 60)]
    dense = matrix(values)

    def multiply(vector):
        return dense @ vector

    pairs = _linalg.leading(multiply, len(values), count, tolerance=1e-9)
    found = [gradients._trace(multiply, pairs, 50, seed) for seed in range(200)]
    traces, errors, products = np.transpose(found)
    assert np.all(products == 50)
    spread = np.std(traces, ddof=1)
    assert abs(np.mean(traces) - values.sum()) < 4 * spread / np.sqrt(200)
    assert np.mean(errors) == pytest.approx(spread, rel=0.15)
    rest = matrix(values) - (pairs.vectors.T * pairs.values) @ pairs.vectors
    expected = np.sqrt(2 * (np.sum(rest**2) - np.sum(np.diag(rest) ** 2)) / 50)
    assert spread == pytest.approx(expected, rel=0.15)  # Hutchinson's own formula


def test_noisy_products_are_not_asked_for_more_than_they_say():
    dense = matrix(np.r_[100, 90, np.linspace(-1, 1, 150)])
    random = np.random.default_rng(1)

    def multiply(vector):
        return (dense @ vector) * (1 + 1e-7 * random.normal(size=len(vector)))

    found = _linalg.leading(multiply, 152, 3, tolerance=1e-12, precision=2.0**-23)
    assert found.converged and found.num_products < 152
    np.testing.assert_allclose(found.values, [100, 90, 1], atol=1e-4)
