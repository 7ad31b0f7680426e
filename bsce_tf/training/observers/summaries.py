"""TensorBoard: curves, learning rate, augmented training images, errors by class."""

import numpy as np
import tensorflow as tf

from bsce_tf.training.observers.observer import Observer

_IMAGES = 16


class Summaries(Observer):
    """Writes event files into a folder."""

    def __init__(self, folder):
        self._writer = tf.summary.create_file_writer(str(folder))

    def on_first_batch(self, stage, images):
        """Writes some augmented images of the first batch of a stage."""
        with self._writer.as_default():
            tf.summary.image(f'training images/stage {stage}', images[:_IMAGES], 0, _IMAGES)

    def on_epoch(self, row, correct, total):
        """Writes the row of metrics.csv and a histogram of the validation errors of the classes."""
        with self._writer.as_default():
            for name, value in row.items():
                if name in ('stage', 'epoch'):
                    continue
                part, name = ('validation', name[4:]) if name.startswith('val_') else (
                    'training', name)
                tf.summary.scalar(f'{name}/{part}', value, row['epoch'])
            seen = total > 0
            tf.summary.histogram('validation error of classes',
                                 1 - correct[seen] / np.maximum(total[seen], 1), row['epoch'])
        self._writer.flush()
