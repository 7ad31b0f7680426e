"""Which images of a set a run was trained on: its predictions of these prove nothing."""

import numpy as np
from absl import logging

from bsce_tf.catalogue import hashes
from bsce_tf.data import prepare
from bsce_tf.errors import InputError
from bsce_tf.training import workdir

_KEPT, _KEPT_OF_RUN = 'hashes.bin', 'hashes_of_model.bin'


def seen(run, examples, folder):
    """Tells which images a run was trained on, bool `[N]`.

    Images in memory are compared by their pixels. Others are compared by their bytes, whatever
    their names: those of the set and the run's training images, which are loaded again, are read
    once and not decoded. Where that is not possible, a warning says how they were compared.

    Args:
      run: the `workdir.Run`.
      examples: the `Examples`.
      folder: pathlib.Path, existing, where hashes are kept so that another call reads nothing
        again.

    Raises:
      InputError: if the run's list of images is missing or damaged.
    """
    named = workdir.seen(run, examples)
    try:
        data = prepare.load(**run.config.data, seed=run.config.seed)
        workdir.check_data(run.folder, data)
    except InputError as error:
        logging.warning('audit.model: the training images of %s cannot be read again (%s): images '
                        'in files are compared by their names alone, others by their pixels.',
                        run.folder, error)
        return named
    own = data.train
    if (own.images is None) != (examples.images is None):
        logging.warning('audit.model: %s was trained on images %s, and these are %s: whether they '
                        'are the same cannot be told, and all count as others.', run.folder,
                        *('in memory' if part.images is not None else 'in files'
                          for part in (own, examples)))
        return np.zeros(len(examples), bool)
    if own.images is not None:
        return named
    there, _ = hashes.digests(own, f'of the images of {run.folder}', kept=folder / _KEPT_OF_RUN)
    here, _ = hashes.digests(examples, 'of the images to audit', kept=folder / _KEPT)
    same = np.isin(here[:, 0], there[:, 0]) & here.any(axis=1)  # 0: unreadable
    if others := int((named & ~same).sum()):
        logging.warning('audit.model: %s images have the names of images that %s was trained on, '
                        'but other bytes, and count as others. If they are the same pictures, '
                        'written anew, its predictions of them prove nothing.', f'{others:,}',
                        run.folder)
    return same
