"""The table of valleys, its file, and what cannot be changed."""

import csv
import dataclasses
import io
import pickle

import numpy as np
import pytest

from helpers.surfaces import X, Y, curve, himmelblau, plane
from keras_valleys.surfaces import Surface
from keras_valleys.valleys import Valleys, find_valleys


def test_the_table():
    phi = np.linspace(-np.pi / 2, np.pi / 2, 181)
    angles = Surface(np.cos(6 * phi) + 0.1 * phi, [phi], [[1.0]], [0.0], ["phi"], units="rad")
    valleys = find_valleys(angles)
    header, *rows = str(valleys).splitlines()
    assert header.split() == ["valley", "phi", "loss", "error", "depth", "width", "ridges"]
    assert rows[1].split()[:2] == ["1", "-30.000°"]
    assert len({len(row) for row in (header, *rows)}) == 1
    read = list(csv.reader(io.StringIO(valleys.to_csv())))
    numbers = ["loss", "loss error", "depth", "width", "ridge left", "ridge right"]
    assert read[0] == ["index", "phi", *numbers]
    for row, v in zip(read[1:], valleys, strict=True):
        numbers = [v.index, *v.position, v.loss, v.loss_error, v.depth, v.width, *v.ridges]
        assert (row[3] == "") == (row[4] == "") == v.on_border
        np.testing.assert_array_equal([float(cell or "nan") for cell in row], numbers)
    assert [row.count("lowest at the border") for row in rows] == [v.on_border for v in valleys]
    assert valleys[0].on_border and repr(valleys).startswith("Valleys(2 valleys, and 2 lowest at")
    assert "lowest at the border, width" in repr(valleys[0])
    assert valleys.to_dicts() == [dataclasses.asdict(v) for v in valleys]
    flat = find_valleys(plane(himmelblau, X, Y, labels=["phi", "size"], units=["rad", ""]))
    assert str(flat).splitlines()[1].split()[1].endswith("°")
    row = next(csv.DictReader(io.StringIO(flat.to_csv())))
    assert (float(row["phi"]), float(row["size"])) == flat[0].position
    assert (float(row["saddle phi"]), float(row["saddle size"])) == flat[0].ridges[0]
    rough = find_valleys(curve(np.random.RandomState(0).normal(size=300)), persistence=0)
    assert str(rough).splitlines()[-1] == f"... and {len(rough) - 40} more"


def test_the_csv_file(tmp_path):
    valleys = find_valleys(curve([5, 1, 4, 0, 3, 2, 6]))
    assert valleys.to_csv(tmp_path / "valleys.csv") is None
    assert (tmp_path / "valleys.csv").read_bytes() == valleys.to_csv().encode()


def test_valleys_cannot_be_changed_but_sent():
    valleys = find_valleys(curve([5, 1, 4, 0, 3, 2, 6]), periodic=6)
    copy = pickle.loads(pickle.dumps(valleys))
    assert isinstance(copy, Valleys) and list(copy) == list(valleys)
    assert str(copy) == str(valleys) and np.array_equal(copy.labels, valleys.labels)
    assert np.array_equal(copy.at(np.linspace(-9, 9, 99)), valleys.at(np.linspace(-9, 9, 99)))
    assert not valleys.labels.flags.writeable
    with pytest.raises(dataclasses.FrozenInstanceError):
        valleys.surface = None
    with pytest.raises(dataclasses.FrozenInstanceError):
        valleys[0].loss = 0.0
    with pytest.raises(TypeError):
        valleys[0] = valleys[1]
