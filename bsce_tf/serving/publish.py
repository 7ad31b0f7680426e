"""Folders and files for TensorFlow Serving: versions, warm-up requests, configuration."""

import os
import pathlib
import re
import shutil
import uuid

import tensorflow as tf

from bsce_tf import files, locks
from bsce_tf.data.images import decode
from bsce_tf.errors import InputError, RunError
from bsce_tf.serving.formats import onnx

WARM_UP = 'assets.extra/tf_serving_warmup_requests'
MODELS, BATCHING = 'models.config', 'batching.config'

_BATCHING_TEXT = """\
# Batches requests that arrive within a short time. One bad image then fails all requests of its
# batch, unless the model was exported with --config.export.bad_image=empty.
#   tensorflow_model_server --enable_batching --batching_parameters_file=FILE
max_batch_size { value: 16 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
"""


def check_name(name):
    """Raises InputError if `name` is not a valid model name in a path and a URL."""
    if not re.fullmatch(r'[A-Za-z0-9_][A-Za-z0-9_.-]*', name):
        raise InputError(f"config.export.name: found '{name}'; expected letters, digits, '_', '-' "
                         "and '.', the first a letter, a digit or '_'.")


def check_versions(base, name, saved, others):
    """Raises InputError if a server of the versions that there are could not load the next one.

    Servers take the newest version. Either all have a SavedModel or none has, and where the newest
    has an ONNX file, the next one has, too.

    Args:
      base: folder that the server watches.
      name: of the model.
      saved: whether the next version has a SavedModel.
      others: list of the names of its other formats.
    """
    folder = pathlib.Path(base) / name
    there = sorted(versions(folder)) if folder.is_dir() else []
    for version in there:
        if (folder / str(version) / 'saved_model.pb').exists() != saved:
            raise _mixed(folder / str(version), f'{"no" if saved else "a"} SavedModel',
                         'one' if saved else 'none')
    if there and (folder / str(there[-1]) / onnx.FILE).exists() and 'onnx' not in others:
        raise _mixed(folder / str(there[-1]), 'an ONNX file', 'none')


def _mixed(version, found, wanted):
    return InputError(
        f'export.format: {version} has {found}, and the next version would have {wanted}, so that '
        'a server could not load both; expected the same formats, or another export.name.')


def require_messages():
    """Raises InputError if tensorflow-serving-api is not installed."""
    try:
        import tensorflow_serving.apis.prediction_log_pb2  # noqa: F401
    except ImportError as error:
        raise InputError("mode export: needs tensorflow-serving-api: pip install "
                         f"'bsce-tf[serving]' ({error}).") from error


def write_version(base, name, write):
    """Writes the next version of a model, which appears complete or not at all.

    Until it is complete, its folder's name is not a number, so the server ignores it. What a killed
    export left is removed by the next one.

    Args:
      base: folder that the server watches.
      name: of the model.
      write: function that fills a folder; if it raises, no version is written.

    Returns:
      (pathlib.Path of `<base>/<name>/<version>`, what `write` returned).

    Raises:
      InputError: if there is a file where a folder should be.
      RunError: if TensorFlow cannot write, or another export of the model is running.
    """
    folder = pathlib.Path(base) / name
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise InputError(f'config.export.folder: {path} is a file; expected a folder.')
    with locks.held(folder, what='export.folder'):
        return _write_version(folder, write)


def _write_version(folder, write):
    """`write_version` in a model's folder that this process has locked."""
    for left in folder.glob('.writing-*'):  # of exports that were killed
        shutil.rmtree(left, ignore_errors=True)
    temporary = folder / f'.writing-{uuid.uuid4().hex}'
    temporary.mkdir()
    try:
        result = write(temporary)
        for path in sorted(temporary.rglob('*')):
            _sync(path)
        while True:
            version = folder / str(max(versions(folder), default=0) + 1)
            try:
                os.rename(temporary, version)
            except OSError:
                if not version.exists():
                    raise
            else:  # if not renamed, another export took this number
                _sync(folder)
                return version, result
    except tf.errors.OpError as error:
        raise RunError(f'{temporary}: {error.message}; nothing was exported.') from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def versions(folder):
    """List of the version numbers in a model's folder."""
    return [int(path.name) for path in pathlib.Path(folder).iterdir() if path.name.isdecimal()]


def write_warm_up(place, name, images, more=()):
    """Adds warm-up requests of each signature, which the server runs before it accepts others.

    Args:
      place: folder of the SavedModel.
      name: of the model.
      images: list of bytes, encoded images.
      more: names of other signatures that take encoded images.
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    decoded = decode.decode(tf.constant(images[0]))
    path = pathlib.Path(place) / WARM_UP
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, key, value in (('serving_default', 'image_bytes', images[:1]),
                                      ('serving_default', 'image_bytes', images),
                                      *((signature, 'image_bytes', images[:1])
                                        for signature in ('features', *more)),
                                      ('predict_images', 'images', decoded[None].numpy())):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())


def write_server_files(base, name):
    """Adds this model to models.config, and writes batching.config if it is missing.

    What a user changed in them stays. Paths are those in the container, where `base` is /models.

    Raises:
      InputError: if models.config cannot be read.
    """
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    base = pathlib.Path(base)
    path = base / MODELS
    listed = model_server_config_pb2.ModelServerConfig()
    if path.exists():
        try:
            text_format.Parse(path.read_text(encoding='utf-8'), listed)
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise InputError(f'{path}: {error}; expected a model_config_list of TensorFlow '
                             'Serving.') from error
    if name not in [model.name for model in listed.model_config_list.config]:
        listed.model_config_list.config.add(name=name, base_path=f'/models/{name}',
                                            model_platform='tensorflow')
        files.write_text(path, text_format.MessageToString(listed))
    if not (base / BATCHING).exists():
        files.write_text(base / BATCHING, _BATCHING_TEXT)


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
