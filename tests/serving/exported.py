"""What the tests of this folder share: a config, pictures, and a way to ask a SavedModel."""

import base64
import importlib
import io
import json
import pathlib
import subprocess
import sys

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

LIBRARIES = pathlib.Path(tf.__file__).parent


def smoke(**fields):
    config = importlib.import_module('configs.smoke').get_config()
    config.update_from_flattened_dict(fields)
    return config


def encoded(image, kind='PNG', **options):
    """Bytes of a Pillow image or an array."""
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pictures():
    """Encoded images of five formats and sizes; those without loss first."""
    rng = np.random.default_rng(0)
    sizes = ((40, 60), (24, 24), (33, 27), (90, 31), (64, 64))
    coarse = [rng.integers(0, 256, (4, 5, 3), np.uint8) for _ in sizes]
    images = [Image.fromarray(c).resize((w, h), Image.BICUBIC)
              for c, (h, w) in zip(coarse, sizes, strict=True)]
    kinds = (('PNG', {}), ('BMP', {}), ('WEBP', {'lossless': True}), ('GIF', {}),
             ('JPEG', {'quality': 90}))
    return [encoded(image, kind, **options)
            for image, (kind, options) in zip(images, kinds, strict=True)]


def ask_c_api(folder, requests, signature='serving_default'):
    """Answers to requests (lists of bytes) by TensorFlow's C library in a process of its own.

    Returns:
      ([dict of arrays by output, or an error's text], [bytes of memory held after each]).
    """
    saved = saved_model_pb2.SavedModel.FromString((folder / 'saved_model.pb').read_bytes())
    signature = saved.meta_graphs[0].signature_def[signature]
    task = {'model': str(folder), 'input': signature.inputs['image_bytes'].name,
            'outputs': {name: info.name for name, info in signature.outputs.items()},
            'requests': [[base64.b64encode(x).decode() for x in r] for r in requests]}
    script = pathlib.Path(__file__).with_name('c_api.py')
    result = subprocess.run([sys.executable, script, LIBRARIES], input=json.dumps(task), text=True,
                            capture_output=True, timeout=600)
    assert result.returncode == 0, f'status {result.returncode}: {result.stderr[-2000:]}'
    found = json.loads(result.stdout)
    answers = [a['error'] if 'error' in a else {n: np.array(x) for n, x in a['outputs'].items()}
               for a in found['answers']]
    return answers, found['rss']
