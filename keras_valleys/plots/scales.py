"""How the losses of a plane are spread over colors and heights: between which ends, and how."""

import dataclasses

import numpy as np

from keras_valleys._checks import as_list, is_finite, is_whole, refusal

SCALES = ("auto", "linear", "log")
NUM_LEVELS = 14
MOST_LEVELS = 200
FIRST = 0.01  # the first level, as a share of the range of the losses
MUCH = 0.15  # where more of a plane is beneath that level, its floor is one blank area
MOST = 0.5  # where more of a landscape is, only its walls are seen
LEAST = 0.01  # the share of a plane that is beneath the first level of a logarithmic scale


def check_scale(owner, scale, levels=None, limits=None):
    """Refuse what says no levels, before any work.

    Returns:
        The levels, `None`, a number or a float array, and the limits, `None` or two floats.
    """
    if not isinstance(scale, str) or scale not in SCALES:
        raise refusal(
            owner, "`scale` to be 'auto', 'linear' or 'log'", {"scale": scale}, "Use scale='auto'."
        )
    if limits is not None:
        ends = as_list(limits)
        if len(ends) != 2 or not all(map(is_finite, ends)) or not ends[0] < ends[1]:
            raise refusal(
                owner,
                "`limits` to be the lowest and the highest loss to show",
                {"limits": limits},
                "Use limits=(0.0, 1.0), or None.",
            )
        limits = float(ends[0]), float(ends[1])
    if levels is None or (is_whole(levels) and 2 <= levels <= MOST_LEVELS):
        return levels, limits
    steps = as_list(levels)
    fits = len(steps) >= 2 and all(map(is_finite, steps)) and bool(np.all(np.diff(steps) > 0))
    if not fits or len(steps) > MOST_LEVELS:
        raise refusal(
            owner,
            f"`levels` to be a number from 2 to {MOST_LEVELS}, or two and more rising losses",
            {"levels": levels},
            "Use levels=14.",
        )
    if limits is not None:
        raise refusal(owner, "`levels` that are losses, or `limits`", "both", "Leave out limits=.")
    return np.array(steps, "float64"), None


def contour_levels(losses, *, levels=None, scale="auto", limits=None):
    """Levels of a plane, so that its floor is seen, and whether losses lie beyond them.

    "auto" is a geometric series of two decades above the lowest loss, as fits a bowl. Where the
    floor of a surface would be beneath the first of these, it is a series of as many decades as
    there are, as for "log": from the height beneath which 1 % of the losses are.

    Args:
        losses: Finite losses, `(n,)`.
        levels: As for `contour`: `None`, how many, or what they are.
        scale: One of `SCALES`.
        limits: The lowest and the highest loss to show, or `None`.

    Returns:
        Rising levels, and what `contourf` calls `extend`.
    """
    losses = losses.astype("float64")
    low, high = float(losses.min()), float(losses.max())
    if np.ndim(levels):
        return levels, _extend(low < levels[0], high > levels[-1])
    count = NUM_LEVELS if levels is None else int(levels)
    if limits is not None:
        bottom, top = limits
        losses = losses[(losses >= bottom) & (losses <= top)]
        extend = _extend(low < bottom, high > top)
    elif high > low:
        bottom, (top, extend) = low, _without_pole(losses, low, high, 0.9)
        if scale == "log" or (scale == "auto" and _is_beneath(losses, low, top, MUCH)):
            scale, (top, extend) = "log", _without_pole(losses, low, high, 0.99)
    else:
        return np.array([low, low + max(abs(low), 1.0) * 1e-6]), "neither"
    span = top - bottom
    if scale == "linear":
        return bottom + span * np.linspace(0, 1, count + 1), extend
    first = FIRST
    if scale == "log" or _is_beneath(losses, bottom, top, MUCH):
        first = min(_least_height(losses, bottom) / span, 0.5)
    return bottom + span * np.append(0, np.geomspace(first, 1, count)), extend


def _without_pole(losses, low, high, share):
    """The highest level, and what lies above: a pole would take all the levels."""
    usual = float(np.quantile(losses, share))
    return (usual, "max") if high - low > 20 * (usual - low) > 0 else (high, "neither")


def _extend(below, above):
    if below:
        return "both" if above else "min"
    return "max" if above else "neither"


def _is_beneath(losses, low, top, share):
    """Whether more than a share of the losses is beneath the first of usual levels."""
    return losses.size > 0 and np.mean(losses <= low + FIRST * (top - low)) > share


def _least_height(losses, low):
    """The height above the lowest loss from which on a logarithmic scale tells heights apart."""
    heights = losses[losses > low] - low
    if not heights.size:
        return 1.0
    rounding = 64 * np.finfo("float32").eps * abs(low)
    return float(max(np.quantile(heights, LEAST), rounding, np.finfo("float32").tiny))


@dataclasses.dataclass(frozen=True)
class Logarithm:
    """A logarithmic scale for any losses: log10((loss - lowest) / unit + 1) + log10(unit).

    It is linear near the lowest loss and logarithmic above. With the lowest loss as its unit it is
    log10(loss). Of losses below the lowest, which paths may have, it is the mirror image.

    Attributes:
        lowest: The lowest loss.
        unit: The height from which on it is logarithmic.
    """

    lowest: float
    unit: float

    @classmethod
    def of(cls, losses):
        """The scale for finite losses: log10(loss) unless this would hide the floor."""
        low = float(losses.min())
        least = _least_height(losses.astype("float64"), low)
        return cls(low, max(low, least / 100) if 0 < low <= 10 * least else least)

    def __call__(self, losses):
        heights = np.asarray(losses, "float64") - self.lowest
        return np.sign(heights) * np.log10(1 + np.abs(heights) / self.unit) + np.log10(self.unit)

    def loss(self, place):
        """The loss at a place on the scale."""
        z = np.asarray(place, "float64") - np.log10(self.unit)
        return self.lowest + np.sign(z) * self.unit * (10 ** np.abs(z) - 1)


def shows_walls_only(losses, top):
    """Whether most of a landscape up to `top` is flat beside its walls on a linear scale."""
    return _is_beneath(losses, float(losses.min()), top, MOST)
