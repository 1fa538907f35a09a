"""Choosing some of a model's variables."""

import keras


def select(variables, wanted, who):
    """The variables that `wanted` names; `None` takes all.

    Args:
        variables: The trainable variables of a model.
        wanted: A variable, a layer, a name such as "dense", "dense/kernel" or "kernel", which is
            part of a variable's path, or a list of these.
        who: The name of the asking argument's owner and the argument, for the error message.
    """
    if wanted is None:
        return list(variables)
    single = isinstance(wanted, str | keras.Variable | keras.layers.Layer)
    asked = [wanted] if single else list(wanted)
    chosen = [[_matches(one, variable) for variable in variables] for one in asked]
    missing = [one for one, found in zip(asked, chosen, strict=True) if not any(found)]
    if missing or not asked:
        owner, argument = who
        raise ValueError(
            f"`{owner}` expects `{argument}` to name trainable variables of the model. "
            f"Received: {argument}={wanted!r}, of which {missing!r} select none. "
            f"Choose from {[v.path for v in variables]}."
        )
    return [v for v, *found in zip(variables, *chosen, strict=True) if any(found)]


def _matches(wanted, variable):
    if isinstance(wanted, str):
        return f"/{wanted.strip('/')}/" in f"/{variable.path}/"
    if isinstance(wanted, keras.layers.Layer):
        return any(variable is own for own in wanted.trainable_variables)
    return wanted is variable
