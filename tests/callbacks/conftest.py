import numpy as np
import pytest

import keras_valleys as kv
from helpers.fits import some_data
from helpers.lines import rosette_model

RADIANS = np.linspace(-1.5, 1.4, 99)


@pytest.fixture(scope="module")
def surface():
    return kv.surfaces.evaluate(
        kv.objectives.Objective(rosette_model(), *some_data()), coordinates=RADIANS
    )
