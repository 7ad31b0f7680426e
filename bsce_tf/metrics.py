"""Mean top-1 error over classes, and the error of head, medium and tail classes."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable('bsce_tf')
class MeanTop1Error(keras.metrics.Metric):
    """Top-1 error of each class, averaged over the classes that have images.

    The metric of the AliProducts challenge and of the paper's tables. It keeps two vectors of
    length K, not a K × K confusion matrix. With `sample_weight`, images count by their weight.

    Args:
      num_classes: K ≥ 2.
      name: of the metric.
      dtype: of the counts; float32 counts up to 2²⁴ images a class exactly.

    Raises:
      ValueError: if K < 2, or the predictions have another number of classes.

    Example:
      >>> metric = MeanTop1Error(3)
      >>> metric([0, 0, 1], [[9., 0., 0.], [0., 9., 0.], [0., 9., 0.]])  # (1/2 + 0) / 2 classes
      0.25
    """

    def __init__(self, num_classes, name='mean_top1_error', dtype=None):
        super().__init__(name=name, dtype=dtype)
        if num_classes < 2:
            raise ValueError(f'num_classes: found {num_classes}; expected at least 2.')
        self.num_classes = num_classes
        self.correct = self.add_variable((num_classes,), 'zeros', name='correct')
        self.total = self.add_variable((num_classes,), 'zeros', name='total')

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts a batch.

        Args:
          y_true: class ids `[n]` or `[n, 1]`, or one-hot or soft labels `[n, K]`, whose largest
            entry is the class.
          y_pred: `[n, K]` logits or probabilities. A row with NaN counts as wrong.
          sample_weight: `[n]`, `[n, 1]` or one number, or None.

        Raises:
          ValueError: if shapes do not fit together, also in n. In a graph of TensorFlow that does
            not know n while tracing, an InvalidArgumentError when it runs. A label out of range
            makes the result NaN.
        """
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if len(y_pred.shape) != 2 or y_pred.shape[-1] != self.num_classes:
            raise ValueError(f'{self.name}: found predictions of shape {tuple(y_pred.shape)}; '
                             f'expected [n, {self.num_classes}].')
        ids = self._of_batch('labels', self._ids(y_true, y_pred), y_pred)
        finite = ops.logical_not(ops.any(ops.isnan(y_pred), axis=-1))
        hit = ops.logical_and(ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), 'int32'), ids),
                              finite)
        self.count(ids, hit, sample_weight)

    def count(self, ids, hit, sample_weight=None):
        """Counts a batch of which it is known which predictions are right.

        Args:
          ids: int32 `[n]`, class ids of the images.
          hit: bool `[n]`, whether the top-1 class is right.
          sample_weight: as for `update_state`.

        Raises:
          ValueError: as `update_state`.
        """
        hit = self._of_batch('hits', hit, ids)
        # A label out of range makes the result NaN.
        inside = ops.logical_and(ids >= 0, ids < self.num_classes)
        weight = ops.cast(ops.where(inside, 1.0, np.nan), self.dtype)
        if sample_weight is not None:
            weight = weight * self._weights(sample_weight, ids)
        ids = ops.where(inside, ids, 0)
        self.total.assign_add(self._by_class(weight, ids))
        self.correct.assign_add(self._by_class(weight * ops.cast(hit, self.dtype), ids))

    def _ids(self, y_true, y_pred):
        """Class ids, int32 `[n]`. Raises ValueError if the labels' shape does not fit."""
        rank = len(y_true.shape)
        width = y_true.shape[-1] if rank == 2 else 1
        if rank not in (1, 2) or width not in (1, self.num_classes, None):
            raise ValueError(f'{self.name}: found labels of shape {tuple(y_true.shape)}; expected '
                             f'[n], [n, 1] or [n, {self.num_classes}].')
        if rank == 1:
            return ops.cast(y_true, 'int32')
        if width == 1:
            return ops.cast(y_true[:, 0], 'int32')
        if width is None:  # TensorFlow knows it when it runs; a wrong width raises an error then
            wide = y_true + ops.cast(ops.zeros_like(y_pred), y_true.dtype)
            return ops.where(ops.equal(ops.shape(y_true)[-1], 1), ops.cast(y_true[:, 0], 'int32'),
                             ops.cast(ops.argmax(wide, axis=-1), 'int32'))
        return ops.cast(ops.argmax(y_true, axis=-1), 'int32')

    def _of_batch(self, what, values, others):
        """`values` `[n]`, which would be broadcast to another n; `others` is `[n, …]`."""
        found, expected = values.shape[0], others.shape[0]
        if None in (found, expected):  # a graph of TensorFlow knows them when it runs
            import tensorflow as tf  # which Keras has loaded

            with tf.control_dependencies([tf.debugging.assert_equal(
                    tf.shape(values)[0], tf.shape(others)[0],
                    f'{self.name}: {what} of another number of images.')]):
                return tf.identity(values)  # so that nothing is counted first
        if found != expected:
            raise ValueError(f'{self.name}: found {what} of {found} images; expected {expected}, '
                             'one for each prediction.')
        return values

    def _weights(self, sample_weight, ids):
        weight = ops.cast(ops.convert_to_tensor(sample_weight), self.dtype)
        shape = tuple(weight.shape)
        if len(shape) > 2 or (len(shape) == 2 and shape[1] not in (1, None)):
            raise ValueError(f'{self.name}: found sample weights of shape {shape}; expected [n], '
                             '[n, 1] or one number.')
        if not shape:
            return weight
        return self._of_batch('sample weights', ops.reshape(weight, (-1,)), ids)

    def _by_class(self, values, labels):
        return ops.segment_sum(values, labels, num_segments=self.num_classes)

    def result(self):
        """Mean error over the classes with images; 0 if there is none."""
        total, correct = (ops.convert_to_tensor(v) for v in (self.total, self.correct))
        seen = ops.cast(ops.logical_or(total > 0, ops.isnan(total)), self.dtype)
        accuracy = correct / ops.where(seen > 0, total, 1.0)
        return ops.sum(seen * (1.0 - accuracy)) / ops.maximum(ops.sum(seen), 1.0)

    @property
    def classes_without_images(self):
        """Number of classes without images, which the result leaves out."""
        seen = ops.convert_to_tensor(self.total) > 0
        return self.num_classes - int(ops.sum(ops.cast(seen, 'int32')))

    def get_config(self):
        return {**super().get_config(), 'num_classes': self.num_classes}


