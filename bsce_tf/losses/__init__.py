"""Keras losses for imbalanced data with wrong labels: the paper's, and common alternatives.

They need only Keras, with any of its backends. `table` lists their names.
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
