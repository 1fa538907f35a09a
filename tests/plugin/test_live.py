"""What was just written is in the tab before TensorBoard reads it, with either of its readers."""

import shutil
import types

import numpy as np
import pytest
from tensorboard.backend import application
from tensorboard.plugins import base_plugin
from werkzeug.test import Client

import keras_valleys as kv
from helpers.readers import READERS, open_reader
from helpers.tab import PREFIX, decode
from keras_valleys import _tab
from tensorboard_plugin_valleys import live
from tensorboard_plugin_valleys.plugin import ValleysPlugin

X = np.linspace(-2, 3, 301)
WAVE = kv.surfaces.Surface(np.cos(np.pi * X), [X], [[1.0]], [0.0], ["x"])


class Asked:
    """The plugin of a TensorBoard that read the log directory once and never again."""

    def __init__(self, provider, **flags):
        flags = {"reload_interval": 5, "logdir": "", "logdir_spec": "", **flags}
        context = base_plugin.TBContext(
            data_provider=provider, flags=types.SimpleNamespace(**flags)
        )
        app = application.TensorBoardWSGI([ValleysPlugin(context)], "", provider)
        self.client = Client(app)

    def runs(self):
        found = self.client.get(f"{PREFIX}/runs").get_json()["runs"]
        return {run["name"]: run for run in found}

    def steps(self, run):
        answer = self.client.get(f"{PREFIX}/path?run={run}")
        return decode(answer.data)[1]["step"].tolist()


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """Look with each question."""
    for name in ("PAUSE", "LOOK", "SHARE"):
        monkeypatch.setattr(live, name, 1e9 if name == "SHARE" else 0.0)


def add(chunks, steps):
    for step in steps:
        chunks.add(types.SimpleNamespace(step=step, loss=0.5, vector=np.array([0.1 * step])))
    chunks.flush()


def started(folder):
    writer = kv.events.EventWriter(folder)
    record = _tab.SurfaceRecord(WAVE, kv.valleys.find_valleys(WAVE))
    return writer, _tab.PathChunks(writer, ["x"], "x", record)


@pytest.mark.parametrize("kind", READERS)
def test_rows_and_runs_are_there_before_tensorboard_reads_them(tmp_path, kind):
    writer, chunks = started(tmp_path / "deep" / "one")
    with writer:
        add(chunks, range(5))
        with open_reader(kind, tmp_path) as reader:
            asked = Asked(reader.provider, logdir=str(tmp_path))
            assert asked.steps("deep/one") == list(range(5))
            add(chunks, range(5, 900))  # of which 729 fill a chunk
            assert asked.runs()["deep/one"]["last_step"] == 899
            assert asked.steps("deep/one") == list(range(900))
            other, more = started(tmp_path / "two")
            with other:
                add(more, [0, 1])
                runs = asked.runs()
                assert runs["two"]["surface"] == runs["deep/one"]["surface"] is not None
                assert asked.steps("two") == [0, 1]
            reader.reload()
            assert asked.steps("two") == [0, 1] and asked.steps("deep/one") == list(range(900))
            number = asked.runs()["two"]["number"]
            assert {number, asked.runs()["deep/one"]["number"]} == {0, 1}


def test_a_torn_record_waits_and_a_run_that_vanishes_is_gone(tmp_path):
    with open_reader("python", tmp_path) as reader:
        asked = Asked(reader.provider, logdir=str(tmp_path))
        assert asked.runs() == {}
        writer, chunks = started(tmp_path / "run")
        with writer:
            add(chunks, range(3))
        whole = (path := next((tmp_path / "run").iterdir())).read_bytes()
        path.write_bytes(whole[:-9])
        asked.runs()
        path.write_bytes(whole)
        assert asked.steps("run") == [0, 1, 2]
        for name, text in {"a": b"", "b": b"x" * 9000, "c": b"\xff" * 8 + bytes(40)}.items():
            (tmp_path / f"{name}.tfevents").write_bytes(text)
        assert asked.runs().keys() == {"run"}
        shutil.rmtree(tmp_path / "run")
        assert asked.runs() == {}


def test_several_log_directories_have_the_names_that_tensorboard_gives(tmp_path):
    writer, chunks = started(tmp_path / "a" / "run")
    with writer, open_reader("python", tmp_path / "nothing") as reader:
        add(chunks, [0, 1, 2])
        spec = f"first:{tmp_path}/a,second:{tmp_path}/b"
        assert Asked(reader.provider, logdir_spec=spec).runs().keys() == {"first/run"}


@pytest.mark.parametrize("flags", [{"reload_interval": 0}, {"logdir": "gs://bucket/logs"}])
def test_who_wants_no_reload_and_other_machines_are_left_alone(tmp_path, flags):
    writer, chunks = started(tmp_path / "run")
    with writer, open_reader("python", tmp_path / "nothing") as reader:
        add(chunks, [0, 1])
        assert Asked(reader.provider, **{"logdir": str(tmp_path), **flags}).runs() == {}


def test_only_files_that_are_being_written_are_read(tmp_path, monkeypatch):
    writer, chunks = started(tmp_path / "run")
    with writer:
        add(chunks, [0, 1])
    monkeypatch.setattr(live, "RECENT", -1.0)
    with open_reader("python", tmp_path / "nothing") as reader:
        assert Asked(reader.provider, logdir=str(tmp_path)).runs() == {}
