"""Which valleys a comparison counts, and what it calls the lowest point of a border."""

import dataclasses

import numpy as np
import pytest

import keras_valleys as kv
from helpers.lines import rosette_model
from keras_valleys.comparisons import compare
from keras_valleys.comparisons.reports import notes_on

PHI = np.linspace(-1.2, 1.1, 231)
ROUGH = kv.surfaces.Surface(
    np.cos(6 * PHI) - PHI + 0.05 * np.cos(70 * PHI), [PHI], [[1.0]], [0.0], ["phi"]
)
X = np.ones((4, 1))


def test_the_persistence_of_its_surface():
    given = dict(x=X, y=X, steps=2, verbose=0)
    found = compare(rosette_model, "sgd", **given, surface=ROUGH, persistence=0.5)
    few = kv.valleys.find_valleys(ROUGH, persistence=0.5)
    assert [v.loss for v in found.valleys] == [v.loss for v in few]
    assert len(few) < len(kv.valleys.find_valleys(ROUGH))
    with pytest.raises(ValueError, match="`compare` expects `persistence` with a `Surface` only"):
        compare(rosette_model, "sgd", **given, surface=few, persistence=0.5)
    with pytest.raises(ValueError, match="`persistence` with a `Surface` only. Received: no surfa"):
        compare(rosette_model, "sgd", **given, persistence=0.5)
    with pytest.raises(ValueError, match="`compare` expects `persistence` to be a number >= 0"):
        compare(rosette_model, "sgd", **given, surface=ROUGH, persistence=np.nan)


def test_the_notes_say_what_is_no_valley():
    slide = kv.valleys.find_valleys(kv.surfaces.Surface(-PHI, [PHI], [[1.0]], [0.0], ["phi"]))
    said = notes_on([], slide, 0.01, tuned=False, is_random=False)
    assert "succeeds if it ends where the loss is lowest at the border, of loss -1.1." in said[0]
    few = dataclasses.replace(
        kv.valleys.find_valleys(ROUGH, persistence=0.5), dropped=7, persistence=0.5
    )
    said = notes_on([], few, 0.01, tuned=False, is_random=False)
    assert "Valleys: 7 shallower than 0.5 not counted." in said
