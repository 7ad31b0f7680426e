"""How a network sees an image: one description for training, test time, exports and reports."""

import dataclasses

import tensorflow as tf

from bsce_tf import fields
from bsce_tf.data.images import crops
from bsce_tf.errors import InputError

CENTRE = 'centre'


@dataclasses.dataclass(frozen=True)
class View:
    """Crops of C × C pixels: central ones at test time, one per scale; random ones in training.

    Attributes:
      size: C, side of a crop in pixels.
      scales: sizes in pixels that an image is resized to before it is cropped, each ≥ C.
      crop: 'centre' at test time; in training 'multi_scale', at one of the scales, or
        'random_resized', which uses `area` and `aspect_ratio` instead of `scales`.
      aspect: 'squash' resizes to S × S, 'keep' the shorter side to S; random_resized ignores it.
      antialias: see `crops.resize_box`.
      channels: of the crops, 1 or 3.
      area: range of a crop's share of the image; see `crops.random_resized`.
      aspect_ratio: range of a crop's width / height.

    Raises:
      InputError: if one is out of range; it names the field of `config.image`.
    """

    size: int
    scales: tuple
    crop: str = CENTRE
    aspect: str = fields.default('image.aspect')
    antialias: bool = fields.default('image.antialias')
    channels: int = 3
    area: tuple = fields.default('image.area')
    aspect_ratio: tuple = fields.default('image.aspect_ratio')

    def __post_init__(self):
        for name in ('size', 'scales', 'aspect', 'area', 'aspect_ratio'):
            fields.check(f'image.{name}', getattr(self, name))
        if self.crop != CENTRE:
            fields.check('image.crop', self.crop)
        if self.crop != 'random_resized' and min(self.scales, default=0) < self.size:
            raise InputError(f'image.scales: found {self.scales}; expected at least one scale, '
                             f'each ≥ image.size = {self.size}.')

    @property
    def shape(self):
        """Shape of the centre crops of an image: (scales, C, C, channels)."""
        return len(self.scales), self.size, self.size, self.channels

    def at(self, scales):
        """The same view of an image's centre, at other scales."""
        return View(self.size, tuple(scales), aspect=self.aspect, antialias=self.antialias,
                    channels=self.channels)

    def centre(self, image):
        """uint8 `[scales, C, C, channels]`: the centre crops of an image.

        Args:
          image: decoded, uint8 `[height, width, 1 or 3]`. With 1 channel of crops, RGB is averaged;
            with 3, grey is repeated.
        """
        if self.channels == 1 and image.shape[-1] == 3:
            image = tf.reduce_mean(tf.cast(image, tf.float32), axis=-1, keepdims=True)
        elif self.channels == 3 and image.shape[-1] == 1:
            image = tf.image.grayscale_to_rgb(image)
        return crops.to_uint8(crops.centre_crops(image, self.scales, self.size, self.aspect,
                                                 self.antialias))

    def box(self, shape, seed):
        """Where a random crop lies: float32 `[4]`, top, left, height and width in pixels.

        Args:
          shape: int32 `[2]`, height and width of the image.
          seed: int tensor `[2]`; the same seed gives the same box.
        """
        if self.crop == 'multi_scale':
            return crops.multi_scale(shape, self.scales, self.size, seed, self.aspect)
        return crops.random_resized(shape, self.area, self.aspect_ratio, seed)


def of(image, channels):
    """The training `View` of `config.image`; its method `at` gives those of test time.

    Args:
      image: mapping, `config.image`.
      channels: of the images, 1 or 3.
    """
    return View(channels=channels, **{name: image[name] for name in image if name != 'eval_scale'})
