"""Parts of other people, by a name with a colon: `--config.model.backbone=my_shop.nets:tiny`.

The name stands in the run's config.json, so every later mode finds the part again, wherever Python
finds its module. Each field asks for an object that can be called:

* `data.source`: with those fields of `sources.FIELDS` that its arguments name; gives
  `examples.Splits`.
* `model.backbone`: with (height, width, 3); gives a Keras model from normalised images to a feature
  map `[n, h, w, c]`. A row as those of `backbones.BACKBONES`, with normalisation and weights, will
  do as well. (`hub:PRESET` is no module's but KerasHub's, see `models.backbones.hub`.)
* `model.head`: with (num_classes, name='head', dtype='float32'); gives a layer from features `[n,
  c]` to logits `[n, K]`.
* `loss.name`: with the images of each class in an epoch, float64 `[K]`; gives a
  `keras.losses.Loss`, whose `call` gives a loss for each image.
* `schedule.name`: with (step, steps of the stage, steps of an epoch, first rate); gives the rate.
* `augment.policy`: with an image, uint8 `[C, C, channels]`, and a seed, int64 `[2]`; gives an image
  like it, by TensorFlow's stateless operations.
"""

import importlib

from bsce_tf.errors import InputError


def is_part(name):
    """Whether a name stands for somebody's own part."""
    return ':' in name


def load(field, name):
    """The object that 'package.module:object' names.

    Args:
      field: dotted name of the config's field, for messages.
      name: of module and object.

    Raises:
      InputError: if there is no such module, it fails, or it has no such object that can be called.
    """
    module, _, attribute = name.partition(':')
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        raise InputError(f"{field}: found '{name}', but Python finds no module '{error.name}'; "
                         'expected one on its path (PYTHONPATH=. adds the working folder).'
                         ) from error
    except Exception as error:  # somebody's module may raise anything
        raise InputError(f"{field}: found '{name}', whose module fails: {error}.") from error
    if found is None:
        raise InputError(f"{field}: found '{name}'; the module {module} has no '{attribute}'.")
    return found


def made(field, name, kind, /, *arguments, **options):
    """What a part gives when it is called.

    Args:
      field, name: as in `load`.
      kind: class that the result must be of.
      *arguments, **options: of the part.

    Raises:
      InputError: as `load`, or if it cannot be called so, fails, or gives something else.
    """
    part = load(field, name)
    try:
        found = part(*arguments, **options)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{field}: '{name}' fails: {error}; see bsce_tf/parts.py for how it is "
                         'called.') from error
    if not isinstance(found, kind):
        raise InputError(f"{field}: '{name}' gives {type(found).__name__}; expected "
                         f'{kind.__module__.partition(".")[0]}’s {kind.__name__}.')
    return found
