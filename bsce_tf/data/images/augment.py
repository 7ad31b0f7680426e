"""Random changes of a training image, each a pure function of the example's own seed.

Nothing here keeps state, so an image looks the same whatever the batch, the worker or the step at
which a run was resumed. RandAugment and AutoAugment take their operations and policies from
tf-models-official (extra `augment`), imported only when they are asked for. Its own classes, and
Keras's augmentation layers, draw from a generator that goes on from call to call, so this module
draws all random numbers itself.
"""

import dataclasses
import math

import tensorflow as tf

from bsce_tf import fields, parts
from bsce_tf.data.images import own_policy
from bsce_tf.errors import InputError

_TOP = 10  # the largest magnitude of the policies
_GREY = 128  # the policies fill empty places with it
_ERASED_AREA = 0.02, 1 / 3  # share of the image; Zhong et al. 2020, section 4.2
_ERASED_RATIO = 0.3, 1 / 0.3  # height / width
_LUMA = 0.299, 0.587, 0.114
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What to do to training images, in this order; the fields of `config.augment`.

    Ranges, units and defaults are those of the fields.

    Attributes:
      flip: mirror half of the images left to right.
      vertical_flip: mirror half of the images upside down.
      brightness: multiply by a factor from 1 ± this.
      contrast: scale the distance from the mean grey by a factor from 1 ± this.
      saturation: scale the distance from grey by a factor from 1 ± this.
      hue: turn the colours (in the YIQ plane) by up to ± this.
      policy: none, randaugment (Cubuk et al. 2020) or autoaugment (Cubuk et al. 2019).
      num_layers: N of RandAugment, operations on an image.
      magnitude: M of RandAugment, strength of each.
      autoaugment_policy: a policy of tf-models-official: reduced_imagenet, v0, simple, …
      erasing: probability of filling a rectangle with noise (Zhong et al. 2020).
      mixup: α of MixUp (Zhang et al. 2018), blending two images.
      cutmix: α of CutMix (Yun et al. 2019), pasting a rectangle. With mixup, too, each pair of
        images draws one of them.

    Raises:
      InputError: if a field is out of its range.
    """

    flip: bool = fields.default('augment.flip')
    vertical_flip: bool = fields.default('augment.vertical_flip')
    brightness: float = fields.default('augment.brightness')
    contrast: float = fields.default('augment.contrast')
    saturation: float = fields.default('augment.saturation')
    hue: float = fields.default('augment.hue')
    policy: str = fields.default('augment.policy')
    num_layers: int = fields.default('augment.num_layers')
    magnitude: float = fields.default('augment.magnitude')
    autoaugment_policy: str = fields.default('augment.autoaugment_policy')
    erasing: float = fields.default('augment.erasing')
    mixup: float = fields.default('augment.mixup')
    cutmix: float = fields.default('augment.cutmix')

    def __post_init__(self):
        """Checks the ranges."""
        for field in dataclasses.fields(self):
            fields.check(f'augment.{field.name}', getattr(self, field.name))

    @property
    def mixes(self):
        """Whether labels become soft: float32 `[batch, K]` instead of int32 `[batch]`."""
        return bool(self.mixup or self.cutmix)

    @property
    def colours(self):
        """Whether any part of the colour jitter is on."""
        return bool(self.brightness or self.contrast or self.saturation or self.hue)


NONE = Augmentation(flip=False)


def build(augmentation):
    """The function that changes one image: (uint8 `[C, C, 3]`, seeds) → uint8 `[C, C, 3]`.

    `seeds` maps the name of a use to an int64 tensor `[2]`. MixUp and CutMix, which need two
    images, are in `mixing`.

    Raises:
      InputError: if a policy is asked for and tf-models-official is missing or has no such policy,
        or as `own_policy.of`.
    """
    a = augmentation
    steps = []
    if a.flip:
        steps.append(('flip', flip))
    if a.vertical_flip:
        steps.append(('vertical_flip', tf.image.stateless_random_flip_up_down))
    if a.colours:
        steps.append(('colours', lambda image, seed: colour_jitter(
            image, seed, a.brightness, a.contrast, a.saturation, a.hue)))
    if a.policy == 'randaugment':
        steps.append(('policy', rand_augment(a.num_layers, a.magnitude)))
    if a.policy == 'autoaugment':
        steps.append(('policy', auto_augment(a.autoaugment_policy)))
    if parts.is_part(a.policy):
        steps.append(('policy', own_policy.of(a.policy)))
    if a.erasing:
        steps.append(('erasing', lambda image, seed: erase(image, seed, a.erasing)))

    def apply(image, seeds):
        for name, step in steps:
            image = step(image, seeds(name))
        return image

    return apply


def flip(image, seed):
    """Mirrors `[height, width, channels]` left to right for half of the seeds, int `[2]`."""
    return tf.image.stateless_random_flip_left_right(image, seed)


def colour_jitter(image, seed, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0):
    """Changes brightness, contrast, saturation and hue, in this order, as one affine map.

    Each of the four is linear in the pixel, so their product is computed once for an image, and
    values are clipped once at the end.

    Args:
      image: uint8 `[height, width, 3]`.
      seed: int tensor `[2]`.
      brightness, contrast, saturation, hue: as in `Augmentation`.

    Returns:
      uint8 `[height, width, 3]`.
    """
    draws = tf.random.stateless_uniform([4], seed, -1.0, 1.0)
    factors = 1.0 + draws[:3] * [brightness, contrast, saturation]
    luma = tf.constant([_LUMA])
    pixels = tf.cast(image, tf.float32)
    mean = tf.reduce_sum(tf.reduce_mean(pixels, [0, 1]) * luma) * factors[0]
    to_grey = tf.matmul(luma, tf.ones([1, 3]), transpose_a=True)  # pixel · to_grey = (y, y, y)
    colour = factors[2] * tf.eye(3) + (1.0 - factors[2]) * to_grey
    matrix = factors[0] * factors[1] * tf.matmul(colour, _turn(draws[3] * hue))
    shift = (1.0 - factors[1]) * mean  # of a grey, which saturation and hue leave alone
    flat = tf.matmul(tf.reshape(pixels, [-1, 3]), matrix) + shift
    return tf.cast(tf.reshape(tf.clip_by_value(flat, 0.0, 255.0), tf.shape(image)) + 0.5, tf.uint8)


def _turn(turns):
    """`[3, 3]`: rotates the hue of an RGB row vector."""
    angle = 2 * math.pi * turns
    c, s = tf.cos(angle), tf.sin(angle)
    turn = tf.reshape(tf.stack([1.0, 0.0, 0.0, 0.0, c, s, 0.0, -s, c]), [3, 3])
    to_yiq = tf.constant(_YIQ)
    return tf.transpose(tf.matmul(tf.linalg.inv(to_yiq), tf.matmul(turn, to_yiq)))


def erase(image, seed, probability):
    """Replaces a rectangle by random bytes, with the given probability.

    The rectangle's share of the area is uniform in 2 % … 33 %, its height / width log-uniform in
    0.3 … 3.3, cut to the image (Zhong et al. 2020, "Random Erasing Data Augmentation").
    """
    draws = tf.random.stateless_uniform([5], seed)

    def erased():
        shape = tf.cast(tf.shape(image)[:2], tf.float32)
        area = shape[0] * shape[1] * (_ERASED_AREA[0] + draws[1] * (
            _ERASED_AREA[1] - _ERASED_AREA[0]))
        low, high = (math.log(ratio) for ratio in _ERASED_RATIO)
        ratio = tf.exp(low + draws[2] * (high - low))
        length = tf.minimum(tf.round(tf.sqrt(tf.stack([area * ratio, area / ratio]))), shape)
        start = tf.cast(draws[3:] * (shape - length + 1), tf.int32)
        filled = tf.concat([tf.cast(length, tf.int32), tf.shape(image)[2:]], 0)
        noise = tf.random.stateless_uniform(filled, seed, 0, 256, tf.int32)
        return paste(image, tf.cast(noise, tf.uint8), start)

    return tf.cond(draws[0] < probability, erased, lambda: image)


def paste(images, patch, start):
    """Puts `patch` into images at `start`; joining parts is ten times as fast as `tf.where`.

    Args:
      images: `[…, height, width, channels]`.
      patch: `[…, h, w, channels]`, h and w may be 0.
      start: int32 `[2]`, top and left edge; the patch lies inside of the images.

    Returns:
      Tensor like `images`.
    """
    top, left = start[0], start[1]
    bottom, right = top + tf.shape(patch)[-3], left + tf.shape(patch)[-2]
    rows = images[..., top:bottom, :, :]
    rows = tf.concat([rows[..., :left, :], patch, rows[..., right:, :]], axis=-2)
    pasted = tf.concat([images[..., :top, :, :], rows, images[..., bottom:, :, :]], axis=-3)
    return tf.ensure_shape(pasted, images.shape)


def rand_augment(num_layers, magnitude):
    """RandAugment: N operations in a row, each drawn from 16 and the identity, at magnitude M."""
    names = ('AutoContrast', 'Equalize', 'Invert', 'Rotate', 'Posterize', 'Solarize', 'Color',
             'Contrast', 'Brightness', 'Sharpness', 'ShearX', 'ShearY', 'TranslateX', 'TranslateY',
             'Cutout', 'SolarizeAdd')
    change = _switch([(name, magnitude) for name in names], cutout=40, translate=100)

    def apply(image, seed):
        draws = tf.random.stateless_uniform([num_layers, 4], seed)
        for layer in range(num_layers):
            chosen = tf.cast(draws[layer, 0] * (len(names) + 1), tf.int32)
            image = change(chosen, image, draws[layer, 1:])
        return image

    return apply


def auto_augment(name):
    """AutoAugment: one random sub-policy per image, each operation with its own probability."""
    library = _library()
    policies = library.AutoAugment().available_policies
    if name not in policies:
        raise InputError(f"augment.autoaugment_policy: found '{name}'; expected one of "
                         f"{', '.join(sorted(policies))}.")
    policy = policies[name]
    pairs = sorted({(op, level) for part in policy for op, _, level in part})
    change = _switch(pairs, cutout=100, translate=250)
    layers = max(map(len, policy))
    # One switch a layer over the distinct operations, instead of one branch for every sub-policy.
    which = [[pairs.index((part[i][0], part[i][2])) if i < len(part) else len(pairs)
              for i in range(layers)] for part in policy]
    probability = [[part[i][1] if i < len(part) else 0.0 for i in range(layers)] for part in policy]

    def apply(image, seed):
        draws = tf.random.stateless_uniform([layers + 1, 4], seed)
        part = tf.cast(draws[layers, 0] * len(policy), tf.int32)
        for layer in range(layers):
            used = draws[layer, 0] < tf.gather(tf.constant(probability), part)[layer]
            chosen = tf.where(used, tf.gather(tf.constant(which), part)[layer], len(pairs))
            image = change(chosen, image, draws[layer, 1:])
        return image

    return apply


def _switch(pairs, cutout, translate):
    """Function (index of a pair, image, draws) → image, in one graph that all layers share."""
    operations = _operations(pairs, cutout, translate)

    @tf.function(autograph=False)
    def change(chosen, image, draws):
        changed = tf.switch_case(chosen, [lambda op=op: op(image, draws) for op in operations])
        return tf.ensure_shape(changed, image.shape)

    return change


def _operations(pairs, cutout, translate):
    """A function (uint8 image, three uniform draws) → image for each pair; identity at the end."""
    library = _library()

    def signed(draws, value):
        return tf.where(draws[0] < 0.5, -value, value)

    def make(name, magnitude):
        share = magnitude / _TOP
        function = library.NAME_TO_FUNC[name]
        if name == 'Cutout':
            return lambda image, draws: _cut_out(image, draws[1:], int(cutout * share))
        ranges = {'Rotate': 30.0, 'ShearX': 0.3, 'ShearY': 0.3, 'TranslateX': float(translate),
                  'TranslateY': float(translate)}
        if name in ranges:
            return lambda image, draws: function(
                image, signed(draws, ranges[name] * share), [_GREY] * 3)
        whole = {'Posterize': 4, 'Solarize': 256, 'SolarizeAdd': 110}
        if name in whole:
            return lambda image, draws: function(image, int(whole[name] * share))
        if name in ('Color', 'Contrast', 'Brightness', 'Sharpness'):
            return lambda image, draws: function(image, 1.8 * share + 0.1)
        return lambda image, draws: function(image)  # AutoContrast, Equalize, Invert, Grayscale

    return [make(*pair) for pair in pairs] + [lambda image, draws: tf.identity(image)]


def _cut_out(image, draws, half):
    """Greys out a square of side 2 · `half` around a point drawn from the whole image."""
    shape = tf.shape(image)
    centre = tf.cast(draws * tf.cast(shape[:2], tf.float32), tf.int32)
    start, end = tf.maximum(centre - half, 0), tf.minimum(centre + half, shape[:2])
    patch = tf.fill(tf.concat([end - start, shape[2:]], 0), tf.constant(_GREY, image.dtype))
    return paste(image, patch, start)


def _library():
    try:
        from official.vision.ops import augment as library  # heavy: 8 s, and an extra
    except ImportError as error:
        raise InputError(
            f'augment.policy: needs tf-models-official, which does not load ({error}); expected '
            "it after: pip install 'bsce-tf[augment]'.") from None
    return library
