"""Write bsce_tf/models/sizes.json: parameters and multiply-adds of every backbone, by building it.

    python -m tools.model_sizes [backbone ...]

Without names all of them, which takes some minutes; with names the others stay as they are.
"""

import json
import sys

import keras

from bsce_tf import files
from bsce_tf.models import overview
from bsce_tf.models.backbones import BACKBONES


def main(names):
    path = overview.SIZES
    sizes = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}
    for name in names or BACKBONES:
        row = BACKBONES[name]
        size = overview.measure(row.build((row.weights.size, row.weights.size, 3)))
        sizes[name] = {'parameters': size['parameters'], 'gmac': round(size['gmac'], 4)}
        print(name, sizes[name], flush=True)
        keras.backend.clear_session()
    files.write_json(path, {name: sizes[name] for name in BACKBONES if name in sizes})


if __name__ == '__main__':
    main(sys.argv[1:])
