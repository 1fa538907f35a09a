"""Finding a weight by its name."""

import difflib
import math
import re

import numpy as np


def index_of(objective, name):
    """The place in the flat vector of the weight with a name such as "dense/kernel[0, 2]"."""
    parts = (
        re.fullmatch(r"\s*/?(.*?)\s*(?:\[([-\d,\s]*)\])?\s*", name)
        if isinstance(name, str)
        else None
    )
    if not parts:
        raise _unknown(objective, name, "names that are texts", objective.names)
    variable, index = parts.groups()
    fits = [k for k, path in enumerate(objective.names) if f"/{path}".endswith(f"/{variable}")]
    exact = [k for k in fits if objective.names[k] == variable]
    fits = exact or fits
    if len(fits) != 1:
        wanted = "more of the path" if fits else "the name of a weight"
        some = [objective.names[k] for k in fits] or _close(objective, variable)
        raise _unknown(objective, name, wanted, some)
    shape, part = objective.shapes[fits[0]], objective.slices[fits[0]]
    place = [int(number) for number in re.findall(r"-?\d+", index or "")]
    if index is None and math.prod(shape) == 1:
        return part.start
    if len(place) != len(shape) or any(not 0 <= i < n for i, n in zip(place, shape, strict=True)):
        wanted = f"an index within the shape {shape} of {objective.names[fits[0]]!r}"
        raise _unknown(objective, name, wanted, [objective.names[fits[0]]])
    return part.start + int(np.ravel_multi_index(place, shape))


def _close(objective, variable):
    """The paths that look most like a name, or the first ones."""
    ends = {}
    for path in objective.names:
        pieces = path.split("/")
        for k in range(len(pieces)):
            ends.setdefault("/".join(pieces[k:]), path)
    near = difflib.get_close_matches(variable, ends, n=4, cutoff=0.5)
    return list(dict.fromkeys(ends[end] for end in near)) or objective.names[:4]


def _unknown(objective, name, wanted, paths):
    """An error that names the last weight of each path, as it may be asked for."""
    shapes = dict(zip(objective.names, objective.shapes, strict=True))
    examples = [
        path if math.prod(shapes[path]) == 1 else f"{path}{[n - 1 for n in shapes[path]]}"
        for path in paths[:6]
    ]
    return ValueError(
        f"`coordinate` expects {wanted}. Received: {name!r}. "
        f"Weights that exist are {', '.join(map(repr, examples))}."
    )
