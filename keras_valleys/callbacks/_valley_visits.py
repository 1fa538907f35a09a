"""Which valleys of a surface a run visits."""

import math

from keras_valleys._views import valleys_of
from keras_valleys.valleys.steps import crossings
from keras_valleys.valleys.tables import coordinate_text

MAX_LINES = 10  # of a report: an optimizer that jumps about is derailed at each step


class ValleyVisits:
    """The valleys of a surface, found once, and how a run visits them.

    An axis labeled "phi" is the angle of a line and has the period pi.
    """

    def __init__(self, surface):
        self.valleys = valleys_of(surface)
        self._line = None
        if surface.origin.size == 1:
            self._line = float(surface.origin[0]), float(surface.directions[0, 0]) or math.nan

    def index_of(self, vector):
        """The index of a valley or -1, in a few microseconds: it is asked at each step.

        Args:
            vector: The weight of a model with one, else the coordinates on the surface.
        """
        if self._line is None:
            return self.valleys.at(float(vector[0]) if len(vector) == 1 else vector)
        origin, direction = self._line
        return self.valleys.at((float(vector[0]) - origin) / direction)

    def report(self, coordinates, losses, steps):
        """Rows of a table in Markdown: the valleys visited, in order, and the derailments."""
        indices = self.valleys.at(coordinates)
        visited = list(dict.fromkeys(indices[indices >= 0].tolist()))
        names = [self._name(self.valleys[index]) for index in visited[:MAX_LINES]]
        more = [f"{len(visited) - MAX_LINES} more"] * (len(visited) > MAX_LINES)
        found = crossings(self.valleys, coordinates, losses=losses, steps=steps)
        lines = [
            f"| valleys visited | {', '.join(names + more) or 'none'} |",
            f"| derailments | {len(found)} |",
        ]
        for crossing in found[:MAX_LINES]:
            rise = "" if math.isnan(crossing.rise) else f", loss {crossing.rise:+.6g}"
            way = f"from {self._name(crossing.before)} into {self._name(crossing.after)}"
            lines.append(f"| derailed at step {crossing.step} | {way}{rise} |")
        return lines

    def _name(self, valley):
        labels = self.valleys.surface.labels
        position = ", ".join(map(coordinate_text, valley.position, labels))
        return f"valley {valley.index} ({position})"
