"""How far a checkpoint is."""

import numpy as np


def finished(path):
    if not path.exists():
        return 0
    with np.load(path) as archive:
        return int(archive["finished"].sum())
