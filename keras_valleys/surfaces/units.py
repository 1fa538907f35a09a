"""What an axis of a surface is: its period, its unit, and how a coordinate of it reads in print."""

import math
from collections.abc import Sequence

import numpy as np

from keras_valleys._checks import is_finite, refusal

# Of all axes, or of the only one.
Periods = Sequence[float | None] | float | None
Units = Sequence[str | None] | str | None


def as_periods(owner: str, periods: Periods, num_axes: int) -> tuple[float | None, ...]:
    """One period per axis, `None` for an axis without.

    Args:
        owner: Name of the asking function or class, for the error message.
        periods: What a user gave.
        num_axes: Number of axes.
    """
    given = _one_per_axis(periods, num_axes, None)
    if len(given) != num_axes or not all(map(_is_period, given)):
        raise refusal(
            owner,
            f"`periods` to be a number above 0, or None, for each of {num_axes} axes",
            {"periods": periods},
            "Use periods=(numpy.pi,) for the angle of a line.",
        )
    return tuple(None if period is None else float(period) for period in given)


def _one_per_axis(given, num_axes, none):
    given = () if given is None else (given,) if np.ndim(given) == 0 else tuple(given)
    return given or (none,) * num_axes


def _is_period(period):
    return period is None or (is_finite(period) and period > 0)


def as_units(owner: str, units: Units, num_axes: int) -> tuple[str, ...]:
    """One unit per axis, "" for an axis without; arguments as for `as_periods`."""
    given = tuple("" if unit is None else unit for unit in _one_per_axis(units, num_axes, ""))
    if len(given) != num_axes or not all(isinstance(unit, str) for unit in given):
        raise refusal(
            owner,
            f"`units` to be a text for each of {num_axes} axes",
            {"units": units},
            "Use units=('rad',) for an angle in radians, '' for none.",
        )
    return tuple(map(str, given))


def of_version_0_1(labels: Sequence[str]) -> dict[str, tuple]:
    """The periods and units of a file that has none: an axis labeled "phi" was a line's angle."""
    angles = [label == "phi" for label in labels]
    return {
        "periods": tuple(math.pi if angle else None for angle in angles),
        "units": tuple("rad" if angle else "" for angle in angles),
    }


def shown_as(unit: str) -> tuple[float, str]:
    """What a coordinate is multiplied with in print, and its unit there: radians are in degrees.

    Example:

    >>> keras_valleys.surfaces.shown_as("m")
    (1.0, 'm')
    """
    return (180 / math.pi, "°") if unit == "rad" else (1.0, unit)


def axis_text(label: str, unit: str = "") -> str:
    """The name of an axis with its unit in print.

    Example:

    >>> keras_valleys.surfaces.axis_text("phi", "rad")
    'phi (°)'
    """
    _, sign = shown_as(unit)
    return f"{label} ({sign})" if sign else label


def coordinate_text(value: float, unit: str = "", *, short: bool = False) -> str:
    """A coordinate in print, with its unit.

    Args:
        value: Number, in the unit of its axis.
        unit: Unit of the axis; "rad" is printed in degrees.
        short: Whether it is for a picture, where a tenth of a degree and three digits are enough.

    Returns:
        Text.

    Example:

    >>> keras_valleys.surfaces.coordinate_text(np.pi / 5, "rad")
    '36.000°'
    >>> keras_valleys.surfaces.coordinate_text(np.pi / 5, "rad", short=True)
    '36°'
    """
    scale, sign = shown_as(unit)
    if sign == "°":
        degrees = round(value * scale, 1 if short else 3) + 0.0  # no minus zero
        text = f"{degrees:g}°" if short else f"{degrees:.3f}°"
    else:
        text = f"{float(f'{value:.{3 if short else 5}g}') + 0.0:g}{f' {sign}' * bool(sign)}"
    return text.replace("-", "\N{MINUS SIGN}") if short else text
