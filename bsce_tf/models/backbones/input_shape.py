"""The input shapes that the ported networks accept."""

from bsce_tf.errors import InputError

SMALLEST = 96  # pixels: halved five times, that is a map of 3 x 3


def check(input_shape, name):
    """Check an input shape.

    Args:
        input_shape: tuple (height, width, 3); height and width may be None for any.
        name: of the network, for the message.

    Raises:
        InputError: not three numbers, not three channels, or a side under `SMALLEST` pixels.
    """
    if len(input_shape) != 3 or input_shape[-1] != 3:
        raise InputError(
            f'{name}: input_shape is {tuple(input_shape)}, expected (height, width, 3)'
        )
    if any(side is not None and side < SMALLEST for side in input_shape[:2]):
        raise InputError(
            f'{name}: images of {input_shape[0]} x {input_shape[1]} pixels are too small, '
            f'the smallest are {SMALLEST} x {SMALLEST}'
        )
