"""Balanced symmetric cross-entropy for large, imbalanced and noisy image catalogues.

Submodules are imported when first used, so `bsce_tf.losses` needs only Keras. Where Keras runs on
TensorFlow, it knows the layers, losses and metrics of saved models as soon as both are imported.
"""

import contextlib
import importlib

__version__ = '0.1.0'

_SUBMODULES = (
    'api', 'audit', 'catalogue', 'class_weights', 'data', 'demo', 'errors', 'evaluation', 'fields',
    'losses', 'metrics', 'models', 'parts', 'recipes', 'report', 'serving', 'training',
)


# Names at the top, and the modules that have them.
_NAMES = {'train': 'api', 'load': 'api', 'Run': 'api', 'InputError': 'errors', 'RunError': 'errors',
          'BalancedSymmetricCrossEntropy': 'losses', 'MeanTop1Error': 'metrics'}


def __getattr__(name):
    if name in _NAMES:
        return getattr(importlib.import_module(f'{__name__}.{_NAMES[name]}'), name)
    if name in _SUBMODULES:
        return importlib.import_module(f'{__name__}.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__():
    return sorted([*globals(), *_NAMES, *_SUBMODULES])


def _register(keras):
    """Imports what has classes that Keras finds by name in a saved model."""
    if keras.config.backend() == 'tensorflow':
        for name in ('losses', 'metrics', 'models.backbones', 'models.heads',
                     'training.optimizers'):
            importlib.import_module(f'{__name__}.{name}')


with contextlib.suppress(ImportError):  # comes with TensorFlow
    import wrapt
    wrapt.register_post_import_hook(_register, 'keras')
