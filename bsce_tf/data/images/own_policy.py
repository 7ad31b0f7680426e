"""A user's own augmentation policy, see `parts`: called with a check of what it returns."""

import tensorflow as tf

from bsce_tf import parts

_FIELD = 'augment.policy'


def of(name):
    """The policy of a name, a function (uint8 `[C, C, channels]`, int64 `[2]`) → an image like it.

    Raises:
      InputError: as `parts.load`; the function's calls, if the policy fails or returns something
        else than an image like the one it got.
    """
    part = parts.load(_FIELD, name)

    # Else TensorFlow would rewrite the checks, too; the policy's own Python is still rewritten.
    @tf.autograph.experimental.do_not_convert
    def apply(image, seed):
        found = parts.called(_FIELD, name, lambda *given: tf.function(part)(*given), image, seed)
        expected = _words(image)
        if not tf.is_tensor(found):
            raise parts.unfit(_FIELD, name, type(found).__name__, expected)
        if found.dtype != image.dtype or not found.shape.is_compatible_with(image.shape):
            raise parts.unfit(_FIELD, name, _words(found), expected)
        return tf.ensure_shape(found, image.shape)

    return apply


def check(name, size, channels):
    """Raises InputError, as `of`, if a policy does not change a black image as it should.

    Args:
      name: of the policy.
      size: C, side of the image in pixels.
      channels: of the image.
    """
    with tf.device('/CPU:0'):  # where training images are made
        of(name)(tf.zeros([size, size, channels], tf.uint8), tf.zeros([2], tf.int64))


def _words(image):
    return f'{image.dtype.name} {image.shape}'
