"""What `tensorboard` imports at its start: nothing that could fail or take time."""

import argparse

from tensorboard.plugins import base_plugin

DEFAULT_INTERVAL = 5.0  # TensorBoard's, in seconds


class ValleysLoader(base_plugin.TBLoader):
    """Loads the plugin; TensorBoard logs what fails here, and starts without the tab.

    Paths are to be seen while they grow: where no `--reload_interval` is asked for, TensorBoard
    looks for new data every second instead of every five.
    """

    def fix_flags(self, flags: argparse.Namespace) -> None:
        if getattr(flags, "reload_interval", None) == DEFAULT_INTERVAL:
            flags.reload_interval = 1.0

    def load(self, context: base_plugin.TBContext) -> base_plugin.TBPlugin:
        from tensorboard_plugin_valleys.plugin import ValleysPlugin

        return ValleysPlugin(context)
