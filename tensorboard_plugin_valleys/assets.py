"""The files that the browser runs: the view, and plotly.js from the installed plotly."""

import importlib.util
import pathlib

STATIC = pathlib.Path(__file__).parent / "static"

# In this order one file holds them all: each uses only what comes before it.
MODULES = (
    "format.js",
    "theme.js",
    "path.js",
    "surface.js",
    "store.js",
    "words.js",
    "canvas.js",
    "flat.js",
    "charts.js",
    "solids.js",
    "space.js",
    "controls.js",
    "player.js",
    "app.js",
)
STYLE = "style.css"
INSTALL = "pip install 'keras-valleys[page]'"


def plotly_path():
    """The path of plotly.js in the installed plotly, which is not imported; None without it."""
    try:
        spec = importlib.util.find_spec("plotly")
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    path = pathlib.Path(spec.origin).parent / "package_data" / "plotly.min.js"
    return path if path.exists() else None


def one_script(entry):
    """All modules and the module `entry` as one, for a page that is a single file."""
    lines = []
    for name in (*MODULES, entry):
        for line in (STATIC / name).read_text("utf-8").splitlines():
            if not line.startswith("import "):
                lines.append(line.removeprefix("export "))
    return "\n".join(lines)
