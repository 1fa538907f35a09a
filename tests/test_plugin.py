"""The tab "Valleys" by WSGI, through both of TensorBoard's readers, and what it sends."""

import contextlib
import importlib.metadata
import json
import logging
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from cases import dense_model, rosette_model
from readers import READERS, open_reader
from tensorboard import program
from tensorboard.backend import application
from tensorboard.plugins import base_plugin
from tensorboard.plugins.core import core_plugin
from test_trajectory_recorder import some_data
from werkzeug.test import Client

import keras_valleys as kv
from keras_valleys import _tab
from keras_valleys.callbacks import SurfaceBoard, TrajectoryRecorder
from tensorboard_plugin_valleys import assets, metadata, payload
from tensorboard_plugin_valleys.loader import ValleysLoader
from tensorboard_plugin_valleys.plugin import ValleysPlugin

PREFIX = "/data/plugin/keras_valleys"
RADIANS = np.linspace(-np.pi / 2, np.pi / 2, 201)


def decode(packed):
    """What path.js makes of the bytes: the header, and a dictionary of columns."""
    length = int.from_bytes(packed[:4], "little")
    header = json.loads(packed[4 : 4 + length])
    start, size = 4 + length, header["num_rows"]
    assert start % 8 == 0
    columns = {"step": np.frombuffer(packed, "<f8", size, start)}
    names = ["loss", "distance", "valley", *header["coordinates"]]
    for k, name in enumerate(names):
        columns[name] = np.frombuffer(packed, "<f4", size, start + 8 * size + 4 * size * k)
    assert len(packed) == start + 8 * size + 4 * size * len(names)
    return header, columns


class Tab:
    """The plugin of a log directory, asked as the browser does."""

    def __init__(self, provider, path_prefix=""):
        context = base_plugin.TBContext(data_provider=provider)
        plugins = [ValleysPlugin(context), core_plugin.CorePlugin(context)]
        app = application.TensorBoardWSGI(plugins, path_prefix, provider)
        self.client, self.prefix = Client(app), path_prefix

    def get(self, route, status=200):
        answer = self.client.get(self.prefix + PREFIX + route)
        assert answer.status_code == status, answer.text
        return answer

    def runs(self):
        return {run["name"]: run for run in self.get("/runs").get_json()["runs"]}

    def surface(self, run):
        return self.get(f"/surface?run={run}").get_json()

    def path(self, run):
        return decode(self.get(f"/path?run={run}").data)

    def listing(self):
        return self.client.get("/data/plugins_listing").get_json()["keras_valleys"]


@contextlib.contextmanager
def open_tab(kind, log_dir, **options):
    with open_reader(kind, log_dir) as reader:
        yield Tab(reader.provider, **options)


def fit(model, data, log_dir, surface=None, steps=300):
    """A real fit of so many steps; its recorder and its board."""
    recorder, board = TrajectoryRecorder(), SurfaceBoard(log_dir, surface, images=0)
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
        dense_model(), line, np.linspace(0.5, 5.5, 21), np.linspace(-0.5, 4, 17),
        labels=["slope", "intercept"],
    )  # fmt: skip
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
    valleys = kv.valleys.find_valleys(surface, periodic=np.pi)
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
    found = kv.valleys.find_valleys(surface, periodic=periodic)
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


def test_the_view_comes_from_the_package_and_plotly_from_plotly(tab, monkeypatch):
    for path in assets.STATIC.iterdir():
        answer = tab.get(f"/{path.name}")
        assert answer.data == path.read_bytes()
        kind = {".js": "text/javascript", ".css": "text/css"}[path.suffix]
        assert answer.headers["Content-Type"].startswith(kind)
    assert tab.get("/plotly.js").data == assets.plotly_path().read_bytes()


