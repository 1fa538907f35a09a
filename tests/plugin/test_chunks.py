"""What is written for the tab: every row of a path, however often."""

import contextlib
import json
import types

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.fits import some_data
from helpers.lines import rosette_model
from helpers.readers import READERS, open_reader
from helpers.tab import Tab, open_tab
from keras_valleys import _tab
from keras_valleys.callbacks import SurfaceBoard
from tensorboard_plugin_valleys import metadata


class Row(types.SimpleNamespace):
    """A row of the callbacks' reader."""


def rows(size, start=0):
    phi = np.sin(np.arange(start, start + size) / 7.0)
    return [Row(step=start + k, loss=float(k), vector=phi[k : k + 1]) for k in range(size)]


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("seconds, size", [(1e9, 1000), (0.0, 1000), (0.0, 5)])
def test_every_row_survives_however_often_it_is_written(tmp_path, monkeypatch, kind, seconds, size):
    monkeypatch.setattr(_tab, "SECONDS", seconds)
    with kv.events.EventWriter(tmp_path / "run") as writer:
        chunks = _tab.PathChunks(writer, ["phi"])
        for row in rows(size, 5):
            chunks.add(row)
        chunks.flush()
    with open_tab(kind, tmp_path) as tab:
        _, columns = tab.path("run")
        assert columns["step"].tolist() == list(range(5, 5 + size))
        assert tab.runs()["run"]["num_chunks"] <= size / 16 + 2


@pytest.mark.parametrize("kind", READERS)
def test_a_run_grows_while_it_is_written(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(_tab, "SECONDS", 0.0)
    with kv.events.EventWriter(tmp_path / "run") as writer, contextlib.ExitStack() as stack:
        chunks = _tab.PathChunks(writer, ["phi"])
        chunks.add(rows(1)[0])
        reader = stack.enter_context(open_reader(kind, tmp_path))
        tab = Tab(reader.provider)
        before = tab.runs()["run"]
        assert tab.path("run")[1]["step"].tolist() == [0]
        for row in rows(40)[1:]:
            chunks.add(row)
        reader.reload()
        assert tab.path("run")[1]["step"].tolist() == list(range(40))
        assert tab.runs()["run"]["last_step"] == 39 > before["last_step"]


@pytest.mark.parametrize("kind", READERS)
def test_a_second_fit_is_a_run_of_its_own_that_goes_on(tmp_path, kind):
    board = SurfaceBoard(tmp_path / "run")
    model, (x, y) = rosette_model(), some_data()
    for _ in range(2):
        model.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=[board])
    with open_tab(kind, tmp_path) as tab:
        assert tab.runs().keys() == {"run", "run-2"}
        for run, first in (("run", 0), ("run-2", 15)):
            assert tab.path(run)[1]["step"].tolist() == list(range(first, first + 16))


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("kind", READERS)
def test_the_next_fit_completes_the_path_of_an_interrupted_one(tmp_path, kind):
    board = SurfaceBoard(tmp_path / "run")
    model, (x, y) = rosette_model(), some_data()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=16, verbose=0, callbacks=[board, Interrupt()])
    model.fit(x, y, batch_size=16, verbose=0, callbacks=[board])
    with open_tab(kind, tmp_path) as tab:
        assert tab.path("run")[1]["step"].tolist() == [0, 1, 2, 3]
        assert tab.path("run-2")[1]["step"].tolist() == [4, 5, 6, 7, 8, 9]


def test_writing_is_rare(tmp_path, monkeypatch):
    monkeypatch.setattr(_tab, "SECONDS", 1e9)
    with kv.events.EventWriter(tmp_path / "run") as writer:
        written = []
        monkeypatch.setattr(writer, "tensor", lambda *arguments: written.append(arguments))
        chunks = _tab.PathChunks(writer, ["phi"])
        for row in rows(12800):
            chunks.add(row)
    assert len(written) == 1 + 12800 // metadata.CHUNK_ROWS  # the first row at once


@pytest.mark.parametrize("kind", READERS)
def test_losses_that_are_not_finite(tmp_path, kind):
    x = np.linspace(-1, 2, 7)
    losses = np.where(x > 1, np.nan, x**2)
    losses[0] = np.inf
    surface = kv.surfaces.Surface(losses, [x], [[1.0]], [0.0], ["w"])
    with kv.events.EventWriter(tmp_path / "run") as writer:
        record = _tab.SurfaceRecord(surface, kv.valleys.find_valleys(surface))
        chunks = _tab.PathChunks(writer, ["w"], "x", record)
        for step, (loss, w) in enumerate([(0.5, 0.1), (np.nan, 9.0), (np.inf, np.nan), (None, 1)]):
            chunks.add(Row(step=step, loss=loss, vector=np.array([w], "float32")))
        chunks.flush()
    with open_tab(kind, tmp_path) as tab:
        shown = tab.surface("run")["losses"]
        assert shown[0] is None and shown[-2:] == [None, None] and shown[2] == 0
        _, columns = tab.path("run")
        np.testing.assert_array_equal(columns["loss"], np.float32([0.5, np.nan, np.inf, np.nan]))
        np.testing.assert_array_equal(columns["w"], np.float32([0.1, 9.0, np.nan, 1]))
        assert columns["valley"].tolist() == [0, -1, -1, 0]


@pytest.mark.parametrize("kind", READERS)
def test_what_another_program_wrote_is_no_error_of_the_server(tmp_path, kind):
    name, path_0 = metadata.PLUGIN_NAME, metadata.path_tag(0)
    text = np.frombuffer(b'{"coordinates": [[NaN', "uint8")
    good = np.arange(10.0).reshape(2, 5)
    content = json.dumps({"coordinates": ["w"], "label": "x"}).encode()
    tensors = {
        "no json": [(metadata.SURFACE_TAG, np.zeros(3)), (metadata.SURFACE_INFO_TAG, text)],
        "half": [(metadata.SURFACE_TAG, np.zeros(3))],
        "scalars": [(metadata.SURFACE_TAG, 1.0), (metadata.SURFACE_INFO_TAG, 2.0), (path_0, 3.0)],
        "odd path": [(path_0, good, content), (metadata.path_tag(1), np.zeros((2, 9)))],
        "other": [("something/else", np.zeros(3))],
    }
    for run, written in tensors.items():
        with kv.events.EventWriter(tmp_path / run) as writer:
            for tag, array, *content in written:
                writer.tensor(tag, array, 0, name, *content)
    with open_tab(kind, tmp_path) as tab:
        runs = tab.runs()
        assert runs["half"]["surface"] is None and runs.keys() == tensors.keys()
        for run in tensors:
            tab.get(f"/surface?run={run}", 404)
        assert tab.path("odd path")[1]["step"].tolist() == [0, 5]
        for run in ("no json", "half", "scalars", "other"):
            assert tab.path(run)[0]["total_rows"] == 0
