"""What all pictures share: themes, colors, and that they leave no trace."""

import ast
import pathlib

import matplotlib
import numpy as np
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.colors import to_hex

from helpers.drawn import PHI, PLANE_PATH, ROWS, path, plane_surface, rosette_surface
from helpers.pictures import draw
from keras_valleys import plots
from keras_valleys.trajectories import on_surface

PICTURES = {
    "data": lambda theme: plots.data(*ROWS, theme=theme),
    "split": lambda theme: plots.split(ROWS, ROWS, theme=theme),
    "fit": lambda theme: plots.fit(ROWS, ROWS[1], theme=theme),
    "loss_by_step": lambda theme: plots.loss_by_step([PHI, PLANE_PATH], theme=theme),
    "weight_by_step": lambda theme: plots.weight_by_step(PHI, unit="rad", theme=theme),
    "circle": lambda theme: plots.circle(rosette_surface(), PHI, theme=theme),
    "curve": lambda theme: plots.curve(rosette_surface(), PHI, theme=theme),
    "curves": lambda theme: plots.curves([rosette_surface(1), rosette_surface()], theme=theme),
    "curve_of_two": lambda theme: plots.curve(rosette_surface(), [PHI, PHI], theme=theme),
    "contour": lambda theme: plots.contour(plane_surface(), PLANE_PATH, theme=theme),
    "surface_3d": lambda theme: plots.surface_3d(plane_surface(), PLANE_PATH, theme=theme),
    "honesty": lambda theme: plots.honesty(on_surface(PLANE_PATH, plane_surface()), theme=theme),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_have_both_themes_and_leave_no_trace(name):
    before = dict(matplotlib.rcParams)
    light, dark = (draw(PICTURES[name](theme)) for theme in ("light", "dark"))
    assert light[0, 0].min() > 250 > 60 > dark[0, 0].max()
    assert light.std() > 5 < dark.std()
    assert dict(matplotlib.rcParams) == before
    assert not Gcf.figs


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_ignore_the_users_style(name):
    expected = draw(PICTURES[name]("light"))
    style = {
        "axes.facecolor": "red",
        "text.color": "red",
        "axes.grid": True,
        "axes.edgecolor": "red",
    }
    with matplotlib.rc_context(style):
        differ = np.any(draw(PICTURES[name]("light")) != expected, axis=-1)
    # A mark whose place is half between two pixels may be drawn on either, also without a style.
    assert np.count_nonzero(differ) <= 20


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_refuse_an_unknown_theme(name):
    with pytest.raises(ValueError, match="expects `theme` to be 'light' or 'dark'. Received"):
        PICTURES[name]("sepia")


@pytest.mark.parametrize("module", sorted(pathlib.Path(plots.__file__).parent.glob("*.py")))
def test_modules_know_nothing_global(module):
    tree = ast.parse(module.read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {part for alias in node.names for part in alias.name.split(".")}
            names |= set((getattr(node, "module", None) or "").split("."))
    assert not names & {"pyplot", "pylab", "rcParams", "rc_context", "warnings", "catch_warnings"}


def test_optimizers_keep_their_colors():
    assert plots.optimizer_color("Adam") == plots.optimizer_color("adam") == "#e69f00"
    assert plots.optimizer_color("adamw, rate 0.1") == plots.optimizer_color("AdamW")
    assert plots.optimizer_color("schedule_free_adam_w") == plots.optimizer_color(
        "ScheduleFreeAdamW"
    )
    assert plots.optimizer_color("my own") == plots.optimizer_color("My-Own")
    runs = [path([[1.0], [2]], label=label) for label in ("adam", "sgd", "lion", "adadelta", "sgd")]
    lines = plots.weight_by_step(runs).axes[0].lines
    assert [to_hex(line.get_color()) for line in lines[:2]] == [
        plots.optimizer_color("adam"),
        plots.optimizer_color("sgd"),
    ]
    looks = {(to_hex(line.get_color()), line.get_linestyle(), line.get_marker()) for line in lines}
    assert len(looks) == 5
    assert lines[1].get_linestyle() != lines[3].get_linestyle()  # two of one color
