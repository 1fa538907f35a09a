"""The tab "Valleys" by WSGI, through both of TensorBoard's readers."""

import logging
import sys
import types

import keras
import numpy as np
import pytest
from tensorboard.backend import application
from tensorboard.plugins.core import core_plugin
from werkzeug.test import Client

import keras_valleys as kv
from helpers.fits import some_data
from helpers.lines import dense_model, rosette_model
from helpers.readers import READERS, open_reader
from helpers.tab import open_tab
from keras_valleys.callbacks import SurfaceBoard, TrajectoryRecorder
from tensorboard_plugin_valleys import assets
from tensorboard_plugin_valleys.loader import ValleysLoader

RADIANS = np.linspace(-np.pi / 2, np.pi / 2, 201)


def fit(model, data, log_dir, surface=None, steps=300):
    """A real fit of so many steps; its recorder and its board."""
    counted = {} if surface is None else {"persistence": 0}  # noisy data make shallow valleys
    recorder, board = TrajectoryRecorder(), SurfaceBoard(log_dir, surface, images=0, **counted)
    x, y = kv.datasets.repeat(*data, steps)
    options = {"batch_size": len(data[0]), "shuffle": False, "verbose": 0}
    model.fit(x, y, callbacks=[recorder, board], **options)
    return recorder.trajectory, board


def evaluate(model, data, *axes, **options):
    return kv.surfaces.evaluate(kv.objectives.Objective(model, *data), coordinates=axes, **options)


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """Runs on a circle, on a plane, beside a plane, and without a surface: {name: (path, ...)}."""
    log_dir = tmp_path_factory.mktemp("logs")
    data, line = some_data(), kv.datasets.straight_line(70)[0]
    ring = evaluate(rosette_model(), data, RADIANS)
    plane = evaluate(
        dense_model(),
        line,
        np.linspace(0.5, 5.5, 21),
        np.linspace(-0.5, 4, 17),
        labels=["slope", "intercept"],
    )
    beside = evaluate(
        dense_model(), line, np.linspace(-1, 2, 31), directions=[[1.0, 0.5]], origin=[3.0, 2.0]
    )
    models = {
        "a/sgd": (rosette_model(), data, ring),
        "a/adam": (rosette_model(keras.optimizers.Adam(0.0125)), data, ring),
        "plane": (dense_model(), line, plane),
        "beside": (dense_model(), line, beside),
        "bare": (rosette_model(), data, None),
    }
    found = {}
    for name, (model, rows, surface) in models.items():
        found[name] = *fit(model, rows, log_dir / name, surface), surface
    return log_dir, found


@pytest.fixture(scope="module", params=READERS)
def tab(request, fits):
    with open_tab(request.param, fits[0]) as tab:
        yield tab


def test_the_tab_shows_where_there_is_data(tab, tmp_path):
    shown = tab.listing()
    assert shown["enabled"] and shown["tab_name"] == "Valleys"
    assert shown["loading_mechanism"]["type"] == "IFRAME"
    kv.events.EventWriter(tmp_path / "run").scalar("loss", 1.0, 0)
    for kind in READERS:
        with open_tab(kind, tmp_path) as empty:
            assert not empty.listing()["enabled"] and empty.runs() == {}


def test_every_run_is_listed_with_its_surface_and_tensorboards_number(tab, fits):
    runs = tab.runs()
    assert runs.keys() == fits[1].keys()
    assert runs["bare"]["surface"] is None
    ids = [runs[name]["surface"] for name in ("a/sgd", "plane", "beside")]
    assert runs["a/adam"]["surface"] == ids[0] and len(set(ids)) == 3
    order = tab.client.get("/data/runs").get_json()
    assert [runs[name]["number"] for name in order] == list(range(5))
    assert {run["last_step"] for run in runs.values()} == {300}


@pytest.mark.parametrize("name", ["a/sgd", "a/adam", "plane", "beside", "bare"])
def test_a_path_is_what_the_recorder_saw(tab, fits, name):
    path, _, surface = fits[1][name]
    header, columns = tab.path(name)
    np.testing.assert_array_equal(columns["step"], path.steps)
    np.testing.assert_allclose(columns["loss"], path.losses.astype("float32"))
    assert header["total_rows"] == 301 and header["last_step"] == 300
    assert header["label"] == path.label
    if surface is None:
        np.testing.assert_allclose(columns["phi"], path.weights[:, 0])
        assert np.all(columns["valley"] == -1) and np.all(np.isnan(columns["distance"]))
        return
    shown = kv.trajectories.on_surface(path, surface)
    assert header["coordinates"] == list(surface.labels)
    for label, column in zip(surface.labels, shown.coordinates.T, strict=True):
        np.testing.assert_allclose(columns[label], column, rtol=1e-5, atol=1e-5)
    if path.weights.shape[1] > 1:
        np.testing.assert_allclose(columns["distance"], shown.distances, rtol=1e-4, atol=1e-6)
        assert (columns["distance"].max() > 0.1) == (name == "beside")


