"""Losses for large, imbalanced, wrongly labelled data, and those that people would pick instead.

Keras losses that need only Keras, on any of its backends; see `table` for their names.
"""

from bsce_tf.losses.bsce import BalancedSymmetricCrossEntropy, bsce
from bsce_tf.losses.elr import EarlyLearningLoss
from bsce_tf.losses.focal import FocalLoss
from bsce_tf.losses.gce import GeneralisedCrossEntropy
from bsce_tf.losses.ldam import LDAMLoss
from bsce_tf.losses.nce_rce import NormalisedReverseCrossEntropy
from bsce_tf.losses.seesaw import SeesawLoss
from bsce_tf.losses.table import NAMES, TABLE, balance_of, by_name, make, row

__all__ = ['NAMES', 'TABLE', 'BalancedSymmetricCrossEntropy', 'EarlyLearningLoss',
           'FocalLoss', 'GeneralisedCrossEntropy', 'LDAMLoss', 'NormalisedReverseCrossEntropy',
           'SeesawLoss', 'balance_of', 'bsce', 'by_name', 'make', 'row']
