"""Balanced symmetric cross-entropy for large, imbalanced and noisy image catalogues.

Submodules are imported when first used, so `bsce_tf.losses` needs only Keras.
"""

import importlib

__version__ = '0.1.0'

_SUBMODULES = (
    'audit', 'catalogue', 'class_weights', 'data', 'errors', 'evaluation', 'fields', 'losses',
    'metrics', 'models', 'report', 'serving', 'training',
)


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f'{__name__}.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__():
    return sorted([*globals(), *_SUBMODULES])
