"""What is in a figure."""

import io

import numpy as np
from PIL import Image


def draw(figure):
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3].astype(int)


def decode(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def line_with(axes, gid):
    return next(line for line in axes.lines if line.get_gid() == gid)


def segments_of(axes):
    return next(c for c in axes.collections if hasattr(c, "get_segments")).get_segments()


def caption(figure):
    return " ".join(figure._supxlabel.get_text().split()) if figure._supxlabel else ""


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def mesh(figure):
    return next(c for c in figure.axes[0].collections if c.get_gid() == "mesh")


def path_line(figure, label="adam"):
    lines = [row for row in figure.axes[0].lines if row.get_label() == label]
    return np.array(lines[0].get_data_3d())