def class_groups(counts):
    """Splits the classes with training images into head, medium and tail.

    Classes are sorted by size, largest first (ties by class id), and cut into thirds. If the number
    is not divisible by 3, head and then medium have one class more.

    Args:
      counts: `[K]` training images of each class.

    Returns:
      dict of int arrays of class ids: 'head', 'medium', 'tail'.
    """
    counts = np.asarray(counts)
    order = np.argsort(-counts, kind='stable')
    return dict(zip(('head', 'medium', 'tail'), np.array_split(order[counts[order] > 0], 3),
                    strict=True))


def summary(correct, total, train_counts, correct_top5=None):
    """The errors of a set of images from its counts per class.

    Args:
      correct: `[K]` correctly classified images of each class.
      total: `[K]` images of each class.
      train_counts: `[K]` training images of each class, for `class_groups`.
      correct_top5: `[K]` images of each class that are correct in the top 5; None: not counted.

    Returns:
      dict: `mean_top1_error`, `top1_error`, `top5_error` (if counted), `head_error`,
      `medium_error`, `tail_error` (means over classes with images; NaN where there is none),
      `classes_without_images`, `images`.
    """
    correct, total = np.asarray(correct, np.float64), np.asarray(total, np.float64)
    with np.errstate(invalid='ignore', divide='ignore'):
        error = 1.0 - correct / total  # NaN for a class without images
    result = {'mean_top1_error': _mean(error), 'top1_error': 1.0 - correct.sum() / total.sum()}
    if correct_top5 is not None:
        result['top5_error'] = 1.0 - np.sum(correct_top5, dtype=np.float64) / total.sum()
    for group, ids in class_groups(train_counts).items():
        result[f'{group}_error'] = _mean(error[ids])
    result['classes_without_images'] = int((total == 0).sum())
    result['images'] = int(total.sum())
    return result


def _mean(errors):
    errors = errors[~np.isnan(errors)]
    return float(errors.mean()) if errors.size else float('nan')
