"""What the tests of this folder share: pictures and a way to ask a SavedModel."""

import base64
import contextlib
import functools
import io
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from bsce_tf.serving import export

LIBRARIES = pathlib.Path(tf.__file__).parent


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

    The process stays for later requests to the same model: the first answer takes 5 s.

    Returns:
      ([dict of arrays by output, or an error's text], [bytes of memory held after each]).
    """
    saved = saved_model_pb2.SavedModel.FromString((folder / 'saved_model.pb').read_bytes())
    signature = saved.meta_graphs[0].signature_def[signature]
    task = {'input': signature.inputs['image_bytes'].name,
            'outputs': {name: info.name for name, info in signature.outputs.items()},
            'requests': [[base64.b64encode(x).decode() for x in r] for r in requests]}
    process, said = _process(folder)
    print(json.dumps(task), file=process.stdin, flush=True)
    line = process.stdout.readline()
    if not line:
        _process.cache_clear()
        process.wait()
        said.seek(0)
        raise AssertionError(f'status {process.returncode}: {said.read()[-2000:]}')
    found = json.loads(line)
    answers = [a['error'] if 'error' in a else {n: np.array(x) for n, x in a['outputs'].items()}
               for a in found['answers']]
    return answers, found['rss']


@functools.lru_cache(maxsize=2)
def _process(folder):
    """It ends when its standard input is closed: with the tests, or when two others have begun."""
    script = pathlib.Path(__file__).with_name('c_api.py')
    said = tempfile.TemporaryFile('w+')  # noqa: SIM115 - closed with the process; a pipe may fill
    return subprocess.Popen([sys.executable, script, LIBRARIES, folder], text=True, stderr=said,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE), said


@functools.cache
def signatures(folder):
    """Those of an export of `conftest`, loaded once."""
    return tf.saved_model.load(str(folder)).signatures


@contextlib.contextmanager
def unchecked():
    """Exports are not compared with their models, where the test does that; it takes 10 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export.check, 'compare', lambda *_: (0.0, 0.0))
        yield
