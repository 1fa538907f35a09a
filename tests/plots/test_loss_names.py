"""Three losses, three names: whatever shows a loss says whether it is recorded, true or slice."""

import dataclasses

import numpy as np
import pytest

from helpers.pictures import caption, legend
from keras_valleys import pages, plots
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectory, on_surface
from tensorboard_plugin_valleys import payload
from tensorboard_plugin_valleys.metadata import COLUMNS

X = np.linspace(-1.0, 3.0, 41)


def curve(loss_name="mean_squared_error", periods=None):
    return Surface((X - 1) ** 2, [X], [[1.0]], [0.0], ["w"], loss_name, {}, periods)


def plane():
    y = np.linspace(-2.0, 3.0, 21)
    return Surface((X[:, None] - 1) ** 2 + y**2, [X, y], np.eye(2), [0.0, 0.0])


def path(kind="recorded", losses=(4.0, 1.5, np.nan), size=1):
    weights = np.outer([-0.5, 0.5, 0.9], np.ones(size))
    source = "all 9 rows, evaluation mode" if kind == "true" else "exact, from StepLoss"
    return Trajectory([0, 1, 2], weights, losses, "SGD", source, loss_kind=kind)


KINDS = [
    ([path()], "(path: recorded)"),
    ([path("true")], "(path: true)"),
    ([path(losses=[np.nan] * 3)], "(path: slice)"),
    ([path(), path("true")], "(paths: recorded and true)"),
    ([], ""),
]


@pytest.mark.parametrize("paths, words", KINDS)
def test_pictures_that_lift_paths_say_to_which_loss(paths, words):
    name = f"mean squared error {words}".strip()
    figure = plots.curve(curve(), paths)
    assert figure.axes[0].get_ylabel() == name
    ring = plots.circle(curve(periods=4.0), paths)
    texts = [text.get_text() for text in ring.texts]
    assert words.strip("()").replace("path", "loss of the path") in "; ".join(texts)
    assert ("loss of the path" in "; ".join(texts)) == bool(paths)
    whole = [dataclasses.replace(one, weights=np.repeat(one.weights, 2, 1)) for one in paths]
    space = plots.surface_3d(plane(), whole)
    assert space.axes[1].get_ylabel() == f"loss {words}".strip()
    true = any(one.loss_kind == "true" for one in paths)
    for one in (figure, space):
        assert ("True losses: all 9 rows, evaluation mode." in caption(one)) == true
        assert ("true" in _all_text(one).lower()) == true
    assert "True losses" not in caption(plots.contour(plane(), whole))  # no loss of theirs is in it


def _all_text(figure):
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    labels = [label for axes in figure.axes for label in (axes.get_ylabel(), axes.get_title())]
    names = legend(figure) if figure.legends else []
    return " ".join([caption(figure), *names, *texts, *labels])


def test_losses_by_step_are_named():
    figure = plots.loss_by_step(path())
    assert figure.axes[0].get_ylabel() == "recorded loss (batch, training mode)"
    figure = plots.loss_by_step(path("true"))
    assert figure.axes[0].get_ylabel() == "true loss (all rows, evaluation mode)"
    assert caption(figure) == "True losses: all 9 rows, evaluation mode."
    other = dataclasses.replace(path("true"), loss_source="all 5 rows", label="Adam")
    assert caption(plots.loss_by_step([path("true"), other])) == (
        "True losses of SGD: all 9 rows, evaluation mode. True losses of Adam: all 5 rows."
    )
    figure = plots.loss_by_step([path(), path("true")])
    assert figure.axes[0].get_ylabel() == "recorded and true loss"
    assert legend(figure) == ["SGD, recorded", "SGD, true"]
    panels = plots.loss_panels([path(), path()])
    assert panels.axes[0].get_ylabel() == "recorded loss"
    assert caption(panels).startswith("Losses: recorded (batch, training mode). Thick: ")
    panels = plots.loss_panels([path("true")])
    assert panels.axes[0].get_ylabel() == "true loss"


def test_an_unknown_last_loss_is_no_divergence():
    note = [text.get_text() for text in plots.loss_panels([path()]).axes[0].texts]
    assert note == []
    lost = [path(losses=[1.0, 2.0, np.inf]), path("true"), path("true", [3.0, 2.0, 1.0])]
    note = [text.get_text() for text in plots.loss_panels(lost).axes[0].texts]
    assert note == ["2 of 3 diverged"]


def test_frames_name_the_loss_of_the_step():
    for options, word in (({}, "recorded"), ({"loss_kind": "true"}, "true")):
        frames = plots.SurfaceFrames(curve(), size=(320, 240), **options)
        frames.image([[0.5]], [0.25], step=3)
        assert frames._caption.text == f"step 3, {word} loss 0.25"


def test_honesty_names_three():
    texts = {}
    for kind in ("recorded", "true"):
        found = on_surface(path(kind), curve())
        upper = plots.honesty(found).axes[0].get_legend().get_texts()
        texts[kind] = [text.get_text() for text in upper]
    assert texts["recorded"] == ["recorded (batch, training mode)", "slice (on the line)"]
    assert texts["true"] == ["true (all rows, evaluation mode)", "slice (on the line)"]


def test_the_page_knows_what_its_losses_are(monkeypatch, tmp_path):
    seen = []
    packed = payload.path_payload

    def spy(*arguments, **options):
        seen.append(options["loss_kind"])
        return packed(*arguments, **options)

    monkeypatch.setattr(payload, "path_payload", spy)
    pages.write_html(tmp_path / "page.html", curve(), [path(), path("true")])
    assert seen == ["recorded", "true"]
    rows = np.zeros((1, len(COLUMNS) + 1))
    assert b'"loss_kind": "recorded"' in packed(rows, ["w"])
