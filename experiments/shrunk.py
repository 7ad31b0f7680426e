"""Does it cost accuracy to shrink the images once, with `bsce pack --config.pack.side`?

    nice -n 15 .venv/bin/python -m experiments.shrunk --processes=2

JPEGs of 80 px of drawings (`experiments/drawings.py`): 100 classes, imbalance 10. Packed unchanged,
and shrunk to 48 px. Training crops are of 33 px, from images that are resized to at most 46 px, as
the paper's are of 331 from at most 464. So all lengths are a tenth of those of photographs of
800 px that are shrunk to 480. Test images are shrunk like those of training. Writes
results/shrunk.csv, .md and .svg.
"""

import pathlib

import numpy as np
from absl import app

from bsce_tf.catalogue import pack
from bsce_tf.data import sources
from configs import default
from experiments import drawings, study

FOLDER = pathlib.Path('.data/drawings/photographs')
CLASSES, LARGEST, SMALLEST, TEST_IMAGES = 100, 100, 10, 20  # test images of a class
PIXELS, SIDE, QUALITY = 80, 48, 95

STUDY = study.Study(
    'shrunk', 'Images that were shrunk once',
    {'drawings100': {'data.source': 'packed', 'data.root': str(FOLDER / 'unchanged')}},
    {'unchanged': {}, 'shrunk': {'data.root': str(FOLDER / 'shrunk')}}, 'unchanged', {},
    seeds=[0, 1, 2], rates=[0.3], noisy=False)  # 0.1 was not better for either


def get_config():
    """Network, crops and schedule of both."""
    config = default.get_config()
    config.deterministic = True
    config.data.imbalance, config.data.noise = 1.0, 0.0  # the drawings have their long tail
    config.model.backbone, config.loss.name = 'small_resnet', 'ce'
    config.image.size, config.image.scales, config.image.eval_scale = 33, (38, 41, 42, 44, 46), 42
    config.tta.scales, config.augment.flip = (42,), False
    config.batch_size, config.epochs, config.steps = 128, 8, 125
    config.schedule.name, config.schedule.warmup_steps = 'cosine', 100
    return config


def write(folder=FOLDER):
    """Draws the JPEGs and packs them twice; what is there stays."""
    for split, name, counts in (
            (0, 'train', drawings.sizes(CLASSES, LARGEST, SMALLEST)),
            (1, 'test', np.full(CLASSES, TEST_IMAGES))):
        if not (folder / 'files' / name).exists():
            _draw(folder / 'files' / f'{name}.half', split, counts)
            (folder / 'files' / f'{name}.half').rename(folder / 'files' / name)
    splits = sources.load('folder', root=str(folder / 'files'), cache='off')
    for name, side in (('unchanged', 0), ('shrunk', SIDE)):
        for split in ('train', 'test'):
            if not (folder / name / split).exists():
                pack.pack(getattr(splits, split), folder / name / split, side=side)


def _draw(folder, split, counts):
    for k, count in enumerate(counts):
        product = drawings.product(k, 0)
        place = folder / f'{k:03d} {product["letters"]}'
        place.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image = drawings.draw(product, np.random.default_rng([0, 2, split, k, i]), PIXELS)
            image.save(place / f'{i:03d}.jpg', quality=QUALITY)


def main(_):
    """Draws what is missing and runs what the flags name."""
    if not study.SHOW.value:
        write()
    study.run(STUDY, get_config())


if __name__ == '__main__':
    app.run(main)
