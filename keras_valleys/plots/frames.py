"""The path on its surface at one step: fast frames for TensorBoard, and animations."""

import dataclasses
import io
import zlib
from collections.abc import Iterable

import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import is_color_like, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.lines import Line2D
from matplotlib.typing import ColorType
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from keras_valleys._checks import (
    as_list,
    check_kind,
    check_whole,
    is_whole,
    refusal,
    shortened,
)
from keras_valleys._files import drawn
from keras_valleys.plots.contours import draw_contour, is_isometric, mark_valleys
from keras_valleys.plots.curves import draw_curve
from keras_valleys.plots.paths import diverged_note, dropped_of, limits, place, valleys_of
from keras_valleys.plots.style import add_caption, add_note, get_theme, new_figure, scales_of
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import thin
from keras_valleys.valleys import BORDER, Valleys, closed

NUM_COLORS = 200  # of the surface; the other 56 of a palette are for the path
NUM_ROWS = 300  # of a path: more cannot be told apart in a frame, and cost time
HOLD = 2000  # milliseconds that an animation rests on its last frame
DELAY = 120  # milliseconds of every other frame


class SurfaceFrames:
    """Draws the same surface again and again, each time with a longer path.

    The surface is drawn once and kept; a frame restores it, draws the path on top and encodes a
    PNG with a fixed palette. That takes a small part of the time of a whole picture.

    Args:
        surface: A `keras_valleys.surfaces.Surface` of one or two axes.
        size: Width and height of the pictures in pixels.
        theme: "light" or "dark".
        num_steps: Number of steps of the whole training, to be shown beside the step.
        color: Color of the path, such as `optimizer_color` returns; `None` is the theme's.
        loss_kind: What the losses of the path are, in a word: "recorded" or "true".
        valleys: What `keras_valleys.valleys.find_valleys` found on the surface. `None` finds them
            over one axis, and marks the lowest point over two.
        persistence: As for `find_valleys`, where `valleys` is `None`; over two axes they are then
            found and drawn.
        caption: Text under the picture.

    Raises:
        ValueError: `size` is not two integers of at least 160, `persistence` is negative or given
            with `valleys`, these are another surface's, or the theme or color is unknown.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> frames = keras_valleys.plots.SurfaceFrames(wave, size=(320, 240))
    >>> frames.png([[0.2], [0.5]], [0.8, np.nan], step=1)[1:4]
    b'PNG'
    """

    def __init__(
        self,
        surface: Surface,
        *,
        size: tuple[int, int] = (640, 480),
        theme: str = "light",
        num_steps: int | None = None,
        color: ColorType | None = None,
        loss_kind: str = "recorded",
        valleys: Valleys | None = None,
        persistence: float | None = None,
        caption: str = "",
    ) -> None:
        check_kind("SurfaceFrames", "surface", surface=surface)
        _check_size(size)
        self._look = look = get_theme(theme)
        self.size = tuple(map(int, size))
        drawn = surface.losses.ndim == 1 or valleys is not None or persistence is not None
        found = valleys_of("SurfaceFrames", surface, valleys, persistence) if drawn else None
        self._surface = closed(surface) if found is None else found.surface
        self._valleys, self._loss_kind = found, loss_kind
        if num_steps is not None:
            check_whole("SurfaceFrames", num_steps=num_steps)
        self._of_steps = "" if num_steps is None else f" of {num_steps}"
        # A tenth of a pixel more: the canvas rounds the size in inches down.
        self.figure = new_figure(look, [(pixels + 0.1) / 100 for pixels in self.size])
        self._axes = self.figure.add_subplot()
        self._draw_surface(look, caption)
        title = self._axes.set_title("step 0", loc="left", fontsize=11, color=look.ink)
        title.set_alpha(0)  # keeps the place of the caption
        canvas = self.figure.canvas
        canvas.draw()  # the layout needs a first drawing
        self.figure.set_layout_engine("none")
        self._line, self._head, self._caption = self._artists = self._path_artists(look, title)
        self._background = canvas.copy_from_bbox(self.figure.bbox)
        self._pixels = np.array(canvas.buffer_rgba())
        self._indices, self._own_colors = _quantize(self._pixels)
        self.set_color(color)

    def set_color(self, color: ColorType | None) -> None:
        """Color the paths of the frames to come.

        Args:
            color: A color as Matplotlib takes it, such as `optimizer_color` returns; `None` is the
                theme's.

        Raises:
            ValueError: The color is unknown.
        """
        if color is not None and not is_color_like(color):
            raise refusal(
                "SurfaceFrames",
                "`color` to be a color as Matplotlib takes it",
                {"color": color},
                "Use color='#1f77b4'.",
            )
        accent = self._look.accent if color is None else to_hex(color)
        look = dataclasses.replace(self._look, accent=accent)
        for line in (self._line, self._head):
            line.set(color=look.accent, markerfacecolor=look.accent)
        self._colors = bytes([*self._own_colors, *_blends(look)])
        self._palette = Image.new("P", (1, 1))
        self._palette.putpalette(self._colors)

    def image(
        self,
        coordinates: ArrayLike,
        losses: ArrayLike,
        step: int,
        *,
        no_steps: ArrayLike | None = None,
    ) -> Image.Image:
        """The path so far, as a palette image of the frame's size.

        Args:
            coordinates: Array of shape `(n, K)`, as `keras_valleys.trajectories.project` returns;
                the last row is the present position.
            losses: Array of shape `(n,)`, NaN where unknown. On a 1-D surface an unknown loss is
                drawn at the surface's height.
            step: Number of updates made.
            no_steps: Booleans of shape `(n,)`: whether no step led to a row; no line is drawn on
                the way there. `None` for nowhere.

        Returns:
            A `PIL.Image.Image`.

        Raises:
            ValueError: The shapes do not belong together.
        """
        self._set_path(coordinates, losses, step, no_steps)
        canvas = self.figure.canvas
        canvas.restore_region(self._background)
        for artist in self._artists:
            self.figure.draw_artist(artist)
        # Only the pixels that the path changes are looked up in the palette.
        pixels = np.asarray(canvas.buffer_rgba()).view("uint32")
        changed = np.flatnonzero(pixels != self._pixels.view("uint32"))
        colors = Image.frombytes("RGB", (changed.size, 1), pixels.take(changed), "raw", "RGBX")
        colors = colors.quantize(palette=self._palette, dither=Image.Dither.NONE)
        indices = self._indices.copy()
        indices.reshape(-1)[changed] = np.asarray(colors).reshape(-1)
        image = Image.fromarray(indices)
        image.putpalette(self._colors)
        return image

    def png(
        self,
        coordinates: ArrayLike,
        losses: ArrayLike,
        step: int,
        *,
        no_steps: ArrayLike | None = None,
    ) -> bytes:
        """What `image` returns, as the bytes of a PNG."""
        return encode(self.image(coordinates, losses, step, no_steps=no_steps))

    def animation(
        self,
        coordinates: ArrayLike,
        losses: ArrayLike,
        steps: ArrayLike,
        num_frames: int = 30,
        *,
        no_steps: ArrayLike | None = None,
    ) -> bytes:
        """The whole path as it grows, as an animated GIF that loops.

        Args:
            coordinates: Array of shape `(n, K)`.
            losses: Array of shape `(n,)`, NaN where unknown.
            steps: Array of shape `(n,)`: the step of each row.
            num_frames: Number of frames, evenly spaced over the rows; the last stays for 2 s.
            no_steps: As for `image`.

        Returns:
            The bytes of the animation.

        Raises:
            ValueError: There are no rows, the shapes do not belong together, or `num_frames` is
                less than 1.
        """
        places, known = self._checked(coordinates, losses)
        numbers = np.asarray(steps)
        counts = is_whole(num_frames) and num_frames >= 1
        if not len(known) or numbers.shape != known.shape or not counts:
            raise refusal(
                "SurfaceFrames.animation",
                "at least one row, one step for each, and `num_frames` to be an integer >= 1",
                f"{len(known)} rows, steps of shape {numbers.shape}, "
                f"num_frames={shortened(num_frames)}",
                "Record a step first.",
            )
        num_frames = min(num_frames, len(known))
        lengths = np.unique(np.linspace(1, len(known), num_frames).round().astype(int))
        moved = np.zeros(len(known), bool) if no_steps is None else np.asarray(no_steps, bool)
        return animate(
            [self.image(places[:n], known[:n], numbers[n - 1], no_steps=moved[:n]) for n in lengths]
        )

    def _draw_surface(self, look, caption):
        if self._surface.losses.ndim == 1:
            low, top, notes = limits(self._surface, valleys=self._valleys)
            draw_curve(self._axes, self._valleys, look, view=(low, top))
        else:
            notes = self._draw_plane(look)
        if self.size[0] >= 480:  # else it would run into the step
            held = self._surface.statistics_sentence.startswith("statistics held")
            notes = list(filter(None, notes))[:1] + ["statistics held"] * held
            add_note(self._axes, look, notes)
        add_caption(self.figure, look, [*dropped_of(self._valleys), caption])

    def _draw_plane(self, look):
        marked = self._valleys is None
        draw_contour(self._axes, self._surface, look, mark=marked)
        if not marked:
            mark_valleys(self._axes, self._valleys, look)
        self._axes.set_aspect("equal" if is_isometric(self._surface) else "auto")
        squares = any(line.get_gid() == "border" for line in self._axes.lines)
        parts = [diverged_note(self._surface), f"square: {BORDER}" * squares]
        return ["; ".join(filter(None, parts))]

    def _path_artists(self, look, title):
        line = Line2D([], [], linestyle="-", linewidth=1.2, marker="o", markersize=4)
        line.set(markeredgewidth=0, solid_joinstyle="bevel")  # looks the same and takes less time
        head = Line2D([], [], linestyle="", marker="o", markersize=10)
        head.set_markeredgecolor(look.head)
        head.set_markeredgewidth(1.5)
        artists = line, head, Caption(title)
        for order, artist in enumerate(artists):
            artist.set(animated=True, zorder=10 + order)
            self._axes.add_artist(artist)
        return artists

    def _checked(self, coordinates, losses):
        coordinates, losses = np.asarray(coordinates, "float64"), np.asarray(losses, "float64")
        if coordinates.shape != (losses.size, self._surface.losses.ndim) or losses.ndim != 1:
            raise refusal(
                "SurfaceFrames",
                "coordinates of shape (n, K) and losses of shape (n,), K = "
                f"{self._surface.losses.ndim} for this surface",
                f"{coordinates.shape} and {losses.shape}",
                "Use `keras_valleys.trajectories.project`.",
            )
        return coordinates, losses

    def _set_path(self, coordinates, losses, step, no_steps):
        coordinates, losses = self._checked(coordinates, losses)
        rows = thin(len(losses), NUM_ROWS)
        moved = np.zeros(len(losses), bool) if no_steps is None else np.asarray(no_steps, bool)
        breaks = np.diff(np.cumsum(moved)[rows], prepend=0) > 0  # of any row that is left out, too
        path = place(coordinates[rows], losses[rows], self._surface, no_steps=breaks)
        columns = path.points * scales_of(self._surface)
        if columns.shape[1] == 1:
            columns = np.column_stack([columns, path.heights])
        self._line.set_data(*path.broken(columns).T)
        self._head.set_data(*columns[-1:].T)
        loss = "".join(
            f", {self._loss_kind} loss {value:.4g}" for value in losses[-1:] if not np.isnan(value)
        )
        if len(coordinates) and not np.all(np.isfinite(coordinates[-1])):
            loss = ", diverged"
        if moved[-1:].any():
            loss += ", weights set"
        self._caption.text = f"step {step}{self._of_steps}{loss}"


