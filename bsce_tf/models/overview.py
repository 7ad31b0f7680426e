"""`--mode=models`: prints the table of backbones. `measure` makes the sizes in it."""

import json
import math
import pathlib

from bsce_tf.models.backbones import BACKBONES

SIZES = pathlib.Path(__file__).with_name('sizes.json')  # written by tools/model_sizes.py
COLUMNS = ('backbone', 'parameters', 'GMAC', 'input', 'smallest', 'features', 'top-1 %', 'licence',
           'source of the top-1')


def run(config, workdir):
    """Prints the table of backbones.

    Args:
      config, workdir: not used; every mode takes them.
    """
    print(table())
    print(
        'parameters: trainable, without the head. GMAC: 10⁹ multiply-adds of convolutions and '
        'dense layers for one image of the input size; FLOPs are twice that. input: native side '
        'of the images in pixels; smallest: the smallest side allowed. top-1: published accuracy '
        'on ImageNet-1k of the weights that model.weights=imagenet loads. –: none, or not stated.')
    print('hub:PRESET: a backbone of KerasHub, with model.weights=preset: '
          "pip install 'bsce-tf[hub]'.")


def table():
    """Text of the table: `COLUMNS`, and one line for each of `BACKBONES`."""
    sizes = json.loads(SIZES.read_text(encoding='utf-8'))
    rows = [COLUMNS]
    for name, row in BACKBONES.items():
        weights, size = row.weights, sizes.get(name)  # None: a new row that nobody measured
        measured = (f'{size["parameters"]:,}', f'{size["gmac"]:.2f}') if size else ('–', '–')
        rows.append((name, *measured, str(weights.size), str(row.smallest),
                     f'{row.feature_dim:,}' if row.feature_dim else '–',
                     f'{weights.top1:.1f}' if weights.top1 else '–',
                     weights.licence or '–', weights.source or '–'))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numbers = range(1, 7)  # columns that are aligned right
    return '\n'.join('  '.join(
        cell.rjust(width) if i in numbers else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows)


def measure(model):
    """Size and cost of a network.

    Args:
      model: a built `keras.Model` with a known input size.

    Returns:
      {'parameters': trainable parameters, 'gmac': 10⁹ multiply-adds for one image}. Only kernels
      of convolutions and dense layers count, as in fvcore, which published tables use.
    """
    parameters = sum(math.prod(v.shape) for v in model.trainable_variables)
    macs = sum(map(_multiply_adds, _leaves(model)))
    return {'parameters': parameters, 'gmac': macs / 1e9}


def _leaves(layer):
    """The layers in a model that contain no other layers."""
    inner = getattr(layer, 'layers', None)
    if inner is None:
        yield layer
    else:
        for part in inner:
            yield from _leaves(part)


def _multiply_adds(layer):
    """Each kernel entry is multiplied once for each position of the output."""
    kernels = [math.prod(w.shape) for w in layer.trainable_weights if len(w.shape) > 1]
    if not kernels:
        return 0
    places = math.prod(layer.output.shape[1:-1])
    return sum(kernels) * places
