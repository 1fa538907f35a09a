"""What a train_step of one's own uses: metrics that it logs, optimizers that move the weights."""

import gc

import keras

from keras_valleys.callbacks.counting import num_updates

LOOKS = 8  # not each train_step applies each optimizer at once


def has_own(model, *names):
    """Whether a model, or its class, has another method or property of these names than Keras'."""
    return any(
        name in vars(model) or getattr(type(model), name) is not getattr(keras.Model, name)
        for name in names
    )


def in_use(*kinds):
    """All objects of some classes, a list for each class.

    A train_step may keep what it uses anywhere: in the model, in something that the model holds,
    in a closure, in a notebook. Only Python's own record of all objects has them for sure.
    """
    found = [one for one in gc.get_objects() if issubclass(type(one), kinds)]
    return [[one for one in found if isinstance(one, kind)] for kind in kinds]


class Mover:
    """Finds the optimizer that moves a model's weights in one fit.

    Keras' own train_step uses the compiled one. With another, it is the one that was applied; there
    is none where several were, each to a part of the weights or in turn, or where the train_step
    moves the weights itself.

    Args:
        model: The model.
        optimizers: All optimizers in use, where its train_step is not Keras' own, else `None`.

    Attributes:
        found: The optimizer, or `None`.
    """

    def __init__(self, model, optimizers=None):
        self.found = model.optimizer if optimizers is None else None
        self._before = [(one, _num_updates(one)) for one in optimizers or ()]
        self._looks = LOOKS

    def look(self, variables):
        """Look which one was applied since the fit began, and moves all of the variables."""
        if not self._before or not self._looks:
            return
        self._looks -= 1
        applied = [one for one, before in self._before if _num_updates(one) != before]
        parts = {id(part) for one in applied for part in _parts(one)}
        movers = [one for one in applied if id(one) not in parts and _holds(one, variables)]
        self.found = movers[0] if len(movers) == 1 else None

    def end(self):
        """Let go of the optimizers that are of no interest any more."""
        self._before = []


def _parts(optimizer):
    return [*getattr(optimizer, "optimizers", ()), getattr(optimizer, "inner_optimizer", None)]


def _num_updates(optimizer):
    try:
        return num_updates(optimizer)
    except Exception:  # of some other model, whose values JAX has given up
        return None


def _holds(optimizer, variables):
    """Whether an optimizer was built on all of the variables; Keras has no public name for it."""
    built_on = getattr(optimizer, "_trainable_variables", variables)
    return {id(one) for one in variables} <= {id(one) for one in built_on}
