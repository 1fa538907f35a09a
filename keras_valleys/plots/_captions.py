"""A line of text that changes from picture to picture."""

import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import to_rgb
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont


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
