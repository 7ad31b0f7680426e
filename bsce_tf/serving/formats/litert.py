"""LiteRT, which was TensorFlow Lite: for phones and small devices."""

import pathlib
import re

import tensorflow as tf

from bsce_tf.errors import InputError

FILE = 'model.tflite'
TITLE = 'LiteRT'


def require():
    """Raises InputError if what this format needs is not installed."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError as error:
        raise InputError("export.format: litert needs a package: pip install 'bsce-tf[litert]' "
                         f'({error}).') from error


def write(answers, path, weights):
    """Writes an `answers.Answers` to a file.

    Args:
      answers: the function.
      path: of the file.
      weights: 'float32'; 'float16', in which weights are stored, and made float32 again; 'int8', in
        which LiteRT also computes where it can, with ranges that it finds for each input.

    Raises:
      InputError: if LiteRT lacks an op of the network.
    """
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [answers.function.get_concrete_function()], answers)
    if weights != 'float32':
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if weights == 'float16':
        converter.target_spec.supported_types = [tf.float16]
    try:
        data = converter.convert()
    except Exception as error:  # of a class of the converter's own
        ops = sorted(set(re.findall(r"'tf\.(\w+)' op", str(error))))
        if not ops:
            raise
        raise InputError(f'export.format: LiteRT has no {", ".join(ops)}, which the network '
                         'uses; expected saved_model, or another model.backbone. Nothing was '
                         'exported.') from error
    pathlib.Path(path).write_bytes(data)


def load(path, threads=0):
    """Function of uint8 `[n, height, width, 3]` to the dict of answers, as NumPy arrays.

    Args:
      path: of the file.
      threads: to compute with; 0: as many as LiteRT likes.
    """
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path), num_threads=threads or None).get_signature_runner()
    return lambda images: runner(images=images)
