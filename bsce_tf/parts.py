"""Users' own parts, named with a colon: `--config.model.backbone=my_shop.nets:tiny`.

The run's config.json keeps the name, so every later mode loads the same part, if Python finds its
module. A part is a callable. What it is called with, and what it must return, by field:

* `data.source`: those fields of `sources.FIELDS` that its parameters name → `examples.Splits`.
* `model.backbone`: (height, width, 3) → a Keras model from normalised images to a feature map `[n,
  h, w, c]`. Instead of a callable it may be a row like those of `backbones.BACKBONES`, with
  normalisation and weights. (`hub:PRESET` is not a module but KerasHub's, see
  `models.backbones.hub`.)
* `model.head`: (num_classes, name='head', dtype='float32') → a layer from features `[n, c]` to
  logits `[n, K]`.
* `loss.name`: images of each class in an epoch, float64 `[K]` → a `keras.losses.Loss` whose `call`
  returns a loss per image.
* `schedule.name`: (step, steps of the stage, steps of an epoch, initial rate) → the learning rate.
* `augment.policy`: an image, uint8 `[C, C, channels]`, and a seed, int64 `[2]` → an image like it,
  made by TensorFlow's stateless operations.
"""

import importlib

from bsce_tf.errors import InputError, RunError


def is_part(name):
    """Whether a name is that of a user's own part."""
    return ':' in name


def load(field, name):
    """The object that 'package.module:object' names.

    Args:
      field: dotted name of the config's field, for messages.
      name: of module and object.

    Raises:
      InputError: if there is no such module, importing it fails, or it has no such object.
    """
    module, _, attribute = name.partition(':')
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        raise InputError(f"{field}: found '{name}', but Python finds no module '{error.name}'; "
                         'expected one on its path (PYTHONPATH=. adds the working folder).'
                         ) from error
    except Exception as error:  # a user's module may raise anything
        raise InputError(f"{field}: found '{name}', whose module fails: {error}.") from error
    if found is None:
        raise InputError(f"{field}: found '{name}'; the module {module} has no '{attribute}'.")
    return found


def made(field, name, kind, /, *arguments, **options):
    """Calls a part and returns its result.

    Args:
      field, name: as in `load`.
      kind: class that the result must have.
      *arguments, **options: of the call.

    Raises:
      InputError: as `load`, or if the call fails or returns something else.
    """
    found = called(field, name, load(field, name), *arguments, **options)
    if not isinstance(found, kind):
        raise unfit(field, name, type(found).__name__,
                    f'{kind.__module__.partition(".")[0]}’s {kind.__name__}')
    return found


def called(field, name, part, /, *arguments, **options):
    """What a loaded part returns, whatever it is.

    Args:
      field, name: as in `load`.
      part: that `load` gave.
      *arguments, **options: of the call.

    Raises:
      InputError: if the call fails.
    """
    try:
        return part(*arguments, **options)
    except (InputError, RunError):
        raise
    except Exception as error:  # a user's function may raise anything
        words = ' '.join(str(error).split()) or type(error).__name__
        raise InputError(f"{field}: '{name}' fails: {words}; see bsce_tf/parts.py for how it is "
                         'called.') from error


def unfit(field, name, found, expected):
    """The InputError on a part that returns something else; `found` and `expected` are texts."""
    return InputError(f"{field}: '{name}' returns {found}; expected {expected}.")
