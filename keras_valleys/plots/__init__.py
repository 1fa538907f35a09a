"""Pictures of data, training and surfaces, as matplotlib figures without pyplot."""

from keras_valleys.plots._style import optimizer_color
from keras_valleys.plots.frames import SurfaceFrames, encode
from keras_valleys.plots.lines import curve, curves
from keras_valleys.plots.planes import contour
from keras_valleys.plots.rings import circle
from keras_valleys.plots.rows import data, fit, split
from keras_valleys.plots.steps import loss_by_step, weight_by_step

__all__ = [
    "SurfaceFrames",
    "circle",
    "contour",
    "curve",
    "curves",
    "data",
    "encode",
    "fit",
    "loss_by_step",
    "optimizer_color",
    "split",
    "weight_by_step",
]
