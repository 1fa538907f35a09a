"""Pictures of data, training and surfaces, as matplotlib figures without pyplot."""

from keras_valleys.plots.basins import basins, basins_by_learning_rate
from keras_valleys.plots.beside import beside
from keras_valleys.plots.circles import circle
from keras_valleys.plots.comparisons import learning_rates, success
from keras_valleys.plots.contours import contour
from keras_valleys.plots.curves import curve, curves
from keras_valleys.plots.datasets import data, fit, split
from keras_valleys.plots.frames import SurfaceFrames, animate, encode
from keras_valleys.plots.panels import loss_panels, path_panels
from keras_valleys.plots.steps import honesty, loss_by_step, weight_by_step
from keras_valleys.plots.style import optimizer_color
from keras_valleys.plots.surfaces_3d import surface_3d

__all__ = [
    "SurfaceFrames",
    "animate",
    "basins",
    "basins_by_learning_rate",
    "beside",
    "circle",
    "contour",
    "curve",
    "curves",
    "data",
    "encode",
    "fit",
    "honesty",
    "learning_rates",
    "loss_by_step",
    "loss_panels",
    "optimizer_color",
    "path_panels",
    "split",
    "success",
    "surface_3d",
    "weight_by_step",
]


def __dir__():
    return __all__