def animate(images: Iterable[Image.Image]) -> bytes:
    """Images of one size as an animation that loops.

    Args:
        images: List of at least one `PIL.Image.Image`, such as `SurfaceFrames.image` returns; the
            last stays for 2 s.

    Returns:
        The bytes of an animated GIF.

    Raises:
        ValueError: There are no images.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> frames = keras_valleys.plots.SurfaceFrames(wave, size=(320, 240))
    >>> images = [frames.image([[0.1 * n]], [np.nan], step=n) for n in range(3)]
    >>> keras_valleys.plots.animate(images)[:3]
    b'GIF'
    """
    images = as_list(images)
    if not images or not all(isinstance(image, Image.Image) for image in images):
        raise refusal(
            "animate",
            "at least one image",
            f"{shortened(images)}, not of Pillow" if images else "none",
            "Draw one first, with `SurfaceFrames.image`.",
        )
    buffer = io.BytesIO()
    images[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=images[1:],
        loop=0,
        duration=[DELAY] * (len(images) - 1) + [HOLD],
        optimize=False,  # takes half the time
    )
    return buffer.getvalue()


def encode(picture: Figure | Image.Image) -> bytes:
    """A figure, or an image, as a PNG of its own size, such as event files hold.

    Args:
        picture: A matplotlib `Figure`, such as the functions here return, or a `PIL.Image.Image`.

    Returns:
        The bytes of the PNG.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> keras_valleys.plots.encode(keras_valleys.plots.curve(wave))[1:4]
    b'PNG'
    """
    if not isinstance(picture, Image.Image):
        if not hasattr(picture, "savefig"):
            raise refusal(
                "encode",
                "`picture` to be a figure of matplotlib or an image of Pillow",
                {"picture": picture},
                "Give the `figure` that axes belong to.",
            )
        return drawn(picture)
    buffer = io.BytesIO()
    # Runs of one color are what a palette image has: smaller and twice as fast as a search.
    picture.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def _quantize(pixels):
    """The surface as indices into a palette, and the colors of that palette."""
    image = Image.fromarray(pixels[..., :3])
    image = image.quantize(NUM_COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    own = (image.getpalette() or [])[: 3 * NUM_COLORS]
    return np.array(image), own + [0] * (3 * NUM_COLORS - len(own))


def _blends(look):
    """The colors of antialiased edges: the path's on the surface's, the step's on the ground."""
    ground, fill, surface, accent, head, ink = (
        [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        for color in (look.background, look.fill, look.surface, look.accent, look.head, look.ink)
    )
    pairs = [(accent, ground), (accent, fill), (accent, surface), (accent, head), (ink, ground)]
    pairs += [(head, fill), (head, surface)]
    weights = np.linspace(1, 0, 8, endpoint=False)[:, None]
    above, below = np.array(pairs).swapaxes(0, 1)[:, :, None]
    blends = weights * above + (1 - weights) * below
    return blends.round().astype(int).flatten().tolist()


def _check_size(size):
    if np.shape(size) != (2,) or any(int(n) != n or n < 160 for n in size):
        raise refusal(
            "SurfaceFrames",
            "`size` to be a width and a height of at least 160 pixels",
            {"size": size},
            "Use size=(640, 480).",
        )


class Caption(Artist):
    """A line of text in the place of a title.

    Pillow draws it ten times as fast as Matplotlib, which renders each glyph anew.
    """

    def __init__(self, title):
        super().__init__()
        self.text, figure = title.get_text(), title.get_figure()
        x, y = title.get_transform().transform(title.get_position()).round().astype(int).tolist()
        pixels = title.get_size() * figure.dpi / 72
        self._font = ImageFont.truetype(findfont(title.get_fontproperties()), pixels)
        self._ascent, descent = self._font.getmetrics()
        self._corner = x, y - descent
        self._image = np.empty((self._ascent + descent, int(figure.bbox.width) - x, 4), "uint8")
        self._image[..., :3] = np.multiply(to_rgb(title.get_color()), 255).round()

    def draw(self, renderer):
        mask = Image.new("L", self._image.shape[1::-1])
        ImageDraw.Draw(mask).text((0, self._ascent), self.text, 255, self._font, anchor="ls")
        self._image[..., 3] = mask
        context = renderer.new_gc()
        renderer.draw_image(context, *self._corner, self._image[::-1])  # rows from below
        context.restore()
