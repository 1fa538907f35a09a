"""How sure a success rate is."""

import math
import statistics


def success_interval(successes, trials):
    """The 95 % confidence interval of a success rate, after Wilson.

    With `p = successes / trials` and `z = 1.96`, the rates `q` with
    `|p - q| <= z * sqrt(q * (1 - q) / trials)`:

        `(p + z^2 / (2 n) +- z * sqrt(p (1 - p) / n + z^2 / (4 n^2))) / (1 + z^2 / n)`.

    It holds for few trials and for rates near 0 and 1, where `p +- z * sqrt(p (1 - p) / n)` does
    not.

    Args:
        successes: Number of successes, from 0 to `trials`.
        trials: Number of independent trials, at least 1.

    Returns:
        `(low, high)`.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> [round(end, 3) for end in keras_valleys.comparisons.success_interval(4, 5)]
    [0.376, 0.964]

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927), 209-212.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(
            "`success_interval` expects `successes` from 0 to `trials`, and `trials` >= 1. "
            f"Received: successes={successes!r}, trials={trials!r}. Count both over the same runs."
        )
    z = statistics.NormalDist().inv_cdf(0.975)
    rate, share = successes / trials, z * z / trials
    half = z * math.sqrt(rate * (1 - rate) / trials + share / (4 * trials))
    low, high = ((rate + share / 2 + side) / (1 + share) for side in (-half, half))
    return (0.0 if successes == 0 else low), (1.0 if successes == trials else high)
