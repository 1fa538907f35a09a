"""The files that the browser runs: the view, and plotly.js from the installed plotly."""

import importlib.util
import pathlib

from tensorboard_plugin_valleys import bundle

STATIC = pathlib.Path(__file__).parent / "static"
STYLE = "style.css"
INSTALL = "pip install 'keras-valleys[page]'"


def plotly_path() -> pathlib.Path | None:
    """The path of plotly.js in the installed plotly, which is not imported; None without it."""
    try:
        spec = importlib.util.find_spec("plotly")
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    path = pathlib.Path(spec.origin).parent / "package_data" / "plotly.min.js"
    return path if path.exists() else None


def one_script(entry: str) -> str:
    """The module `entry` of the view, with all that it imports, as one script."""
    return bundle.one_script(STATIC, entry)
