"""How many workers an executor has, where it says so and where it does not."""

import concurrent.futures
import os
import types

import pytest

from keras_valleys.surfaces.executors import num_workers


def test_a_pool_of_the_standard_library_says_it():
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        assert num_workers(executor) == 3


@pytest.mark.parametrize(
    "attributes, expected",
    [
        ({"num_workers": 5}, 5),  # as mpi4py has it
        ({"_max_workers": 7}, 7),
        ({"_max_workers": None}, os.cpu_count()),
        ({"num_workers": "many"}, os.cpu_count()),
        ({}, os.cpu_count()),  # as Dask has it, or a later Python
    ],
)
def test_others(attributes, expected):
    assert num_workers(types.SimpleNamespace(**attributes)) == expected