def test_a_path_knows_its_valleys_and_where_it_was_derailed(tab, fits):
    path, _, surface = fits[1]["a/sgd"]
    header, columns = tab.path("a/sgd")
    valleys = kv.valleys.find_valleys(surface, periodic=np.pi, persistence=0)
    np.testing.assert_array_equal(columns["valley"], valleys.at(path.weights[:, 0]))
    derailed = kv.valleys.derailments(path, valleys)
    assert derailed and header["num_derailments"] == len(derailed)
    changes = np.flatnonzero(np.diff(columns["valley"]))
    assert columns["step"][changes].tolist() == [one.step for one in derailed]


@pytest.mark.parametrize("name", ["a/sgd", "plane", "beside"])
def test_a_surface_is_what_was_evaluated(tab, fits, name):
    surface = fits[1][name][2]
    shown = tab.surface(name)
    np.testing.assert_allclose(shown["losses"], surface.losses, rtol=1e-6)
    for given, axis in zip(shown["coordinates"], surface.coordinates, strict=True):
        np.testing.assert_array_equal(given, axis)
    assert (shown["labels"], shown["loss_name"]) == (list(surface.labels), surface.loss_name)
    assert shown["periods"] == ([np.pi] if name == "a/sgd" else [None] * len(surface.labels))
    periodic = np.pi if name == "a/sgd" else None
    found = kv.valleys.find_valleys(surface, periodic=periodic, persistence=0)
    assert [v["position"] for v in shown["valleys"]] == [list(v.position) for v in found]
    for given, valley in zip(shown["valleys"], found, strict=True):
        for key in ("loss", "depth", "width"):
            number = getattr(valley, key)
            assert given[key] == (number if np.isfinite(number) else None)


@pytest.mark.parametrize(
    "route, status",
    [
        ("/surface", 400),
        ("/path", 400),
        ("/path?Run=a/sgd", 400),
        ("/surface?run=", 404),
        ("/surface?run=nothing", 404),
        ("/surface?run=bare", 404),
        ("/surface?run=%00%ff", 404),
        ("/surface?run=../../etc/passwd", 404),
        ("/path?run=../a/sgd", 404),
        ("/path?run=" + "x" * 5000, 404),
        ("/path?run=%F0%9F%8C%8B", 404),
        ("/nothing", 404),
        ("/", 404),
        ("/../plugin.py", 404),
        ("/..%2fplugin.py", 404),
        ("/static/index.js", 404),
        ("/index.js/../../plugin.py", 404),
        ("/%2e%2e/metadata.py", 404),
        ("//etc/passwd", 404),
    ],
)
def test_a_bad_request_is_told_so(tab, route, status):
    answer = tab.get(route, status)
    assert "Traceback" not in answer.text and "ValleysPlugin" not in answer.text


def test_the_view_comes_from_the_package(tab):
    for path in assets.STATIC.iterdir():
        answer = tab.get(f"/{path.name}")
        assert answer.data == path.read_bytes()
        kind = {".js": "text/javascript", ".css": "text/css"}[path.suffix]
        assert answer.headers["Content-Type"].startswith(kind)


def test_a_path_prefix_and_a_frame(fits):
    with open_tab("python", fits[0], path_prefix="/deep/down") as tab:
        assert len(tab.runs()) == 5
        frame = tab.client.get("/deep/down/data/plugin_entry.html?name=keras_valleys").text
        assert '<base href="plugin/keras_valleys/"' in frame and "./index.js" in frame


def test_a_plugin_that_fails_does_not_stop_tensorboard(monkeypatch, caplog, fits):
    monkeypatch.setitem(sys.modules, "tensorboard_plugin_valleys.plugin", None)
    flags = types.SimpleNamespace(
        logdir="", samples_per_plugin={}, window_title="", path_prefix="", logdir_spec=""
    )
    with open_reader("python", fits[0]) as reader, caplog.at_level(logging.CRITICAL):
        app = application.TensorBoardWSGIApp(
            flags, [ValleysLoader, core_plugin.CorePluginLoader], reader.provider
        )
    assert Client(app).get("/data/plugins_listing").get_json() == {}
