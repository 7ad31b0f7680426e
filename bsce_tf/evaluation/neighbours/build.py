"""build(config, workdir): makes an index of images, adds images to it or removes some."""

import hashlib
import os
import pathlib
import shutil

import numpy as np
from absl import logging

from bsce_tf import locks
from bsce_tf.catalogue import hashes
from bsce_tf.data import prepare, sources, texts
from bsce_tf.data.listing import tables
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError
from bsce_tf.evaluation import collect, run_config
from bsce_tf.evaluation.neighbours.vectors import Embedder, check_finite
from bsce_tf.index import kinds, stored
from bsce_tf.index import rows as index_rows
from bsce_tf.termination import Terminated
from bsce_tf.training import strategy, workdir

NAME = 'index'
_HASHES = 'hashes.bin'  # of images that were looked at, see `catalogue.kept_hashes`
_ADDING = 'adding-'  # folders of vectors that are not in the index yet


def build(config, folder):
    """Adds the images of `index.input` to the index in `index.folder`, which is made if missing.

    An image is in the index already if its bytes and label are; then it is not added again. If a
    file now has other bytes or another label than when it was added, its old row is removed. With
    `index.remove` or `index.remove_classes`, images are removed and none is added. After a stop the
    same command resumes. See `stored` for the files, `kinds` for the kinds and their sizes.

    Args:
      config: ConfigDict; index, data, tta, batch_size, strategy and replicas are used.
      folder: of the run, or a string of folders with commas between.

    Returns:
      The `stored.Index`, or None if the index stays as it is.

    Raises:
      InputError: if images have no labels, none is left, what is to be removed is not there, the
        index is of other models or classes, or an image is bad and `data.on_error` is 'stop'.
      RunError: if another process writes the index.
      PreemptedError: after SIGTERM or Ctrl-C.
    """
    kinds.check()
    folders = run_config.folders(folder)
    place = place_of(config, folders)
    if place.exists() and not place.is_dir():
        raise InputError(f'index.folder: {place} is a file; expected a folder.')
    with locks.held(place, what='index.folder'), Terminated() as terminated, terminated.at_once(
            f'{place}: told to stop; vectors that are done stay, and the same command resumes'):
        runs = [workdir.read(path) for path in folders]
        if config.index.remove or config.index.remove_classes:
            return _remove(config.index, place, runs)
        return _add(config, place, runs)


def place_of(config, folders):
    """pathlib.Path of the index of runs in `folders`."""
    return pathlib.Path(config.index.folder or folders[0] / NAME)


def _remove(fields, place, runs):
    index = stored.read(place, class_names=runs[0].class_names)
    rows = index.rows
    gone = np.zeros(len(rows), bool)
    unknown = [name for name in fields.remove_classes if name not in rows.class_names]
    if unknown:
        raise InputError(f"index.remove_classes: found '{unknown[0]}', of which {place} has no "
                         'image; expected classes that it has.')
    for name in fields.remove_classes:
        gone |= rows.labels == rows.class_names.index(name)
    if fields.remove:
        gone |= _listed(fields.remove, rows, place)
    return _write(place, rows.kept(~gone), index.without(gone), runs, index.about,
                  f'{int(gone.sum()):,} images removed')


def _listed(path, rows, place):
    """bool `[N]`: which rows a table names."""
    columns, _ = tables.read(path, {'image': 'the path of an image'})
    names = texts.of_arrow(columns['image']).tolist()
    known = set(rows.paths.tolist())
    for name in names:
        if name not in known:
            raise InputError(f"index.remove: {path} names '{name.decode('utf-8', 'replace')}', "
                             f'which {place} does not have; expected paths as its rows have them.')
    wanted = set(names)
    return np.array([path in wanted for path in rows.paths.tolist()], bool)


def _add(config, place, runs):
    devices = strategy.of_this_machine(config.strategy, config.replicas)
    embedder = Embedder(runs, config.tta.scales, devices)
    index = stored.read(place, embedder.accepted, embedder.class_names) if stored.exists(
        place) else None
    examples, origin = _images(config, runs)
    contents, _ = hashes.digests(examples, 'images', kept=place / _HASHES)
    new, replaced, copies = _changes(examples, origin, contents, index)
    told = [f'{copies:,} copies of images left out'] * bool(copies)
    if not len(new) and not replaced.any():
        print(f'{place}: {len(index):,} images; nothing to add')
        for left in place.glob(f'{_ADDING}*'):  # of a process that was killed at its end
            shutil.rmtree(left)
        return None
    kept = index.rows.kept(~replaced) if index else index_rows.empty()
    parts, good = [], np.zeros(0, bool)
    if len(new):
        parts, good = _compute(config, place, embedder, examples.subset(new))
        if not good.all():
            told.append(f'{int((~good).sum()):,} bad images left out, see '
                        f'{place / workdir.BAD_IMAGES}')
    added = new[good]
    next_id = index.about['next_id'] if index else 0
    ids = next_id + np.arange(len(added))
    rows = kept if not len(added) else kept.joined(
        index_rows.of(ids, examples.subset(added), origin, contents[added]))
    if not len(rows):
        raise InputError(f'{examples.origin}: no good image; expected some to make an index of.')
    about = {'models': embedder.fingerprints, 'width': embedder.width, 'generation': 0,
             'trained_on': len(rows), **(index.about if index else {}),
             'kind': _kind(config.index.kind, index, len(rows), place),
             'next_id': next_id + len(added)}
    vectors = _vectors(index, replaced, about, parts, ids, len(rows))
    told = [f'{len(added):,} images added'] + [
        f'{int(replaced.sum()):,} replaced'] * bool(replaced.any()) + told
    made = _write(place, rows, vectors, runs, about, ', '.join(told))
    if parts:
        shutil.rmtree(parts[0].parent)  # in the index by now
    return made


