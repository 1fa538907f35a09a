"""Floors and ridges of a curve, located between its samples by asking the objective again."""


def polish(line, losses, surface, objective, noise):
    """The `Line` with its floors and ridges located and measured on the objective."""
    return line
