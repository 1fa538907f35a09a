"""An optimizer as users give it: copies, labels, learning rates, identity."""

import copy
import dataclasses
import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import TypeAlias

import keras

from keras_valleys._checks import refusal, shortened
from keras_valleys._fingerprints import description

FORMS = "a name, a class, an instance, a config, or a function without arguments that makes one"

OptimizerLike: TypeAlias = (
    str
    | type[keras.optimizers.Optimizer]
    | keras.optimizers.Optimizer
    | dict
    | Callable[[], keras.optimizers.Optimizer]
)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An optimizer as it was given, under a label.

    Attributes:
        label: Its name in print.
        make: Function that returns it anew: with no state, and not yet built. It raises where
            that cannot be done.
    """

    label: str
    make: Callable[[], keras.optimizers.Optimizer]

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
        except Exception:  # it cannot be made: whoever makes it says why
            return None

    def identity(self, rate=None):
        """Text that differs where the optimizer does, or `None` where it cannot be made."""
        try:
            optimizer = self.fresh(rate)
            parts = parts_of(optimizer)
            kept = [repr(one) for part in parts for one in decay_exclusions(part).items()]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Keras warns of saving a lambda
                config = keras.optimizers.serialize(optimizer)
            return description([self.label, config, *map(_plain_values, parts), *kept])
        except Exception:  # as above
            return None


def as_candidate(owner, **argument):
    """The candidate of one optimizer.

    Args:
        owner: Name of the asking function, for the error messages.
        **argument: The argument by its name.
    """
    ((name, given),) = argument.items()
    make = _maker(given, owner, f"`{name}`")
    return Candidate(_label(given, make), make)


def as_candidates(owner, *, with_rates=True, **argument):
    """The candidates of one optimizer, of a list, or of a dictionary of labels to optimizers.

    In a list those of the same name are told apart by their learning rates, and by a number where
    these are equal as well.

    Args:
        owner: Name of the asking function, for the error messages.
        with_rates: Whether their own learning rates are what tells them apart.
        **argument: The argument by its name.
    """
    ((name, given),) = argument.items()
    named = isinstance(given, Mapping) and "class_name" not in given
    several = named or isinstance(given, list | tuple)
    every = list(given.values() if named else given) if several else [given]
    labels = [str(label) for label in given] if named else []
    if not every or len(set(labels)) < len(labels):
        raise refusal(
            owner,
            f"`{name}` to be one optimizer or more: a dictionary of labels to optimizers, or a "
            "list of these, or one",
            {name: given},
            "Use {'adam': 'adam', 'slow adam': keras.optimizers.Adam(1e-4)}.",
        )
    what = f"each of `{name}`" if several else f"`{name}`"
    makes = [_maker(one, owner, what) for one in every]
    if not named:
        found = [Candidate(_label(*pair), pair[1]) for pair in zip(every, makes, strict=True)]
        labels = _apart(found, with_rates)
    return [Candidate(label, make) for label, make in zip(labels, makes, strict=True)]


def check_made(owner, candidate):
    """Refuse at once what cannot be made, for a function without a table of failures."""
    try:
        return candidate.make()
    except Exception as error:  # each kind of input has its own way to fail
        raise refusal(
            owner,
            "a Keras optimizer that can be made again, from its config or by a function",
            f"{candidate.label} ({error})",
            "Use keras.optimizers.SGD(0.05), or register your own class.",
        ) from error


def name_of(optimizer):
    """The class name of the optimizer that moves the weights, as a label."""
    return "" if optimizer is None else type(_inner(optimizer)).__name__


def learning_rate_of(optimizer):
    """A number as it was given, the name of a schedule, or `None` where it tells none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of saving a lambda
            rate = _inner(optimizer).get_config()["learning_rate"]
        if isinstance(rate, dict):  # a LearningRateSchedule
            return str(rate.get("class_name", "schedule"))
        return float(f"{float(rate):.7g}")  # float32 at heart
    except Exception:  # without one, or with one that cannot be saved, a model can train
        return None


def optimizer_settings(optimizer):
    """The optimizer's name and learning rate, a number or the name of a schedule, if it tells."""
    rate, settings = learning_rate_of(optimizer), {"optimizer": name_of(optimizer)}
    return settings if rate is None else {**settings, "learning_rate": rate}


def parts_of(optimizer):
    """An optimizer and those that it holds, by Keras' public names of these."""
    held = [getattr(optimizer, "inner_optimizer", None), *getattr(optimizer, "optimizers", ())]
    return [optimizer, *(part for one in held if one is not None for part in parts_of(one))]


