"""An optimizer as users give it: copies, names, rates, identity."""

import copy
import dataclasses
import inspect
import json
import numbers
import reprlib
import warnings

import keras

from keras_valleys._fingerprints import description

FORMS = "a name, a Keras optimizer, its config, or a function without arguments that makes one"


def copier(given, owner):
    """A function that makes an optimizer as given anew: with no state, and not yet built.

    Args:
        given: Name, instance, class or config of a Keras optimizer.
        owner: Name of the asking function, for the error messages.
    """
    try:
        given = copy.deepcopy(given) if isinstance(given, dict) else given  # Keras takes it apart
        first = keras.optimizers.get(given() if inspect.isclass(given) else given)
        type(first).from_config(first.get_config())
    except Exception as error:  # each kind of input has its own way to fail
        raise ValueError(
            f"`{owner}` expects a Keras optimizer that can be made again from its config: an "
            f"instance, a name, a class or a config. Received: {reprlib.repr(given)} ({error}). "
            "Use keras.optimizers.SGD(0.05), or register your own class."
        ) from error
    if first.weight_decay is not None and _excludes(first):
        raise ValueError(
            f"`{owner}` expects weight decay of all weights, or of none: it has all weights in one "
            f"variable. Received: {label_of(first)} after `exclude_from_weight_decay`. Use a "
            "regularizer on the layers that are to decay."
        )
    return lambda: type(first).from_config(first.get_config())


def label_of(optimizer):
    """A name for an optimizer in print."""
    return type(optimizer).__name__


def describe(make):
    """What an optimizer is, as text: equal for one made again, whatever its name."""
    return json.dumps(_plain(keras.saving.serialize_keras_object(make())), sort_keys=True)


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if key != "name"}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | int | float | None) else repr(value)


def _excludes(optimizer):
    # Not in its config, so that a copy would not know of it.
    names = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
    return any(getattr(optimizer, name, None) for name in names)


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
            return description([self.label, config, _numbers_and_texts(optimizer)])
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
    kind, config, known = type(given), given.get_config(), _numbers_and_texts(given)

    def make():
        try:
            made = kind.from_config(copy.deepcopy(config))
            if _numbers_and_texts(made) != known:
                raise ValueError("its get_config leaves out what it was made with")
        except Exception as error:
            raise TypeError(
                f"it cannot be made again from its config: {error}. Give a function that makes it"
            ) from error
        return made

    return make


def _numbers_and_texts(optimizer):
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


def optimizer_name(model):
    """The class name of the optimizer, as a label."""
    return "" if model.optimizer is None else type(_optimizer_of(model)).__name__


def optimizer_settings(model):
    """The optimizer's name and learning rate, a number or the name of a schedule, if it tells."""
    values = {"optimizer": optimizer_name(model)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of saving a lambda
            rate = _optimizer_of(model).get_config()["learning_rate"]
    except Exception:  # without an optimizer, or with one that cannot be saved, a model can train
        return values
    if isinstance(rate, dict):
        rate = rate.get("class_name", "schedule")
    elif isinstance(rate, numbers.Real):
        rate = float(f"{rate:.7g}")
    return {**values, "learning_rate": rate} if isinstance(rate, str | float) else values


def _optimizer_of(model):
    """The optimizer that moves the weights: the one inside a `LossScaleOptimizer`, or `None`."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)
