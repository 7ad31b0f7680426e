"""Writes and checks the files of other formats."""

import contextlib
import os
import pathlib
import shutil
import sys
import tempfile
from typing import NamedTuple

import tensorflow as tf

from bsce_tf.data.images import decode
from bsce_tf.errors import InputError, RunError
from bsce_tf.serving import freeze
from bsce_tf.serving.formats import answers, comparison, litert, onnx

FORMATS = {'onnx': onnx, 'litert': litert}


class Written(NamedTuple):
    """What is known of a file.

    Attributes:
      file: its name.
      title: of its format.
      weights: numbers in which its weights are stored.
      size: in bytes.
      difference: largest of a probability, on the images of the check.
      images: on which its error was measured; 0 if it was not, as with float32.
      before, after: mean top-1 error of the models and of the file on these images.
      changed: share of these images whose best class differs.
      problem: why the error was not measured.
    """

    file: str
    title: str
    weights: str
    size: int
    difference: float
    images: int = 0
    before: float | None = None
    after: float | None = None
    changed: float | None = None
    problem: str = ''

    @property
    def text(self):
        """What it says on the console and in the model card."""
        text = (f'{self.file}: {self.title}, {self.weights} weights, {self.size / 1e6:.1f} MB, '
                f'probabilities differ by {self.difference:.1e} at most')
        if self.images:
            text += (f'; mean top-1 error on {self.images:,} images {self.before:.4f} before and '
                     f'{self.after:.4f} after, {self.changed:.1%} get another class')
        elif self.problem:
            text += f'; its error was not measured: {self.problem}'
        return text


def require(kinds, networks=()):
    """Raises InputError if a package is missing or the networks are too large for a file."""
    for kind in kinds:
        FORMATS[kind].require()
    size = freeze.size_of(model for network in networks for model in (network.body, network.head))
    if kinds and size > freeze.LARGEST:
        raise InputError(f'export.format: found {kinds[0]} for {size / 1e9:.1f} GB of weights; '
                         f'expected at most {freeze.LARGEST / 1e9:.1f} GB, the most that one file '
                         'can hold, or saved_model.')


def write(place, kinds, weights, folded, networks, names, top_k, images, examples, max_pixels=0):
    """Writes a file per format and asks it for the images.

    Args:
      place: folder.
      kinds: list of keys of `FORMATS`.
      weights: 'float32', 'float16' or 'int8'.
      folded: list of `Network`, to be written.
      networks: the same, as trained, with which the files are compared.
      names: class names.
      top_k: classes per answer, at most.
      images: list of bytes, encoded images that are not bad.
      examples: function that gives an iterable of (bytes, class id) to measure the error with;
        called unless the weights are float32.
      max_pixels: as in `decode.decode`.

    Returns:
      List of `Written`.

    Raises:
      InputError: if a format lacks an op of the networks.
      RunError: if the answers are not those of the networks.
    """
    def opened(data):
        return decode.decode(tf.constant(data), max_pixels)

    made = answers.Answers(folded, names, top_k)
    decoded, found, asks = [opened(data) for data in images], [], []
    for kind in kinds:
        module = FORMATS[kind]
        path = pathlib.Path(place) / module.FILE
        with _unsaid():
            module.write(made, path, weights)
            asks.append(module.load(path))
            difference = comparison.compare(module.TITLE, asks[-1], networks, names, decoded,
                                            weights)
        found.append(Written(module.FILE, module.TITLE, weights, path.stat().st_size, difference))
    if not kinds or weights == 'float32':
        return found
    try:
        count, before, after = comparison.errors(
            asks, networks, ((opened(data), label) for data, label in examples()))
    except InputError as error:
        return [file._replace(problem=str(error)) for file in found]
    if not count:
        return [file._replace(problem='no image could be used.') for file in found]
    return [file._replace(images=count, before=before, after=error, changed=changed)
            for file, (error, changed) in zip(found, after, strict=True)]


@contextlib.contextmanager
def _unsaid():
    """Holds back what the converters say on standard error; prints it if the block fails.

    They write to file descriptor 2, past Python's logging, and warn about each other.
    """
    try:
        real = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    with tempfile.TemporaryFile() as said:
        sys.stderr.flush()
        os.dup2(said.fileno(), 2)
        logger = tf.get_logger()
        level = logger.level
        logger.setLevel('ERROR')
        try:
            yield
        except (InputError, RunError):  # these say themselves what is wrong
            raise
        except Exception:
            said.seek(0)
            with open(real, 'wb', closefd=False) as file:
                shutil.copyfileobj(said, file)
            raise
        finally:
            logger.setLevel(level)
            os.dup2(real, 2)
            os.close(real)
