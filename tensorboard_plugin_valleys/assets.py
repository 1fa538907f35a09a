"""The files that the browser runs."""

import pathlib

from tensorboard_plugin_valleys import bundle

STATIC = pathlib.Path(__file__).parent / "static"
STYLE = "style.css"


def one_script(entry: str) -> str:
    """The module `entry` of the view, with all that it imports, as one script."""
    return bundle.one_script(STATIC, entry)
