"""Pictures of data, training and surfaces, as matplotlib figures without pyplot."""

from keras_valleys.plots._style import optimizer_color
from keras_valleys.plots.basins import basins, basins_by_learning_rate
from keras_valleys.plots.frames import SurfaceFrames, animate, encode
from keras_valleys.plots.learning_rates import learning_rates
from keras_valleys.plots.lines import curve, curves
from keras_valleys.plots.loss_panels import loss_panels
from keras_valleys.plots.path_panels import path_panels
from keras_valleys.plots.planes import contour
from keras_valleys.plots.rings import circle
from keras_valleys.plots.rows import data, fit, split
from keras_valleys.plots.spaces import surface_3d
from keras_valleys.plots.steps import honesty, loss_by_step, weight_by_step
from keras_valleys.plots.success import success

__all__ = [
    "SurfaceFrames",
    "animate",
    "basins",
    "basins_by_learning_rate",
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