def _images(config, runs):
    """(labelled `Examples`, their origin) of `index.input`."""
    fields, data = config.index, config.data
    if not fields.input:
        examples = prepare.load(**{**data, 'unseen_classes': 0.0}, seed=runs[0].config.seed).train
    elif os.path.isdir(fields.input):
        examples = sources.load('folder', root=fields.input, cache=data.cache).train
    elif tables.kind(fields.input):
        examples = sources.load('csv', root=data.root, train=os.path.abspath(fields.input),
                                cache=data.cache, image_column=data.image_column,
                                label_column=data.label_column).train
    else:
        raise InputError(f'index.input: {fields.input} is no folder and no table; expected a '
                         'folder with one folder for each class, or a file that ends with '
                         f'{", ".join(tables.KINDS)}.')
    if not examples.labelled:
        raise InputError(f'index.input: {examples.origin} has no labels; expected labelled images.')
    if fields.classes == 'seen':
        seen = {name for name, count in zip(runs[0].class_names, runs[0].data['counts'],
                                            strict=True) if count}
        names = np.array([name in seen for name in examples.class_names])
        kept = np.flatnonzero(names[examples.labels])
        if not kept.size:
            raise InputError(f'index.classes: seen, but no image of {examples.origin} is of a '
                             f'class that {runs[0].folder} was trained on; expected some.')
        examples = examples.subset(kept)
    return examples, records.place(examples)


def _changes(examples, origin, contents, index):
    """(int64: images to add; bool: rows to remove; number of copies that are left out).

    Unreadable images, whose hash is 0, are among those to add: the pipeline treats them as bad.
    """
    names, labels = examples.class_names, examples.labels.tolist()
    keys = [(a, b, names[label]) for (a, b), label in zip(contents.tolist(), labels, strict=True)]
    rows = index.rows if index else index_rows.empty()
    before = rows.keys()
    there, new, copies = dict.fromkeys(before, False), [], 0  # whether it is of this set
    for i, key in enumerate(keys):
        if key[:2] == (0, 0) or key not in there:
            new.append(i)
        else:
            copies += there[key]
        there[key] = True
    of_file = {}
    for path, key in zip(records.names(examples).tolist(), keys, strict=True):
        of_file.setdefault((origin, path), set()).add(key)
    replaced = np.array([file in of_file and key not in of_file[file]
                         for file, key in zip(rows.files(), before, strict=True)], bool)
    return np.array(new, np.int64), replaced, copies


def _compute(config, place, embedder, examples):
    """(files of the vectors of all images, bool `[N]`: which images are good)."""
    made_of = {'images': records.fingerprint(examples), 'contents': records.contents(examples),
               'models': embedder.fingerprints}
    digest = hashlib.sha256(repr(sorted(made_of.items())).encode()).hexdigest()[:16]
    parts = collect.parts(place / f'{_ADDING}{digest}', made_of, examples, embedder.views,
                          embedder.vectors, embedder.devices, config.batch_size,
                          workdir.bad_images_of(config, place), 'index')
    good, first = [], 0
    for path in parts:
        part = collect.read(path)
        check_finite(part['vectors'], part['good'], examples, first)
        first += len(part['good'])
        good.append(part['good'])
    return parts, np.concatenate(good)


def _kind(asked, index, images, place):
    """The kind to write; vectors never become more exact than those that are held."""
    kind = kinds.wanted(asked, images)
    if index is None:
        return kind
    before = index.about['kind']
    if kinds.KINDS.index(kind) >= kinds.KINDS.index(before):
        return kind
    if asked != kinds.AUTO:
        raise InputError(f'index.kind: found {asked}; expected {before} or auto: {place} holds '
                         'only the rounded vectors of that kind.')
    return before


def _vectors(index, replaced, about, parts, ids, images):
    """The faiss index to write; sets `about['trained_on']`."""
    new = _blocks_of(parts)
    if index and about['kind'] == index.about['kind'] and (
            about['kind'] == 'exact' or not kinds.grown(about['trained_on'], images)):
        return stored.copy_of(new, index.without(replaced), ids)
    about['trained_on'] = images

    def all_blocks():
        first = 0
        for block in index.blocks() if index else ():
            yield block[~replaced[first:first + len(block)]]
            first += len(block)
        yield from _blocks_of(parts)

    def sample(count):
        rng, share = np.random.default_rng(0), min(count / images, 1.0)
        return np.concatenate([block[np.sort(rng.permutation(len(block))[:max(
            round(share * len(block)), 1)])] for block in all_blocks() if len(block)])

    if index:
        logging.info('%s: %s becomes %s with cells of %d images.', index.folder,
                     index.about['kind'], about['kind'], images)
    made = kinds.build(about['kind'], about['width'], images, sample)
    every = np.concatenate([index.rows.ids[~replaced] if index else ids[:0], ids])
    return stored.copy_of(all_blocks(), made, every)


def _blocks_of(parts):
    """Yields the vectors of the good images of each part."""
    for path in parts:
        part = collect.read(path)
        yield part['vectors'][part['good']]


def _write(place, rows, vectors, runs, about, told):
    made = stored.write(place, about, vectors, rows, runs[0].class_names)
    print(f'{place}: {told}; {len(rows):,} images of {len(rows.class_names):,} classes, '
          f'{made.about["kind"]}, {made.about["bytes"] / 1e6:.1f} MB')
    return made

