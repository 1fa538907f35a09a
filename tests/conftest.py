"""Maps of basins, which are tested and drawn."""

import pytest
from keras import optimizers

from helpers import basin_maps
from keras_valleys.descents import basin_map

STARTS, RATES = basin_maps.STARTS, basin_maps.RATES


@pytest.fixture(scope="session")
def rosette():
    return basin_maps.rosette()


@pytest.fixture(scope="session")
def waves():
    return basin_maps.waves()


@pytest.fixture(scope="session")
def by_start(rosette):
    objective, valleys = rosette
    makes = {"plain": optimizers.SGD(0.02), "adam": "adam", "plain again": optimizers.SGD(0.02)}
    return basin_map(objective, makes, STARTS, 25, valleys)


@pytest.fixture(scope="session")
def by_rate(rosette):
    objective, valleys = rosette
    return basin_map(objective, optimizers.SGD(0.7), STARTS, 25, valleys, learning_rates=RATES)
