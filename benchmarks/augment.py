"""How fast each change of training images is, against the same in other libraries.

  python -m benchmarks.augment

Every way gets the same uint8 images from memory, in a parallel map of tf.data on two threads: one
at a time; for MixUp and CutMix ours takes pairs and the others batches of 64. Needs the extra
`augment`. Only ours depend on nothing but the seed.
"""

import os
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import keras  # noqa: E402
import keras_cv  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from official.vision.ops import augment as official  # noqa: E402

from benchmarks import measure  # noqa: E402
from bsce_tf.data.images import augment, mixing  # noqa: E402

BATCH, CLASSES = 64, 1000


def rows(options):
    for title, ways in changes(options.size).items():
        yield from compare(title, ways, options)


def changes(size):
    """Change → name → (function of images, numbers and labels; images it takes at a time)."""
    layers = keras.layers
    return {
        'RandAugment, 2 layers, magnitude 9': {
            'bsce-tf': (single(augment.rand_augment(2, 9.0)), 1),
            'tf-models-official': (lambda x, n, y: official.RandAugment(2, 9.0).distort(x), 1),
            'keras-cv': (layer(keras_cv.layers.RandAugment((0, 255), 2, 0.9)), 1),
            'keras': (layer(layers.RandAugment((0, 255), 2, 0.9)), 1)},
        'AutoAugment, reduced ImageNet policy': {
            'bsce-tf': (single(augment.auto_augment('reduced_imagenet')), 1),
            'tf-models-official': (
                lambda x, n, y: official.AutoAugment('reduced_imagenet').distort(x), 1)},
        'colour jitter': {
            'bsce-tf': (single(lambda x, s: augment.colour_jitter(x, s, 0.4, 0.4, 0.4, 0.1)), 1),
            'tf.image': (tf_image_jitter, 1),
            'keras-cv': (layer(keras_cv.layers.RandomColorJitter((0, 255), 0.4, 0.4, 0.4, 0.1)), 1),
            'keras': (layer(layers.RandomColorJitter((0, 255), 0.4, 0.4, 0.4, 0.1)), 1)},
        'random erasing': {
            'bsce-tf': (single(lambda x, s: augment.erase(x, s, 1.0)), 1),
            'keras': (layer(layers.RandomErasing(1.0, (0.02, 0.33))), 1)},
        'MixUp': mixers(0.4, 0.0, keras_cv.layers.MixUp(0.4), layers.MixUp(0.4)),
        'CutMix': mixers(0.0, 1.0, keras_cv.layers.CutMix(1.0), layers.CutMix(1.0)),
    }


def single(function):
    return lambda image, number, label: function(image, tf.stack([number, 1]))


def layer(called):
    return lambda image, number, label: called(tf.cast(image, tf.float32), training=True)


def mixers(mixup, cutmix, keras_cv_layer, keras_layer):
    def of_pair(images, numbers, labels):
        mixed, pairs, share = mixing.mix(images, labels, tf.stack([numbers[0], 1]), mixup, cutmix)
        return mixed, mixing.soft_labels(pairs, share, CLASSES)

    def of_batch(mixer):
        return lambda images, numbers, labels: mixer(
            {'images': tf.cast(images, tf.float32), 'labels': tf.one_hot(labels, CLASSES)},
            training=True)

    return {'bsce-tf': (of_pair, 2), 'keras-cv': (of_batch(keras_cv_layer), BATCH),
            'keras': (of_batch(keras_layer), BATCH)}


def tf_image_jitter(image, number, label):
    seed = tf.stack([number, 1])
    image = tf.image.stateless_random_brightness(image, 0.4, seed)
    image = tf.image.stateless_random_contrast(image, 0.6, 1.4, seed)
    image = tf.image.stateless_random_saturation(image, 0.6, 1.4, seed)
    return tf.image.stateless_random_hue(image, 0.1, seed)


def compare(title, ways, options):
    rng = np.random.default_rng(0)
    coarse = tf.constant(rng.integers(0, 256, (BATCH, 8, 8, 3)), tf.float32)
    images = tf.cast(tf.image.resize(coarse, (options.size, options.size)), tf.uint8)

    def turn(runs, taken):
        iterator = iter(runs)
        next(iterator)  # what starting costs is not counted
        begin = time.perf_counter()
        for _ in range(options.images // taken):
            next(iterator)
        return (time.perf_counter() - begin) / options.images

    made = {name: dataset(images, *way) for name, way in ways.items()}
    found = measure.alternate({name: lambda way=way: turn(*way) for name, way in made.items()},
                              options.repeats)
    for peer in list(ways)[1:]:
        yield measure.row(f'{title}, {options.size} px', peer, found['bsce-tf'], found[peer],
                          unit='s/image')


def dataset(images, function, taken):
    numbers = tf.data.Dataset.range(10**9).map(
        lambda n: (images[n % BATCH], n, tf.cast(n % CLASSES, tf.int32)))
    if taken > 1:
        numbers = numbers.batch(taken)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 2
    return numbers.map(function, num_parallel_calls=2).prefetch(2).with_options(options), taken


if __name__ == '__main__':
    measure.run(__doc__, rows, repeats=(5, 5, 'turns of each way'),
                size=(160, 32, 'side of the images in pixels'),
                images=(256, 128, 'images of a turn'))
