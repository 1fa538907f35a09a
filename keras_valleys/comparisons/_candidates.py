"""Optimizers to be compared: a label for each, and a new copy for each run."""

import copy
import dataclasses

import keras

from keras_valleys._signatures import describe

FORMS = "a name, a Keras optimizer, its config, or a function without arguments that makes one"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An optimizer under a label.

    Attributes:
        label: Its name in the comparison.
        make: Function that returns a new optimizer, or fails.
    """

    label: str
    make: object

    def fresh(self, rate=None):
        """A new optimizer, with another learning rate where one is given."""
        optimizer = self.make()
        if rate is not None:
            optimizer.learning_rate = rate
        return optimizer

    def rate(self):
        """The learning rate, the name of its schedule, or `None` where there is none."""
        try:
            return learning_rate_of(self.make())
        except Exception:  # it fails in each of its runs, and each says why
            return None

    def identity(self, rate):
        """Text that differs where the optimizer does, or `None` where it cannot be made."""
        try:
            optimizer = self.fresh(rate)
            config = keras.optimizers.serialize(optimizer)
            return describe([self.label, config, _plain(optimizer)])
        except Exception:  # as above
            return None


def as_candidates(optimizers):
    """The candidates of a dictionary or a list of optimizers."""
    if isinstance(optimizers, dict) and "class_name" not in optimizers:
        labels, given = [str(label) for label in optimizers], list(optimizers.values())
    elif isinstance(optimizers, list | tuple):
        labels, given = None, list(optimizers)
    else:
        labels, given = None, []
    if not given or (labels is not None and len(set(labels)) < len(labels)):
        raise ValueError(
            "`compare` expects `optimizers` to be a dictionary of labels to optimizers, each "
            f"{FORMS}, or a list of these. Received: optimizers={optimizers!r}. "
            "Use {'adam': 'adam', 'slow adam': keras.optimizers.Adam(1e-4)}."
        )
    makers = [_maker(one) for one in given]
    if labels is None:
        labels = _labels(given, makers)
    return [Candidate(label, make) for label, make in zip(labels, makers, strict=True)]


def learning_rate_of(optimizer):
    """A number as it was given, the name of a schedule, or `None`."""
    rate = getattr(optimizer, "inner_optimizer", optimizer).get_config().get("learning_rate")
    if isinstance(rate, dict):  # a LearningRateSchedule
        return str(rate.get("class_name", "schedule"))
    try:
        return float(f"{float(rate):.7g}")  # float32 at heart
    except (TypeError, ValueError):
        return None


def _maker(given):
    if isinstance(given, str):
        return _named(given)
    if isinstance(given, keras.optimizers.Optimizer):
        return _copier(given)
    if isinstance(given, dict) and isinstance(given.get("class_name"), str):
        config = copy.deepcopy(given)  # Keras writes into it
        return lambda: keras.optimizers.get(copy.deepcopy(config))
    if callable(given) and not isinstance(given, keras.layers.Layer):
        return _caller(given)
    raise ValueError(
        f"`compare` expects each of `optimizers` to be {FORMS}. Received: {given!r}. "
        "Use 'adam', or keras.optimizers.Adam(0.01)."
    )


def _named(name):
    """Keras' own classes in any case, also those that `keras.optimizers.get` has not by name."""
    known = {
        key.lower(): value
        for key, value in vars(keras.optimizers).items()
        if isinstance(value, type)
        and issubclass(value, keras.optimizers.Optimizer)
        and value is not keras.optimizers.Optimizer
    }
    make = known.get(name.lower())
    if make is None:  # one that the user registered
        make = keras.saving.get_registered_object(name)
    if make is None:
        raise ValueError(
            f"`compare` expects the name of a Keras optimizer. Received: {name!r}. "
            f"Choose from {', '.join(sorted(known))}, or register yours."
        )
    return _caller(make)


def _copier(given):
    kind, config, known = type(given), given.get_config(), _plain(given)

    def make():
        try:
            made = kind.from_config(copy.deepcopy(config))
            if _plain(made) != known:
                raise ValueError("its get_config leaves out what it was made with")
        except Exception as error:
            raise TypeError(
                f"it cannot be made again from its config: {error}. Give a function that makes it"
            ) from error
        return made

    return make


def _plain(optimizer):
    """The numbers and texts that an optimizer holds, as its author named them."""
    return {
        name: value
        for name, value in vars(optimizer).items()
        if isinstance(value, int | float | str)
        and not name.startswith("_")
        and name not in ("built", "name")
    }


def _caller(function):
    def make():
        made, other = function(), function()
        if not isinstance(made, keras.optimizers.Optimizer):
            raise TypeError(f"the function returned {made!r}, which is no Keras optimizer")
        return _copier(made)() if made is other or made.built else made  # the user's own, or new

    return make


def _labels(given, makers):
    """A label for each of a list: its name, with the learning rate where names are alike."""
    names, rates = [], []
    for one, make in zip(given, makers, strict=True):
        candidate = Candidate("", make)
        rates.append(candidate.rate())
        names.append(one if isinstance(one, str) else _class_name(one, make))
    alike = [sum(name == other for other in names) > 1 for name in names]
    labels = [
        f"{name} {rate:g}" if twice and isinstance(rate, float) else name
        for name, rate, twice in zip(names, rates, alike, strict=True)
    ]
    found = []
    for label in labels:
        number = 1
        while (unique := label if number == 1 else f"{label} ({number})") in found:
            number += 1
        found.append(unique)
    return found


def _class_name(given, make):
    try:
        return type(make()).__name__
    except Exception:  # it fails in each of its runs, and each says why
        return given["class_name"] if isinstance(given, dict) else given.__name__
