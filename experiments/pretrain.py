"""Pretrains the small network on other characters, as the paper's networks began with ImageNet.

    python -m experiments.hangul --script=hanja --classes=4620 --copies=3
    python -m experiments.pretrain

4,620 Chinese characters with right labels, as many images of each, in training faces alone. The
best weights go to where `experiments/losses.py` begins with them, once all epochs are done. It goes
on where it was stopped.
"""

import pathlib
import shutil

from absl import app

from bsce_tf import files
from bsce_tf.training import train, workdir
from experiments import losses

FOLDER = pathlib.Path('runs/pretrained')
RATE, STEPS = 0.3, 1000  # of each epoch


def main(_):
    """Trains and writes the weights."""
    config = losses.get_config()
    config.update_from_flattened_dict({
        **losses.condition('hangul', 0.0, STEPS), 'data.source': 'arrays',
        'data.root': '.data/hanja/4620', 'augment.flip': False, 'loss.name': 'ce',
        'optimizer.learning_rate': RATE})
    train.train(config, FOLDER)
    with files.replacing(losses.PRETRAINED) as temporary:
        shutil.copyfile(FOLDER / workdir.WEIGHTS, temporary)


if __name__ == '__main__':
    app.run(main)