def decay_exclusions(optimizer):
    """What `exclude_from_weight_decay` has left in an optimizer, by the names that it has there.

    No config holds it, and Keras has no public name for it: the names are those that the method
    makes in another optimizer.

    Raises:
        RuntimeError: The method leaves nothing there, as it may in a later Keras.
    """
    if optimizer.weight_decay is None:
        return {}
    probe = keras.optimizers.SGD()
    before = set(vars(probe))
    probe.exclude_from_weight_decay(var_list=[keras.Variable(0.0)], var_names=["some"])
    names = [name for name, value in vars(probe).items() if name not in before and value]
    if not names:
        raise RuntimeError("this Keras does not tell which variables weight decay leaves out")
    return {name: vars(optimizer)[name] for name in names if vars(optimizer).get(name)}


def _inner(optimizer):
    """The optimizer that moves the weights: the one inside a `LossScaleOptimizer`."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _maker(given, owner, what):
    """A function that makes an optimizer as given; `what` it is called in the error message."""
    if isinstance(given, keras.optimizers.Optimizer):
        return _copier(given)
    if isinstance(given, str):
        return _maker(_named(given, owner, what), owner, what)
    if isinstance(given, Mapping) and isinstance(given.get("class_name"), str):
        return _from_config(copy.deepcopy(dict(given)), owner, what)
    if _is_class(given) or (not inspect.isclass(given) and _needs_nothing(given)):
        return _caller(given)
    raise refusal(
        owner,
        f"{what} to be a Keras optimizer that can be made again: {FORMS}",
        shortened(given),
        "Use 'adam', or keras.optimizers.Adam(0.01).",
    )


def _is_class(given):
    return inspect.isclass(given) and issubclass(given, keras.optimizers.Optimizer)


def _needs_nothing(given):
    """Whether it is a function that can be called without arguments."""
    if not callable(given) or isinstance(given, keras.layers.Layer):
        return False
    try:
        inspect.signature(given).bind()
    except TypeError:
        return False
    except ValueError:  # it does not say what it takes
        return True
    return True


def _named(name, owner, what):
    """Keras' own classes in any case, also those that `keras.optimizers.get` has not by name."""
    public = vars(keras.optimizers).items()
    known = {key.lower(): one for key, one in public if _is_class(one) and key != "Optimizer"}
    found = known.get(name.lower()) or keras.saving.get_registered_object(name)
    if found is None:
        raise refusal(
            owner,
            f"{what} to be a Keras optimizer that can be made again; a text is its name",
            shortened(name),
            f"Choose from {', '.join(sorted(known))}, or register yours.",
        )
    return found


def _from_config(config, owner, what):
    """Of what Keras writes, which may name a module, or of what it takes, which may not."""
    if config.get("module", "keras.optimizers") != "keras.optimizers":  # one of the user's own
        return lambda: keras.optimizers.get(copy.deepcopy(config))  # which writes into it
    kind = _named(config["class_name"], owner, what)
    return lambda: kind.from_config(copy.deepcopy(config.get("config", {})))


def _copier(given):
    kind, config = type(given), functools.cache(given.get_config)
    known = [_plain_values(part) for part in parts_of(given)]

    def make():
        try:
            made = kind.from_config(copy.deepcopy(config()))
            if not _holds(made, known):
                raise ValueError("its get_config leaves out what it was made with")
            for part, own in zip(parts_of(made), parts_of(given), strict=True):
                vars(part).update(decay_exclusions(own))
        except Exception as error:
            raise TypeError(
                f"it cannot be made again from its config: {error}. Give a function that makes it"
            ) from error
        return made

    return make


def _holds(made, known):
    parts = parts_of(made)
    return len(parts) == len(known) and all(
        getattr(part, name, None) == value
        for part, own in zip(parts, known, strict=True)
        for name, value in own.items()
    )


def _plain_values(optimizer):
    """The numbers and texts that an optimizer holds, as its author named them."""
    return {
        name: value
        for name, value in vars(optimizer).items()
        if not name.startswith("_") and name not in ("built", "name") and _is_plain(value)
    }


def _is_plain(value):
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_is_plain, value))
    if isinstance(value, dict):
        return bool(value) and all(map(_is_plain, value.values()))
    return isinstance(value, int | float | str)


def _caller(function):
    def make():
        made, other = function(), function()
        if not isinstance(made, keras.optimizers.Optimizer):
            raise TypeError(f"the function returned {made!r}, which is no Keras optimizer")
        return _copier(made)() if made is other or made.built else made  # the user's own, or new

    return make


def _label(given, make):
    """The name of an optimizer, or of how it was given where it cannot be made."""
    try:
        return name_of(make())
    except Exception:  # whoever makes it says why
        if isinstance(given, str):
            return given
        if isinstance(given, Mapping):
            return given["class_name"]
        return getattr(given, "__name__", type(given).__name__)


def _apart(candidates, with_rates):
    """Labels of which no two are equal."""
    names, labels = [one.label for one in candidates], []
    for one in candidates:
        label, rate = one.label, one.rate() if with_rates else None
        if names.count(label) > 1 and isinstance(rate, float):
            label = f"{label} {rate:g}"
        number = 1
        while (unique := label if number == 1 else f"{label} ({number})") in labels:
            number += 1
        labels.append(unique)
    return labels
