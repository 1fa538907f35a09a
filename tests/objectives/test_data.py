"""The rows of an objective: arrays, data sets that stay the same, and what cannot be used."""

import pickle

import keras
import numpy as np
import pytest

from helpers import models, references
from helpers.objectives import some_points
from keras_valleys.objectives import Objective


class Table(keras.utils.PyDataset):
    """Batches of arrays; `shuffled` gives other rows at each pass."""

    def __init__(self, x, y, shuffled=False):
        super().__init__()
        self.x, self.y, self.shuffled = x, y, shuffled
        self.random = np.random.RandomState(6)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(10 * index, 10 * index + 10)
        x = self.random.permutation(self.x[rows]) if self.shuffled else self.x[rows]
        return x, self.y[rows]


def tf_dataset(x, y, shuffled=False):
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    return (dataset.shuffle(len(x), seed=3) if shuffled else dataset).batch(10)


def data_loader(x, y, shuffled=False):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.as_tensor(x), torch.as_tensor(y))
    return torch.utils.data.DataLoader(data, batch_size=10, shuffle=shuffled)


DATASETS = [Table, tf_dataset, data_loader]


@pytest.mark.parametrize("streams", [False, True], ids=["kept", "streamed"])
@pytest.mark.parametrize("make", DATASETS, ids=lambda make: make.__name__)
def test_data_sets(make, streams, monkeypatch):
    if streams:
        monkeypatch.setattr("keras_valleys.objectives.data.KEPT_BYTES", 200)
    model, x, y = models.batch_normalization()
    dataset = make(x.astype("float32"), y.astype("float32"))
    objective = Objective(model, dataset)
    assert objective.streams == streams and objective.num_rows == len(x)
    points = some_points(objective)
    expected = references.evaluate_at(model, points, x, y, batch_size=10)
    np.testing.assert_allclose(objective(points), expected, rtol=1e-6)
    assert objective.fingerprint == Objective(model, x, y, batch_size=10).fingerprint
    assert objective.fingerprint != Objective(model, x, y + 1e-3, batch_size=10).fingerprint


@pytest.mark.parametrize("streams", [False, True], ids=["kept", "streamed"])
@pytest.mark.parametrize("make", DATASETS, ids=lambda make: make.__name__)
def test_data_that_change_from_pass_to_pass_are_refused(make, streams, monkeypatch):
    if streams:
        monkeypatch.setattr("keras_valleys.objectives.data.KEPT_BYTES", 200)
    model, x, y = models.sequential()
    with pytest.raises(ValueError, match="Leave out shuffling and augmentation"):
        Objective(model, make(x.astype("float32"), y.astype("float32"), shuffled=True))


def test_data_that_change_later_are_refused_too(monkeypatch):
    monkeypatch.setattr("keras_valleys.objectives.data.KEPT_BYTES", 200)
    monkeypatch.setattr("keras_valleys.objectives.data.NUM_COMPARED", 1)
    model, x, y = models.sequential()
    table = Table(x, y)
    objective = Objective(model, table)
    table.y = np.concatenate([y[:-1], y[-1:] + 1])
    with pytest.raises(ValueError, match="other batches on the second pass"):
        objective(objective.point())
    table.y = y
    Table.__len__ = lambda self: 2
    try:
        with pytest.raises(ValueError, match="other batches on the second pass"):
            objective(objective.point())
    finally:
        Table.__len__ = lambda self: 3
    assert np.isfinite(objective(objective.point()))


def endless(x, y):
    return tf_dataset(x, y).repeat()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda x, y: zip(x, y, strict=True), "Pass arrays, a tf.data.Dataset"),
        (lambda x, y: ((a, b) for a, b in zip(x, y, strict=True)), "Pass arrays, a tf.data"),
        (endless, "repeats for ever"),
        (lambda x, y: tf_dataset(x, y).take(0), "empty"),
        (lambda x, y: np.array(["a", None], object), "Convert it to arrays of numbers"),
    ],
)
def test_data_that_cannot_be_used_are_refused(make, message):
    model, x, y = models.sequential()
    with pytest.raises(ValueError, match=message):
        Objective(model, make(x, y))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 0}, "`batch_size` >= 1"),
        ({"sample_weight": np.ones(models.ROWS), "class_weight": {0: 2}}, "Multiply the sample"),
        ({"class_weight": [1, 2]}, "a dictionary of classes to weights"),
        ({"sample_weight": np.ones(3)}, "of one length >= 1"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, message):
    model, x, y = models.sequential()
    with pytest.raises(ValueError, match=message):
        Objective(model, x, y, **options)
    with pytest.raises(ValueError, match="a data set alone"):
        Objective(model, Table(x, y), y)


def test_a_tf_data_set_cannot_be_sent():
    model, x, y = models.sequential()
    with pytest.raises(ValueError, match="Pass arrays"):
        pickle.dumps(Objective(model, tf_dataset(x, y)))
