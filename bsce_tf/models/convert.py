"""`--mode=convert`: turns a PyTorch checkpoint into a file of Keras weights."""

import pathlib

import keras

from bsce_tf import files
from bsce_tf.errors import InputError
from bsce_tf.models import backbones, classifier
from bsce_tf.models.weights import convert_timm, torch_files

SUFFIXES = ('.safetensors', '.pth')
_NO_HEAD = 2  # classes of the new head if the checkpoint has none


def run(config, workdir):
    """Converts the file `config.model.weights` for `config.model.backbone`.

    Writes workdir/<backbone>.weights.h5, a file for `model.weights`: the weights of a classifier as
    `classifier.build` makes it, with the checkpoint's head. If it fails, it writes nothing.

    Args:
      config: ConfigDict; only model.backbone and model.weights are used.
      workdir: folder; created if it is missing.

    Returns:
      pathlib.Path of the file.

    Raises:
      InputError: if model.weights is not a checkpoint of the backbone, or workdir is a file.
    """
    name, source, folder = config.model.backbone, config.model.weights, pathlib.Path(workdir)
    if pathlib.Path(source).suffix not in SUFFIXES:
        raise InputError(f"config.model.weights: found '{source}'; expected the checkpoint to "
                         f'convert, a file {" or ".join(SUFFIXES)}.')
    if folder.exists() and not folder.is_dir():
        raise InputError(f'--workdir: {folder} is a file; expected a folder.')
    row = backbones.get(name)
    if row.published != 'imagenet':
        raise InputError(f"config.model.backbone: found '{name}'; expected one of the backbones "
                         'that --mode=models lists, as timm has them.')
    state = torch_files.read(source)
    side = row.weights.size
    arrays = convert_timm.convert(row.build((side, side, 3)), state, source,
                                  modules=row.modules())
    keras.backend.clear_session()
    has_head = f'{convert_timm.HEAD}/bias' in arrays
    classes = len(arrays[f'{convert_timm.HEAD}/bias']) if has_head else _NO_HEAD
    model = classifier.build(name, classes)
    report = convert_timm.assign(model, arrays, source)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f'{name}.weights.h5'
    with files.replacing(target) as temporary:
        model.save_weights(temporary)
    head = f'its head of {classes:,} classes' if has_head else 'no head: a new one stands in'
    print(f'{source}: {len(state):,} arrays read, {report.variables:,} variables set, {head}\n'
          f'{target}: written; use it with --config.model.backbone={name} '
          f'--config.model.weights={target}')
    return target
