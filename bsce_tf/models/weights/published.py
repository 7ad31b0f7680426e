"""Downloads, checks and converts published ImageNet weights; caches them in `files.cache_folder()`.
"""

import hashlib
import pathlib
import re
import shutil
import tempfile
import urllib.request
import zipfile

import numpy as np
from absl import logging

from bsce_tf import files
from bsce_tf.errors import InputError
from bsce_tf.models.weights import array_sizes, convert_timm, torch_files

_TIMEOUT = 30  # seconds
_SHA256 = re.compile('[0-9a-f]{64}')


def load(model, weights, *, modules=None, fetch=None):
    """Set a model's weights to published ones, from the cache or, the first time, a download.

    Args:
        model: a built Keras model, a backbone with or without a layer 'head'.
        weights: the `Weights` of its network.
        modules: as for `convert_timm.load`.
        fetch: function (weights, path) -> expected sha256 or its beginning, which downloads the
            file to `path`; None for a download from where `weights` says.

    Returns:
        `convert_timm.Report`.

    Raises:
        InputError: the file is not in the cache and cannot be fetched, its sha256 is not the
            published one, or it does not fit the model.
    """
    name = re.sub(r'^https?://', '', weights.repository) + f'@{weights.revision}' * bool(
        weights.revision)
    folder = files.cache_folder() / name.replace('/', '--')
    published = folder / weights.filename
    converted = published.with_suffix('.npz')
    if converted.exists():
        return convert_timm.assign(model, _read_converted(converted, model), str(converted))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = published
        if path.exists():  # put there by hand
            _check_digest(path, weights, weights.sha256 or '')
        else:
            path = pathlib.Path(temporary) / weights.filename
            _download(weights, path, published, fetch or _fetch)
        state = torch_files.read(path)
        arrays = convert_timm.convert(model, state, weights.filename, modules=modules)
        report = convert_timm.assign(model, arrays, weights.filename)
        with files.replacing(converted) as unfinished:
            np.savez(unfinished, **arrays)
    return report


def _download(weights, path, place, fetch):
    try:
        digest = fetch(weights, path)
    except ImportError as error:
        raise InputError(f"model.weights: {weights.filename} of {_address(weights)} needs "
                         f"huggingface-hub ({error}): pip install 'bsce-tf[pretrained]', or put "
                         f'the file at {place}.') from error
    except Exception as error:  # the hub's client raises its transport's own errors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f'{weights.filename} of {_address(weights)} cannot be fetched ({reason}): '
            f'expected internet access, or the file at {place}'
        ) from error
    _check_digest(path, weights, digest)


def _check_digest(path, weights, expected):
    with open(path, 'rb') as file:
        found = hashlib.file_digest(file, 'sha256').hexdigest()
    if not found.startswith(expected):
        raise InputError(
            f'{path.name} of {_address(weights)} has sha256 {found}, the published file '
            f'{expected}: remove it and fetch it again'
        )


def _fetch(weights, path):
    if '://' in weights.repository:
        return _fetch_address(weights, path)
    return _fetch_from_hub(weights, path)


def _fetch_address(weights, path):
    address = f'{weights.repository}/{weights.filename}'
    with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer, open(path, 'wb') as file:
        shutil.copyfileobj(answer, file)
    return weights.sha256


def _fetch_from_hub(weights, path):
    """Downloads; returns the digest of `weights` or, if it has none, the hub's etag.

    The hub's etag of a large file is its sha256; the download itself only checks the size.
    """
    import huggingface_hub  # an optional dependency

    url = huggingface_hub.hf_hub_url(weights.repository, weights.filename,
                                     revision=weights.revision)
    metadata = huggingface_hub.get_hf_file_metadata(url, timeout=_TIMEOUT)
    if not _SHA256.fullmatch(metadata.etag or ''):
        raise ValueError(f'the hub gives no sha256 but {metadata.etag!r}')
    huggingface_hub.hf_hub_download(
        weights.repository,
        weights.filename,
        revision=metadata.commit_hash,
        local_dir=path.parent,
    )
    logging.info('%s of %s: revision %s, sha256 %s', weights.filename, _address(weights),
                 metadata.commit_hash, metadata.etag)
    return weights.sha256 or metadata.etag


def _address(weights):
    if '://' in weights.repository:
        return weights.repository
    return f'https://huggingface.co/{weights.repository}'


def _read_converted(path, model):
    shapes = {name: tuple(v.shape) for name, v in convert_timm.variables_of(model).items()}
    try:
        return array_sizes.read_npz(path, shapes)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f'{path}: damaged ({reason}): remove it, it is then made again') from error
