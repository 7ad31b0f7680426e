"""Packs of 25 made-up images, which nothing decodes."""

import numpy as np

from bsce_tf import recipes
from bsce_tf.catalogue import pack
from bsce_tf.data import sources
from bsce_tf.data.examples import Examples

COUNT = 25


def data_of(number):
    return np.random.default_rng(number).bytes(200 + 37 * number)


def examples_in(root, count=COUNT):
    """Files in a folder, which is made, of three classes."""
    root.mkdir(exist_ok=True)
    for i in range(count):
        (root / f'{i}.jpg').write_bytes(data_of(i))
    paths = np.array([f'{i}.jpg' for i in range(count)], 'S')
    return Examples(np.arange(count) % 3, ('a', 'b', 'c'), paths=paths, root=str(root))


def write(examples, folder, shard_images=10):
    pack.pack(examples, folder, shard_images, progress=False)


def settings(root, pack_side=0, **data):
    config = recipes.defaults()
    config.data.update({'source': 'folder', 'root': str(root), 'cache': 'off', **data})
    config.pack.side = pack_side
    return config


def all_data():
    return [data_of(i) for i in range(COUNT)]


def opened(folder):
    return sources.load('packed', root=str(folder.parent), train=folder.name).train
