"""The page as a file; what it looks like in a browser is in plugin/test_browser_tab.py."""

import base64
import dataclasses
import hashlib
import html.parser
import json
import os
import re

import numpy as np
import pytest

import keras_valleys as kv
from helpers.tab import decode
from tensorboard_plugin_valleys import assets

X = np.linspace(-2, 3, 501)


def wave(**options):
    return kv.surfaces.Surface(np.cos(np.pi * X), [X], [[1.0]], [0.0], ["x"], **options)


def plane(num_weights=4):
    x, y = np.linspace(-1, 2, 31), np.linspace(-2, 1, 21)
    losses = np.add.outer(x**2, (y - 0.5) ** 2)
    directions = np.eye(num_weights)[:2]
    return kv.surfaces.Surface(losses, [x, y], directions, np.zeros(num_weights), ["u", "v"])


def walk(size=5, label="SGD", num_weights=1):
    weights = np.linspace(-1.5, 1.5, size)[:, None] * np.arange(1, num_weights + 1) / num_weights
    return kv.trajectories.Trajectory(
        np.arange(size), weights, np.cos(np.pi * weights[:, 0]), label
    )


class Reader(html.parser.HTMLParser):
    """The elements of a page: [(tag, attributes, text)]."""

    def __init__(self, path):
        super().__init__()
        self.found = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.found.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        self.found.append([f"/{tag}", {}, ""])

    def handle_data(self, data):
        if self.found:
            self.found[-1][2] += data

    def texts(self, tag):
        return [text for name, _, text in self.found if name == tag]

    @property
    def data(self):
        (text,) = (text for _, attrs, text in self.found if attrs.get("id") == "valleys-data")
        return json.loads(text)


def written(tmp_path, *arguments, **options):
    path = tmp_path / "page.html"
    kv.pages.write_html(path, *arguments, **options)
    assert os.listdir(tmp_path) == ["page.html"]
    return Reader(path)


def path_in(data, name):
    return decode(base64.b64decode(data["paths"][name]))


def test_it_holds_the_surface_the_path_and_the_view(tmp_path):
    trajectory = walk()
    page = written(tmp_path, wave(loss_name="my_loss"), trajectory)
    assert page.texts("title") == ["my loss"]
    assert len(page.texts("script")) == 2
    assert page.texts("script")[1] == assets.one_script("page.js")
    assert page.texts("style")[0] == (assets.STATIC / "style.css").read_text()
    data = page.data
    np.testing.assert_allclose(data["surface"]["losses"], np.cos(np.pi * X), rtol=1e-8)
    floors = [v["position"][0] for v in data["surface"]["valleys"]]
    assert floors == pytest.approx([-1, 1, 3])
    (run,) = data["runs"]
    assert run["name"] == "SGD" and run["color"] == kv.plots.optimizer_color("SGD")
    header, columns = path_in(data, "SGD")
    np.testing.assert_allclose(columns["x"], trajectory.weights[:, 0], rtol=1e-6)
    np.testing.assert_allclose(columns["loss"], trajectory.losses, atol=1e-6)
    inside = kv.valleys.find_valleys(wave()).at(trajectory.weights[:, 0])
    assert columns["valley"].tolist() == inside.tolist() and set(inside) == {0, 1}
    assert header["num_derailments"] == 1


def test_paths_of_a_large_model_say_how_far_they_are_from_the_plane(tmp_path):
    trajectory = walk(num_weights=4)
    data = written(tmp_path, plane(), [trajectory]).data
    _, columns = path_in(data, "SGD")
    shown = kv.trajectories.on_surface(trajectory, plane())
    np.testing.assert_allclose(columns["distance"], shown.distances, rtol=1e-6)
    np.testing.assert_allclose([columns["u"], columns["v"]], shown.coordinates.T, rtol=1e-6)
    assert data["surface"]["num_weights"] == 4


def test_an_angle_is_joined_after_half_a_turn(tmp_path):
    phi = np.linspace(-np.pi / 2, np.pi / 2, 101)
    ring = kv.surfaces.Surface(np.sin(phi) ** 2, [phi], [[1.0]], [0.0], ["phi"], periods=np.pi)
    data = written(tmp_path, ring, walk()).data
    assert data["surface"]["periods"] == [np.pi] and len(data["surface"]["valleys"]) == 1


