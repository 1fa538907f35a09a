"""What an event writer takes: tags, steps, numbers and images, and its errors."""

import contextlib
import io

import numpy as np


def unfit(expected, received, remedy):
    """The error that tells what was expected, what came, and what to do."""
    return ValueError(f"`EventWriter` expects {expected}. Received: {received}. {remedy}")


def check_tag(tag):
    """Refuse a tag that TensorBoard cannot show."""
    if not isinstance(tag, str) or not tag:
        raise unfit("a string as `tag`", f"tag={tag!r}", "Name it, such as 'valley/loss'.")


def check_step(step):
    """Refuse a step that TensorBoard cannot show."""
    if not isinstance(step, int | np.integer) or not 0 <= step < 2**63:
        raise unfit("an integer >= 0 as `step`", f"step={step!r}", "Count steps from 0.")


def as_number(value):
    """A number, also one in a tensor of rank 0, as a float."""
    if isinstance(value, float | np.floating):  # the quick way of almost all
        return float(value)
    with contextlib.suppress(ArithmeticError, TypeError, ValueError):
        if np.ndim(value) == 0 and not isinstance(value, str | bytes):
            return float(value)
    raise unfit("a number as `value`", f"value={value!r}", "Pass float(value).")


def image_strings(image):
    """Width, height and encoded bytes of an image, as TensorBoard stores it."""
    from PIL import Image  # takes 0.05 s

    if isinstance(image, bytes | bytearray | memoryview):
        try:
            with Image.open(io.BytesIO(image), formats=("PNG", "JPEG", "GIF")) as opened:
                return *(b"%d" % size for size in opened.size), bytes(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise unfit("a PNG, JPEG or GIF image", f"{error}", "Encode it as PNG.") from error
    array = np.asarray(image)
    height, width, channels = array.shape if array.ndim == 3 else (0, 0, 0)
    if array.dtype != np.uint8 or not height * width or channels not in (3, 4):
        received = f"dtype {array.dtype}, shape {array.shape}"
        raise unfit("a uint8 image (height, width, 3 or 4)", received, "Convert and reshape it.")
    file = io.BytesIO()
    Image.fromarray(array).save(file, format="PNG")
    return b"%d" % width, b"%d" % height, file.getvalue()
