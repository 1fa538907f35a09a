"""Pictures, tab, board, page, comparison and tables count the same valleys."""

import base64
import json
import re

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.util import tensor_util

import keras_valleys as kv
from keras_valleys import _tab
from tensorboard_plugin_valleys import metadata, payload

# (-90, 90] degrees: the only minimum, at 87, lies across the end.
PHI = np.radians(np.arange(-89, 91.0))


class Tilt(keras.layers.Layer):
    """Predicts cos(2 w) + 0.05 sin(4 w), whatever the data are; w may be named and be anything."""

    def __init__(self, name, period=None, unit=None, **options):
        super().__init__(**options)
        self.weight, self.period, self.unit = name, period, unit

    def build(self, input_shape):
        start = keras.initializers.Constant(1.2)
        self.w = self.add_weight(name=self.weight, shape=(), initializer=start)
        self.w.period, self.w.unit = self.period, self.unit

    def call(self, x):
        return 0 * x + keras.ops.cos(2 * self.w) + 0.05 * keras.ops.sin(4 * self.w)


def signed(y_true, y_pred):
    """The loss is the prediction itself."""
    return y_pred


def tilt_model(*declared):
    model = keras.Sequential([keras.Input((1,)), Tilt(*declared)])
    model.compile(keras.optimizers.SGD(0.1), signed)
    return model


X = np.ones((4, 1))
KINDS = {
    "angle": (("theta", np.pi, "rad"), 1),
    "named phi": (("phi", np.pi, "rad"), 1),
    "no angle": (("phi",), 2),
    "no unit": (("w", np.pi), 1),
}


def events(log_dir):
    (file,) = log_dir.glob("events*")
    for event in LegacyEventFileLoader(str(file)).Load():
        yield from event.summary.value


def written(log_dir):
    """The tab's info of the surface, and the report."""
    found = {}
    for value in events(log_dir):
        if value.tag in (metadata.SURFACE_INFO_TAG, "valley/report"):
            found[value.tag] = tensor_util.make_ndarray(value.tensor)
    info = json.loads(found[metadata.SURFACE_INFO_TAG].tobytes())
    return info, found["valley/report"].item().decode()


def marks(axes):
    """Where valleys are marked, and what is only lowest at the border."""
    lines = [line for line in axes.lines if line.get_gid() in ("valleys", "border")]
    return np.concatenate([np.ravel(line.get_xdata()) for line in lines])


@pytest.fixture(scope="module", params=KINDS)
def case(request, tmp_path_factory):
    declared, count = KINDS[request.param]
    model = tilt_model(*declared)
    objective = kv.objectives.Objective(model, X, X)
    surface = kv.surfaces.evaluate(objective, coordinates=PHI)
    recorder = kv.callbacks.TrajectoryRecorder()
    folder = tmp_path_factory.mktemp("run") / "run"
    board = kv.callbacks.SurfaceBoard(folder, surface, images=0)
    model.fit(X, X, epochs=12, verbose=0, callbacks=[recorder, board])
    return declared, count, surface, recorder.trajectory, folder


def test_the_loss_is_what_it_is_said_to_be(case):
    surface = case[2]
    np.testing.assert_allclose(surface.losses, np.cos(2 * PHI) + 0.05 * np.sin(4 * PHI), atol=1e-6)


def test_tables_and_labels(case):
    declared, count, surface, path, _ = case
    valleys = kv.valleys.find_valleys(surface)
    assert len(valleys) == count
    assert len(set(kv.valleys.label_basins(surface))) == count
    assert str(valleys).count("°") == (4 * count if "rad" in declared else 0)
    assert kv.valleys.derailments(path, surface) == []
    # A step over the end of the ring stays in the valley.
    over = kv.trajectories.Trajectory([0, 1], [[1.4], [1.6 - np.pi]], [0.0, 0.0])
    assert len(kv.valleys.derailments(over, surface)) == count - 1


