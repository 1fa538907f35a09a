"""What `tensorboard` imports at its start: nothing that could fail or take time."""

from tensorboard.plugins import base_plugin


class ValleysLoader(base_plugin.TBLoader):
    """Loads the plugin; TensorBoard logs what fails here, and starts without the tab."""

    def load(self, context: base_plugin.TBContext) -> base_plugin.TBPlugin:
        from tensorboard_plugin_valleys.plugin import ValleysPlugin

        return ValleysPlugin(context)