def test_without_plotly_it_says_what_to_install(tmp_path):
    # A new process, because what is found once is kept.
    code = f"""
import importlib.util, sys
sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "plotly" else find(name, *more)
from readers import open_reader
from test_plugin import Tab
with open_reader("python", {str(tmp_path)!r}) as reader:
    print(Tab(reader.provider).get("/plotly.js", 404).text)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'keras-valleys[page]'" in done.stdout, done.stderr


def test_a_path_prefix_and_a_frame(fits):
    with open_tab("python", fits[0], path_prefix="/deep/down") as tab:
        assert len(tab.runs()) == 5
        frame = tab.client.get("/deep/down/data/plugin_entry.html?name=keras_valleys").text
        assert '<base href="plugin/keras_valleys/"' in frame and "./index.js" in frame


# What is written


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


# What is sent


def long_path(size=100_000):
    """Rows with one spike each way, a stretch of NaN, and two derailments."""
    steps = np.arange(size) * 3.0
    loss, phi = np.sin(steps / 1000), np.cos(steps / 3000)
    loss[[70_001, 33_333]] = 50, -50
    loss[1000:1003] = np.nan
    valley = np.where((steps > 3 * 5_000) & (steps < 3 * 77_777), 1.0, 0.0)
    return np.column_stack([steps, loss, np.full(size, np.nan), valley, phi])


def test_a_long_path_is_thinned_and_its_extremes_are_kept():
    rows = long_path()
    header, columns = decode(payload.path_payload(rows, ["phi"], "long"))
    assert header["total_rows"] == 100_000 and header["num_rows"] == len(columns["step"]) < 5000
    kept = (columns["step"] / 3).astype(int)
    assert np.all(np.diff(kept) > 0) and {0, 99_999} <= set(kept)
    assert {70_001, 33_333, 999, 1000, 1002, 1003} <= set(kept)
    assert {5_000, 5_001, 77_776, 77_777} <= set(kept) and header["num_derailments"] == 2
    np.testing.assert_allclose(columns["loss"], rows[kept, 1], rtol=1e-6)
    # The slow twin: of no stretch of 200 rows is the picture lower or higher than the path.
    for start in range(0, 100_000, 200):
        inside = (kept >= start - 200) & (kept < start + 400)
        for column, shown in ((rows[:, 1], columns["loss"]), (rows[:, 4], columns["phi"])):
            stretch = column[start : start + 200]
            assert np.nanmin(shown[inside]) <= np.nanmin(stretch) + 1e-6
            assert np.nanmax(shown[inside]) >= np.nanmax(stretch) - 1e-6


def test_a_path_that_is_derailed_all_the_time_is_still_thinned():
    rows = long_path()
    rows[:, 3] = np.arange(len(rows)) % 2
    header, columns = decode(payload.path_payload(rows, ["phi"]))
    assert header["num_derailments"] == 99_999 and len(columns["step"]) < 8000


@pytest.mark.parametrize("shape, most", [((50_000,), 4200), ((700, 300), 201 * 201), ((1, 3), 3)])
def test_a_fine_surface_is_thinned(shape, most):
    axes = [np.sqrt(np.arange(1.0, n + 1)) for n in shape]
    losses = np.add.reduce(np.meshgrid(*(np.cos(3 * a) for a in axes), indexing="ij"))
    if len(shape) == 1:
        losses[12_345] = -9  # a valley of one sample
    shown = payload.surface_payload(losses, {"coordinates": [a.tolist() for a in axes]})
    assert shown["resolution"] == list(shape) and np.size(shown["losses"]) <= most
    where = [np.searchsorted(a, given) for a, given in zip(axes, shown["coordinates"], strict=True)]
    np.testing.assert_array_equal(shown["losses"], losses[np.ix_(*where)])
    for index, size in zip(where, shape, strict=True):
        assert index[0] == 0 and index[-1] == size - 1
    if len(shape) == 1:
        assert np.min(shown["losses"]) == -9


# What `tensorboard` gets


def test_the_entry_point_is_the_loader():
    found = importlib.metadata.entry_points(group="tensorboard_plugins")
    assert [point.load() for point in found if point.name == "keras_valleys"] == [ValleysLoader]


@pytest.mark.parametrize(
    ("options", "seconds"), [([], 1), (["--reload_interval=30"], 30), (["--reload_interval=0"], 0)]
)
def test_new_data_are_looked_for_each_second_unless_asked_otherwise(options, seconds, tmp_path):
    board = program.TensorBoard([core_plugin.CorePluginLoader(), ValleysLoader()])
    board.configure(["tensorboard", f"--logdir={tmp_path}", *options])
    assert board.flags.reload_interval == seconds


def test_tensorboard_loads_nothing_for_the_plugin():
    code = (
        "import sys, tensorboard.default, tensorboard.program; before = set(sys.modules);"
        "import tensorboard_plugin_valleys.loader, tensorboard_plugin_valleys.plugin;"
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "['tensorboard_plugin_valleys']", done.stderr


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


def test_one_script_is_all_modules_without_imports():
    script = assets.one_script("page.js")
    for path in assets.STATIC.glob("*.js"):
        assert (f'\nmodules["{path.name}"] = ' in script) == (path.name != "index.js")
    assert "\nimport " not in script and "\nexport " not in script and "</script" not in script