def test_pictures(case):
    declared, count, surface, path, _ = case
    axes = kv.plots.curve(surface, path).axes[0]
    assert len(marks(axes)) == count
    assert len(axes.texts) == count
    (title,) = [axes.get_title("left") for axes in kv.plots.curves([surface]).axes]
    assert title.endswith("1 valley" if count == 1 else "1 valley, and lowest at the border")
    assert ("°" in axes.get_xlabel()) == ("rad" in declared)
    frames = kv.plots.SurfaceFrames(surface, size=(320, 240))
    assert len(marks(frames._axes)) == count
    panels = kv.plots.path_panels(surface, [path])
    ends = [line for line in panels.axes[1].lines if len(set(line.get_xdata())) == 1]
    assert ends
    if count == 1:
        sides = 2 if "rad" in declared else 1
        assert len(marks(kv.plots.circle(surface, path).axes[0])) == sides


def test_the_board_and_the_tab(case):
    declared, count, surface, _, folder = case
    info, report = written(folder)
    assert len(info["valleys"]) == count and info["not_counted"] == ""
    assert sum(valley["on_border"] for valley in info["valleys"]) == count - 1
    assert info["periods"] == list(surface.periods) and info["units"] == list(surface.units)
    (name,) = re.findall(r"valleys visited \| (.*?) \|", report)
    assert name.startswith("valley 0 (")
    assert ("°" in name) == ("rad" in declared)
    assert len(info["coordinates"][0]) == (181 if count == 1 else 180)  # a ring is closed


def test_the_page(case, tmp_path):
    _, count, surface, path, _ = case
    kv.pages.write_html(tmp_path / "page.html", surface, path)
    text = (tmp_path / "page.html").read_text()
    (data,) = re.findall(r'id="valleys-data">(.*?)</script>', text, flags=re.DOTALL)
    data = json.loads(data)
    assert len(data["surface"]["valleys"]) == count
    assert data["surface"]["units"] == list(surface.units)
    (packed,) = data["paths"].values()
    packed = base64.b64decode(packed)
    header = json.loads(packed[4 : 4 + int.from_bytes(packed[:4], "little")])
    assert header["units"] == list(surface.units) and header["coordinates"] == list(surface.labels)
    assert header["num_derailments"] == 0


def test_a_comparison(case):
    declared, count, surface, _, _ = case
    comparison = kv.comparisons.compare(
        lambda: tilt_model(*declared), {"sgd": "sgd"}, X, X, steps=3, surface=surface, verbose=0
    )
    assert len(comparison.valleys) == count
    names = [label.get_text() for label in kv.plots.success(comparison).axes[0].get_xticklabels()]
    assert ("°" in names[1]) == ("rad" in declared)


def test_a_basin_map(case):
    declared, count, surface, _, _ = case
    objective = kv.objectives.Objective(tilt_model(*declared), X, X)
    valleys = kv.valleys.find_valleys(surface)
    starts = np.radians([-60.0, 60.0])
    found = kv.descents.basin_map(objective, keras.optimizers.SGD(0.1), starts, 60, valleys)
    assert len(set(found.indices.ravel().tolist())) == count
    figure = kv.plots.basins(found, valleys)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert all(("°" in text) == ("rad" in declared) for text in texts) and len(texts) == count


def test_a_plane_over_the_angle(case):
    """The same, with a second axis across which it does not change sign."""
    declared, count, surface, path, _ = case
    y = np.linspace(-1, 2, 16)
    options = {"periods": (*surface.periods, None), "units": (*surface.units, "")}
    wide = kv.surfaces.Surface(
        surface.losses[:, None] + (y - 0.4) ** 2, [PHI, y], np.eye(2), [0, 0], **options
    )
    valleys = kv.valleys.find_valleys(wide)
    assert len(valleys) == count
    axes = kv.plots.contour(wide, valleys=valleys).axes[0]
    assert len(marks(axes)) == count
    record = _tab.SurfaceRecord(wide, valleys)
    info = json.loads(record.info.tobytes())
    assert len(info["valleys"]) == count and info["periods"] == [*surface.periods, None]
    assert record.losses.shape == (len(info["coordinates"][0]), 16)
    shown = payload.surface_payload(record.losses, info)
    assert np.shape(shown["losses"]) == tuple(map(len, shown["coordinates"]))
