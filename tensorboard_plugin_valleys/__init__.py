"""The tab "Valleys" of TensorBoard: optimizers that move over one loss surface.

A package of its own, as TensorBoard's plugins are: `tensorboard` imports it at each start, so it
loads neither Keras nor keras_valleys.
"""
