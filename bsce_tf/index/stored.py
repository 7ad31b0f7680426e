"""An index in a folder: its layout, and how it is read and written, whole or not at all.

A folder holds one index:

* `index.json`: what it is, see `Index.about`. It names the other files by the number of the
  writing, its generation, such as 3.
* `vectors-3.faiss`: the vectors, as faiss writes an index; ids are those of the rows.
* `rows-3.csv`: a row an image, see `rows`.
* `classes.json`: the class names of the runs that made the vectors.

A writing makes the files of the next generation, then replaces `index.json`, then removes those of
the generation before. So a kill at any moment leaves one whole index.
"""

import hashlib
import json
import pathlib
import re

import numpy as np

from bsce_tf import files
from bsce_tf.data import label_map
from bsce_tf.errors import InputError
from bsce_tf.index import kinds
from bsce_tf.index import rows as tables

ABOUT, CLASSES = 'index.json', 'classes.json'
VERSION = 1  # of the layout
_FILES = re.compile(r'(vectors-\d+\.faiss|rows-\d+\.csv)')


class Index:
    """An index in memory.

    Args:
      folder: pathlib.Path where it is.
      about: dict of `ABOUT`: `version`; `generation`; `kind`, of `kinds.KINDS`; `images`, their
        number; `width` of a vector; `next_id`; `trained_on`, the images when cells were computed;
        `models`, fingerprints of the runs; `bytes` of the file of vectors; `rows`, SHA-256 of the
        file of rows.
      vectors: faiss index.
      rows: `rows.Rows`.
      probes: cells that a search looks into.
    """

    def __init__(self, folder, about, vectors, rows, probes=32):
        self.folder, self.about, self.rows, self.probes = folder, about, rows, probes
        self._vectors = vectors

    def __len__(self):
        return len(self.rows)

    @property
    def width(self):
        """Numbers in a vector."""
        return self.about['width']

    @property
    def fingerprint(self):
        """A string that changes with the images, the runs and the kind."""
        return f'{self.about["kind"]} {self.about["rows"]} {" ".join(self.about["models"])}'

    def search(self, vectors, count, without=None):
        """(cosines float32 `[n, count]`, places of rows int64 `[n, count]`), nearest first.

        Args:
          vectors: float32 `[n, width]` of length 1.
          count: neighbours of each.
          without: int64 `[m]`, places of rows that are left out; None: none.

        Returns:
          Where fewer are found, the place is −1 and the cosine −inf.
        """
        left_out = None if without is None else self.rows.ids[without]
        cosines, ids = kinds.search(self._vectors, vectors, count, self.probes, left_out)
        return cosines, self.rows.places(ids)

    def without(self, gone):
        """The faiss index without the rows at `gone`, bool `[N]`; this object is used up then."""
        if gone.any():
            self._vectors.remove_ids(np.ascontiguousarray(self.rows.ids[gone]))
        return self._vectors

    def blocks(self):
        """Yields the vectors of all rows, float32 `[≤ 65536, width]`; see `kinds.blocks`."""
        return kinds.blocks(self._vectors, self.rows.ids)

    def check_count(self, count, field='neighbours.k'):
        """Raises InputError if more neighbours are asked for than there are images."""
        if count > len(self):
            raise InputError(f'{field}: found {count}; expected at most {len(self)}, the images of '
                             f'{self.folder}.')


def exists(folder):
    """Whether there is an index in a folder."""
    return (pathlib.Path(folder) / ABOUT).exists()


def read(folder, models=None, class_names=None, probes=32):
    """Reads the index in a folder.

    Args:
      folder: path.
      models: for each run that it has to be of, the fingerprints that stand for it; None: any.
      class_names: of these runs; None: any.
      probes: cells that a search looks into.

    Raises:
      InputError: if there is no index, a file of it is damaged, or its models or classes are
        others.
    """
    kinds.check()
    import faiss
    folder = pathlib.Path(folder)
    about = read_about(folder)
    check_models(folder, about, models, class_names)
    vectors, rows = paths(folder, about['generation'])
    try:
        if vectors.stat().st_size != about['bytes']:
            raise ValueError(f'found {vectors.stat().st_size} bytes; expected {about["bytes"]}')
        index = faiss.read_index(str(vectors))
    except (OSError, ValueError, RuntimeError) as error:
        line = ' '.join(str(error).split())
        raise InputError(f'{vectors}: {line:.200}; expected the vectors of {folder / ABOUT}. '
                         'Delete the folder and make the index anew.') from error
    table = tables.read(rows)
    if not len(table) == index.ntotal == about['images'] or index.d != about['width']:
        raise InputError(f'{rows}: found {len(table)} rows and {index.ntotal} vectors of '
                         f'{index.d} numbers; expected {about["images"]} of {about["width"]}, as '
                         f'{ABOUT} says. Delete the folder and make the index anew.')
    if _digest(rows) != about['rows']:
        raise InputError(f'{rows}: changed since --mode=index wrote it; expected its rows as they '
                         'were. Change labels in what index.input names, and run --mode=index.')
    return Index(folder, about, index, table, probes)


