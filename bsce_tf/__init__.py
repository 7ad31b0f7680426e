"""Balanced symmetric cross-entropy for large, imbalanced and noisy image catalogues.

Submodules are imported when first used, so `bsce_tf.losses` needs only Keras. With the TensorFlow
backend, importing Keras and this package registers its layers, losses and metrics with Keras, which
can then load saved models.
"""

import contextlib
import importlib
import pkgutil

__version__ = '0.1.0'

_SUBMODULES = tuple(module.name for module in pkgutil.iter_modules(__path__))

# {name in this package: the submodule that defines it}
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
    """Imports the modules that register classes with Keras, for saved models."""
    if keras.config.backend() == 'tensorflow':
        for name in ('losses', 'metrics', 'models.backbones', 'models.heads',
                     'training.optimizers'):
            importlib.import_module(f'{__name__}.{name}')


with contextlib.suppress(ImportError):  # wrapt comes with TensorFlow
    import wrapt
    wrapt.register_post_import_hook(_register, 'keras')
