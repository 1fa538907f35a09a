"""Frames, animations, and pictures as files."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from helpers.drawn import PHI, PLANE_PATH, ROWS, line_surface, plane_surface, rosette_surface
from helpers.pictures import decode, draw
from keras_valleys import plots


def full_redraw(frames):
    """The present frame, drawn whole by matplotlib."""
    for artist in frames._artists:
        artist.set_animated(False)
    pixels = draw(frames.figure)
    for artist in frames._artists:
        artist.set_animated(True)
    return pixels


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("num_axes", [1, 2])
def test_frame_equals_the_full_redraw(num_axes, theme):
    surface = rosette_surface() if num_axes == 1 else plane_surface()
    walk = PHI if num_axes == 1 else PLANE_PATH
    frames = plots.SurfaceFrames(surface, theme=theme, num_steps=100)
    empty = frames._pixels[..., :3].astype(int)
    for num in (1, 15):  # the second one must have wiped the first
        fast = decode(frames.png(walk.weights[:num], walk.losses[:num], step=num))
    full = full_redraw(frames)
    assert fast.shape == (480, 640, 3)
    drawn = np.any(full != empty, axis=-1)
    assert drawn.sum() > 500
    assert np.abs(fast - full).max() < 64 and np.abs(fast - full)[drawn].mean() < 8
    assert np.abs(fast - full)[~drawn].max() < 20
    # Where the path is, it is: no drawn pixel still shows the surface.
    strong = np.abs(full - empty).max(axis=-1) > 128
    assert np.all(np.abs(fast - empty).max(axis=-1)[strong] > 64)


@pytest.mark.parametrize("num_axes", [1, 2])
def test_frames_ignore_the_users_lines(num_axes):
    surface, walk = [(rosette_surface(), PHI), (plane_surface(), PLANE_PATH)][num_axes - 1]
    style = {"lines.marker": "s", "lines.linestyle": "--", "lines.markerfacecolor": "red"}
    frames = plots.SurfaceFrames(surface)
    expected = decode(frames.png(walk.weights[:9], walk.losses[:9], step=9))
    with matplotlib.rc_context(style):
        frames = plots.SurfaceFrames(surface)
        found = decode(frames.png(walk.weights[:9], walk.losses[:9], step=9))
    assert np.count_nonzero(np.any(found != expected, axis=-1)) <= 20


@pytest.mark.parametrize("size", [(640, 480), (333, 201)])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_caption_looks_like_a_title_of_matplotlib(theme, size):
    frames = plots.SurfaceFrames(rosette_surface(), theme=theme, size=size, num_steps=900)
    empty = frames._pixels[..., :3].astype(int)
    frames.png(np.zeros((0, 1)), [], step=123)
    frames._caption.set_animated(False)
    ours = np.abs(draw(frames.figure) - empty)
    frames._caption.remove()
    (title,) = [t for t in frames.figure.findobj(Text) if t.get_text() == "step 0"]
    title.set(text="step 123 of 900", alpha=1)
    theirs = np.abs(draw(frames.figure) - empty)
    for axis in (0, 1):  # where the text begins and ends
        ends = [np.flatnonzero(ink.max(axis=(1 - axis, 2)) > 64)[[0, -1]] for ink in (ours, theirs)]
        np.testing.assert_allclose(*ends, atol=1)
    assert abs(ours.sum() / theirs.sum() - 1) < 0.1


@pytest.mark.parametrize("size", [(640, 480), (333, 201), (801, 600)])
def test_frame_has_the_size_asked_for(size):
    frames = plots.SurfaceFrames(line_surface(), size=size)
    assert Image.open(io.BytesIO(frames.png([[0.5]], [0.3], step=1))).size == size


def test_frame_says_step_and_loss_and_draws_the_present_position():
    frames = plots.SurfaceFrames(rosette_surface(), num_steps=50)
    frames.png([[0.1], [0.2]], [0.5, 0.625], step=7)
    assert frames._caption.text == "step 7 of 50, recorded loss 0.625"
    np.testing.assert_allclose(np.ravel(frames._head.get_data()), [np.degrees(0.2), 0.625])
    frames.png([[0.1], [0.2 + np.pi]], [0.5, np.nan], step=8)
    assert frames._caption.text == "step 8 of 50"
    np.testing.assert_allclose(frames._head.get_xdata(), [np.degrees(0.2)])
    plots.SurfaceFrames(rosette_surface()).png(np.zeros((0, 1)), [], step=0)


def test_frames_take_long_and_lost_paths():
    frames = plots.SurfaceFrames(rosette_surface())
    frames.png(np.linspace(0, 9, 100_000)[:, None], np.full(100_000, np.nan), step=100_000)
    frames.png([[np.nan], [np.inf]], [np.inf, np.nan], step=2)


def test_animation_shows_the_whole_path_and_rests_at_its_end():
    frames = plots.SurfaceFrames(rosette_surface(), size=(320, 240))
    data = frames.animation(PHI.weights, PHI.losses, PHI.steps, num_frames=12)
    movie = Image.open(io.BytesIO(data))
    assert (movie.format, movie.size, movie.n_frames) == ("GIF", (320, 240), 12)
    assert movie.info["loop"] == 0
    movie.seek(11)
    assert movie.info["duration"] == 2000
    last = np.asarray(movie.convert("RGB")).astype(int)
    assert np.array_equal(last, decode(frames.png(PHI.weights, PHI.losses, PHI.steps[-1])))
    short = frames.animation(PHI.weights[:3], PHI.losses[:3], PHI.steps[:3])
    assert Image.open(io.BytesIO(short)).n_frames == 3


def test_pictures_become_an_animation():
    frames = plots.SurfaceFrames(rosette_surface(), size=(320, 240))
    ends = [3, 1, 7]
    images = [frames.image(PHI.weights[:n], PHI.losses[:n], n) for n in ends]
    movie = Image.open(io.BytesIO(plots.animate(iter(images))))
    assert (movie.format, movie.size, movie.n_frames) == ("GIF", (320, 240), 3)
    for number, image in enumerate(images):
        movie.seek(number)
        assert np.array_equal(np.asarray(movie.convert("RGB")), np.asarray(image.convert("RGB")))
        assert movie.info["duration"] == (2000 if number == 2 else 120)
    with pytest.raises(ValueError, match="`animate` expects at least one image. Received: none."):
        plots.animate([])


def test_frames_refuse_what_does_not_match():
    frames = plots.SurfaceFrames(rosette_surface())
    with pytest.raises(ValueError, match=r"`SurfaceFrames` expects coordinates of shape \(n, K\)"):
        frames.png([[0.1, 0.2]], [0.3], step=1)
    with pytest.raises(ValueError, match=r"Received: \(2, 1\) and \(1,\)"):
        frames.png([[0.1], [0.2]], [0.3], step=1)
    with pytest.raises(ValueError, match="expects at least one row.*num_frames=0"):
        frames.animation([[0.1]], [0.3], [1], num_frames=0)
    with pytest.raises(ValueError, match="expects at least one row.*Received: 0 rows"):
        frames.animation(np.zeros((0, 1)), [], [])
    for size in ((640,), (100, 480), (640.5, 480), 640):
        with pytest.raises(ValueError, match="`SurfaceFrames` expects `size`"):
            plots.SurfaceFrames(rosette_surface(), size=size)
    with pytest.raises(ValueError, match="expects `theme` to be"):
        plots.SurfaceFrames(rosette_surface(), theme="sepia")
    with pytest.raises(ValueError, match="expects `color` to be a color"):
        plots.SurfaceFrames(rosette_surface(), color="nonsense")
    named, hexadecimal = (
        plots.SurfaceFrames(rosette_surface(), color=c).png([[0.1]], [0.3], 1)
        for c in ("tab:red", "#d62728")
    )
    assert named == hexadecimal


def test_encode_keeps_the_size_of_a_figure():
    figure = plots.data(*ROWS)
    assert isinstance(figure, Figure)
    np.testing.assert_array_equal(decode(plots.encode(figure)), draw(figure))
    with matplotlib.rc_context({"savefig.bbox": "tight", "savefig.pad_inches": 1}):
        np.testing.assert_array_equal(decode(plots.encode(figure)), draw(figure))
