"""See the loss surface that a Keras optimizer walks on.

A loss is a function on weight space: some modules sample it (`surfaces`), some record walks on it
(`trajectories`, `callbacks`), some read its shape (`valleys`), some draw it (`plots`, `pages`,
`events`).

Importing the package registers its Keras classes, so that saved models load without
`custom_objects`. What draws and writes is imported at its first use.
"""

import importlib
import typing

from keras_valleys import (
    constraints,
    datasets,
    descents,
    directions,
    functions,
    gradients,
    layers,
    losses,
    metrics,
    objectives,
    surfaces,
    trajectories,
    valleys,
)

__version__ = "0.2.0"  # the only place; setup.cfg reads it from this line

_LAZY = ("callbacks", "comparisons", "events", "pages", "plots")

__all__ = [
    "callbacks",
    "comparisons",
    "constraints",
    "datasets",
    "descents",
    "directions",
    "events",
    "functions",
    "gradients",
    "layers",
    "losses",
    "metrics",
    "objectives",
    "pages",
    "plots",
    "surfaces",
    "trajectories",
    "valleys",
]


if typing.TYPE_CHECKING:
    from keras_valleys import callbacks, comparisons, events, pages, plots
else:

    def __getattr__(name):
        if name in _LAZY:
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
