"""How far a picture of a path can be trusted, in words."""

import numpy as np

from keras_valleys.plots._style import name_of

MAX_LINES = 3


def captions(paths, trajectories):
    """One line per path of a model of more weights than axes; of many paths only the worst."""
    found = [
        (path.projection, name_of(trajectory, number))
        for number, (path, trajectory) in enumerate(zip(paths, trajectories, strict=True))
        if path.projection.num_weights > path.points.shape[1]
    ]
    if len(found) <= MAX_LINES:
        return [sentence(*each) for each in found]
    worst, name = min(found, key=lambda each: _rank(each[0]))
    return [f"Worst of {len(found)} runs: {sentence(worst, name)}"]


def sentence(projection, name):
    """What of a path a line or a plane does not show."""
    place = "line" if projection.coordinates.shape[1] == 1 else "plane"
    seen = np.isfinite(projection.distances)
    parts = []
    if seen.any():
        parts.append(
            f"at most {projection.distances[seen].max():.3g} from the {place}, "
            f"{projection.travelled[seen].max():.3g} from its start"
        )
    if np.isfinite(projection.explained_variance):
        share = _percent(projection.explained_variance)
        parts.insert(0, f"{share} of its variance lies in this {place}")
    number = projection.num_diverged
    if number:
        parts.append(f"{number} diverged point{'s' * (number != 1)}")
    return f"{name}: {'; '.join(parts) or 'no points'}"


def _percent(share):
    digits = f"{100 * share:.2g}" if share < 0.985 else f"{100 * share:.3g}"
    return f"{'over 99.9' if digits == '100' and share < 0.9999995 else digits} %"


def _rank(projection):
    """Less is worse: no finite row, then little variance in the plane, then a long way off."""
    seen = np.isfinite(projection.distances)
    share = projection.explained_variance
    far = projection.distances[seen].max() if seen.any() else np.inf
    return bool(seen.any()), share if np.isfinite(share) else 1.0, -far
