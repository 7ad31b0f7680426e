"""How errors, time and memory behave as classes grow: drawings of 10, 100, 1,000 and 5,000 classes.

    python -m experiments.large_k [--conditions=10,100,1000,5000,5000-longer] [--seeds=0]

Draws the data first (`experiments/drawings.py`, in .data/drawings), a long tail of 100 to 5 images
a class, and puts 10 % wrong labels on it. The same network, batches and number of steps for all but
the last, which goes over its images ten times; with the others' steps 5,000 classes get less than
two passes. Writes results/large_k.csv and results/large_k.md.
"""

import pathlib
import statistics

from absl import app

from configs import default
from experiments import drawings, study

SIZES = (10, 100, 1000, 5000)
LONGER = '5000-longer'
FOLDER = pathlib.Path('.data/drawings')
NOISE = 0.1
ARMS = {
    'ce': {'loss.name': 'ce'},
    'bce': {'loss.name': 'bce'},
    'sce': {'loss.name': 'sce'},
    'bsce': {'loss.name': 'bsce'},
    'sce, square-root sampling': {'loss.name': 'sce', 'sampler.gamma': 0.5},
    'sce, balanced sampling': {'loss.name': 'sce', 'sampler.gamma': 1.0},
}
CONDITIONS = {str(size): {'data.root': str(FOLDER / str(size))} for size in SIZES}
CONDITIONS[LONGER] = {**CONDITIONS['5000'], 'steps': 2230}
STUDY = study.Study('large_k', 'Drawings of many classes', CONDITIONS, ARMS, 'ce', {}, seeds=[0],
                    rates=[0.1])


def get_config():
    """Drawings of 40 px, cut to 36; 10 epochs of 400 steps of 64 images, whatever the classes."""
    config = default.get_config()
    config.data.source, config.data.noise = 'arrays', NOISE
    config.image.size, config.image.eval_scale = 36, 40
    config.image.scales = (38, 40, 42)
    config.augment.flip = False  # letters
    config.model.backbone, config.loss.name = 'small_resnet', 'ce'
    config.epochs, config.steps = 10, 400
    config.schedule.name, config.schedule.warmup_steps = 'cosine', 100
    return config


def growth(found):
    """Markdown: images, seconds and peak memory of the process as classes grow."""
    lines = ['', '| classes | training images | seconds for 4,000 steps '
             '| seconds a pass over the images | peak memory, MB |', '|---:|---:|---:|---:|---:|']
    config = get_config()
    seen = config.epochs * config.steps * config.batch_size
    for size in SIZES:
        rows = [row for arm in STUDY.arms for row in found.rows_of(str(size), arm).values()]
        images = int(drawings.sizes(size, drawings.LARGEST.default).sum() * 0.9)
        if rows:
            seconds = statistics.median(float(row['seconds']) for row in rows)
            lines.append(f'| {size:,} | {images:,} | {seconds:.0f} '
                         f'| {seconds * images / seen:.1f} '
                         f'| {min(int(row["peak_mb"]) for row in rows):,} |')
        else:
            lines.append(f'| {size:,} | {images:,} | not run | | |')
    return '\n'.join(lines) + '\n'


def main(_):
    """Draws what is missing and runs what the flags name."""
    for condition in study.conditions(STUDY.conditions):
        size = condition.partition('-')[0]
        drawings.write(FOLDER / size, int(size), drawings.LARGEST.value,
                       drawings.SMALLEST.value, drawings.TEST_IMAGES.value, drawings.SEED.value)
    study.run(STUDY, get_config(), more=growth)


if __name__ == '__main__':
    app.run(main)