def test_nothing_comes_from_elsewhere(tmp_path):
    page = written(tmp_path, wave(), walk())
    for _, attributes, _ in page.found:
        assert not {"src", "href"} & attributes.keys() or attributes.get("href") == "data:,"
    (policy,) = (a["content"] for _, a, _ in page.found if "http-equiv" in a)
    assert "default-src 'none'" in policy and "http" not in policy
    assert "unsafe" not in policy
    for tag, text in (("script", page.texts("script")[1]), ("style", page.texts("style")[0])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


NASTY = "</script><script>alert(1)</script><!-- \" ' & <b>ü\u2028{0}%s\\"


def test_text_of_the_user_stays_text(tmp_path):
    surface = kv.surfaces.Surface(X**2, [X], [[1.0]], [0.0], [NASTY], loss_name=NASTY)
    page = written(tmp_path, surface, [walk(), walk()], title=NASTY, labels=[NASTY, NASTY])
    assert len(page.texts("script")) == 2 and page.texts("b") == []
    assert page.texts("title") == [NASTY]
    data = page.data
    assert data["title"] == NASTY and data["surface"]["labels"] == [NASTY]
    assert [run["name"] for run in data["runs"]] == [NASTY, f"{NASTY} 2"]
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "<script>alert" not in text and '<!-- "' not in text


def test_names_are_made_unique_and_never_empty(tmp_path):
    paths = [walk(label=label) for label in ("a", "", "a", "a 2", "")]
    names = [run["name"] for run in written(tmp_path, wave(), paths).data["runs"]]
    assert names == ["a", "path 2", "a 2", "a 2 2", "path 5"]
    assert [r["name"] for r in written(tmp_path, wave(), walk(), labels="b").data["runs"]] == ["b"]


def test_numbers_that_are_not_finite(tmp_path):
    losses = np.cos(np.pi * X)
    losses[:3], losses[100] = np.nan, np.inf
    surface = kv.surfaces.Surface(losses, [X], [[1.0]], [0.0], ["x"])
    trajectory = kv.trajectories.Trajectory(
        [0, 1, 2], [[0.0], [np.nan], [np.inf]], [np.nan, np.inf, 1.0], "x"
    )
    data = written(tmp_path, surface, trajectory).data
    assert data["surface"]["losses"][:3] == [None] * 3 and data["surface"]["losses"][100] is None
    _, columns = path_in(data, "x")
    assert columns["loss"].tolist()[1:] == [np.inf, 1.0] and np.isnan(columns["loss"][0])
    assert columns["valley"].tolist()[1:] == [-1, -1]


def test_a_surface_alone_and_an_empty_path(tmp_path):
    assert written(tmp_path, wave()).data["runs"] == []
    empty = kv.trajectories.Trajectory([], np.empty((0, 1)), [], "none")
    assert path_in(written(tmp_path, wave(), empty).data, "none")[0]["total_rows"] == 0


def fine_plane():
    """A surface of 51 x 51 samples whose losses are long numbers."""
    x, y = np.linspace(-2, 2, 51), np.linspace(-2.1, 2, 51)
    losses = np.add.outer(np.cos(3 * x) ** 2, np.exp(y / 3))
    return kv.surfaces.Surface(losses, [x, y], np.eye(4)[:2], np.zeros(4), ["u", "v"])


def test_ten_runs_of_a_thousand_steps_are_less_than_300_kilobytes(tmp_path):
    random = np.random.RandomState(3)
    paths = []
    for k in range(10):
        time = np.arange(1001)
        weights = (
            np.column_stack([np.cos(time / 90 + k), np.sin(time / 70)] * 2) * 0.997 ** time[:, None]
        )
        losses = 0.99**time + random.normal(0, 0.02, 1001)  # of minibatches
        paths.append(kv.trajectories.Trajectory(time, weights, losses, f"run {k}"))
    found = kv.pages.write_html(tmp_path / "page.html", fine_plane(), paths)
    assert found == tmp_path / "page.html" and found.stat().st_size < 300_000


def test_an_older_file_is_replaced_or_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("older")
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        kv.pages.write_html(path, wave(), walk())
    assert path.read_text() == "older" and os.listdir(tmp_path) == ["page.html"]
    monkeypatch.undo()
    kv.pages.write_html(str(path), wave(), walk())
    assert path.read_text("utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((X,), {}, "`keras_valleys.surfaces.Surface`. Received: surface=array("),
        ((wave(), [X]), {}, "Trajectory` or a list of them. Received: trajectories=array("),
        ((wave(), 3), {}, "Trajectory` or a list of them. Received: trajectories=3,"),
        ((wave(), walk(num_weights=3)), {}, "of the surface's size 1. Received: 3 weights"),
        ((wave(), walk()), {"labels": ["a", "b"]}, "Received: 2 labels for 1 trajectories"),
        ((wave(), [walk(), walk()]), {"labels": "ab"}, "Received: 1 labels for 2 trajectories"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_nothing_is_written(
    tmp_path, arguments, options, message
):
    with pytest.raises(ValueError, match=re.escape(message)):
        kv.pages.write_html(tmp_path / "page.html", *arguments, **options)
    assert os.listdir(tmp_path) == []


def test_it_shows_the_valleys_that_are_given(tmp_path):
    rough = kv.surfaces.Surface(np.cos(np.pi * X) + 0.05 * np.cos(60 * X), [X], [[1.0]], [0.0])
    few = kv.valleys.find_valleys(rough, persistence=0.5)
    assert 1 < len(few) < len(kv.valleys.find_valleys(rough))
    few = dataclasses.replace(few, dropped=9, persistence=0.5)
    data = written(tmp_path, rough, walk(), valleys=few).data
    assert data["surface"]["not_counted"] == "9 shallower than 0.5 not counted"
    same = written(tmp_path, rough, walk(), persistence=0.5).data
    assert same["surface"]["valleys"] == data["surface"]["valleys"]
    for shown, valley in zip(data["surface"]["valleys"], few, strict=True):
        assert (shown["loss"], shown["on_border"]) == (valley.loss, valley.on_border)
        assert (shown["depth"] is None) == (not np.isfinite(valley.depth))
    _, columns = path_in(data, "SGD")
    assert columns["valley"].tolist() == few.at(walk().weights[:, 0]).tolist()
    page = tmp_path / "no.html"
    with pytest.raises(ValueError, match="`write_html` expects `valleys` or `persistence`"):
        kv.pages.write_html(page, rough, valleys=few, persistence=0.5)
    with pytest.raises(ValueError, match="`write_html` expects the `valleys` of its surface"):
        kv.pages.write_html(page, wave(), valleys=few)
    with pytest.raises(ValueError, match="`write_html` expects `persistence` to be a number >= 0"):
        kv.pages.write_html(page, rough, persistence=-1)
    assert not page.exists()