def read_about(folder):
    """The dict of index.json.

    Raises:
      InputError: if there is none, or it is damaged or of a later version.
    """
    path = pathlib.Path(folder) / ABOUT
    if not path.exists():
        raise InputError(f'index.folder: {folder} holds no {ABOUT}; expected an index that '
                         '--mode=index made.')
    try:
        about = json.loads(path.read_text(encoding='utf-8'))
        numbers = ('version', 'generation', 'images', 'width', 'next_id', 'trained_on', 'bytes')
        if any(type(about[key]) is not int for key in numbers) or (
                about['kind'] not in kinds.KINDS or type(about['models']) is not list
                or type(about['rows']) is not str):
            raise ValueError('a value is of another type')
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f'{path}: {error}; expected what --mode=index wrote.') from error
    if about['version'] > VERSION:
        raise InputError(f'{path}: of version {about["version"]}; expected at most {VERSION}, '
                         'which this program knows: take a newer one.')
    if not about['images']:
        raise InputError(f'{path}: an index of no image; expected at least one.')
    return about


def check_models(folder, about, models, class_names):
    """Raises InputError if an index is of other models or classes; None is not compared."""
    if class_names is not None:
        label_map.check(class_names, label_map.load(folder / CLASSES), 'the run in --workdir',
                        f'{folder / CLASSES} of the index')
    if models is not None and not (len(about['models']) == len(models) and all(
            known in run for known, run in zip(about['models'], models, strict=True))):
        same = len(about['models']) == len(models)
        what = 'other runs, weights or test scales' if same else (
            f'{len(about["models"])} run(s), and --workdir names {len(models)}')
        raise InputError(f'{folder / ABOUT}: the index was made with {what}; expected those of '
                         '--workdir. Make it anew in another index.folder, or delete this one.')


def write(folder, about, vectors, rows, class_names):
    """Writes an index as the next generation; returns the `Index`.

    Args:
      folder: pathlib.Path, locked by this process.
      about: dict with `kind`, `width`, `next_id`, `trained_on`, `models` and the last `generation`
        (0: none).
      vectors: faiss index.
      rows: `rows.Rows`, at least one.
      class_names: of the runs.

    Raises:
      InputError: if there is no row.
    """
    import faiss
    if not len(rows):
        raise InputError(f'index.folder: {folder} would hold no image; expected at least one. To '
                         'be rid of the index, delete the folder.')
    generation = about['generation'] + 1
    place, table = paths(folder, generation)
    try:
        with files.replacing(place) as temporary:
            faiss.write_index(vectors, str(temporary))
        tables.write(table, rows)
        if not (folder / CLASSES).exists():
            label_map.save(folder / CLASSES, class_names)
    except RuntimeError as error:  # faiss's, such as of a full disk
        raise OSError(f'{place}: {" ".join(str(error).split()):.200}') from error
    about = {'version': VERSION, **about, 'generation': generation,
             'images': len(rows), 'bytes': place.stat().st_size, 'rows': _digest(table)}
    files.write_json(folder / ABOUT, about)
    clean(folder, generation)
    return Index(folder, about, vectors, rows)


def _digest(path):
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def paths(folder, generation):
    """(file of vectors, file of rows) of a generation."""
    return folder / f'vectors-{generation}.faiss', folder / f'rows-{generation}.csv'


def clean(folder, generation):
    """Removes files of other generations, also those that a killed process left."""
    files.remove_leftovers(folder)
    kept = paths(folder, generation)
    for path in folder.iterdir():
        if _FILES.fullmatch(path.name) and path not in kept:
            path.unlink(missing_ok=True)


def copy_of(blocks, index, ids):
    """Adds the vectors of blocks, in the order of `ids`, to a faiss index; returns it."""
    begin = 0
    for block in blocks:
        index.add_with_ids(np.ascontiguousarray(block, np.float32), ids[begin:begin + len(block)])
        begin += len(block)
    return index
