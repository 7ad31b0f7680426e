"""Packs any source into a few large ArrayRecord files, for storage where small files are slow.

A pack is a folder:
  shard-00000-of-00012.array_record   encoded images, unchanged or shrunk
  shard-00000-of-00012.npy            (index in the source, label, size, CRC-32) of each image
  labels.npy names.npy checksums.npy  the same of all shards together
  groups.npy                          of each image, where the source has groups
  class_names.json
  bad_images.csv                      images that were left out, where there are any
  pack.json                           written last: a folder without it is not finished
"""

import functools
import json
import pathlib

import numpy as np
from absl import logging

from bsce_tf import division, fields, files
from bsce_tf.catalogue import shards, shrink
from bsce_tf.data import bad_images, label_map, loading, sources
from bsce_tf.data.reading import parallel, records
from bsce_tf.data.sources import packed
from bsce_tf.errors import InputError
from bsce_tf.progress import Bar
from bsce_tf.termination import Terminated

BAD_IMAGES = 'bad_images.csv'
_QUALITY = fields.TABLE['pack.quality'].default


def run(config, workdir):
    """Mode `pack`: every split of `config.data` into `workdir/packed/<split>`.

    `--config.data.source=packed --config.data.root=<workdir>/packed` then reads them.
    """
    folder = pathlib.Path(workdir) / 'packed'
    splits = sources.load(config.data.source, **sources.fields(config.data))
    for split, examples in splits._asdict().items():
        if examples is None:
            continue
        place, part = folder / split, division.of(config.part)
        bad = bad_images.BadImages(config.data.on_error, config.data.max_bad_fraction,
                                   config.data.max_pixels,
                                   bad_images.list_of(place / BAD_IMAGES, part))
        told = pack(examples, place, config.data.shard_images, side=config.pack.side,
                    quality=config.pack.quality, bad=bad, part=part)
        if told is None:
            continue
        out = len(examples) - told['packed']
        print(f'{place}: {told["packed"]:,} images, {told["bytes"] / 1e6:,.1f} MB'
              + f'; {out:,} bad ones were left out, see {BAD_IMAGES}' * bool(out))


def pack(examples, folder, shard_images=4096, progress=True, *, side=0, quality=_QUALITY, bad=None,
         part=division.WHOLE):
    """Writes one split, or continues where an earlier call was killed.

    Images are read `Examples.storage.readers` at a time and written in the order of the set. A
    shard gets its final name only after it was read back: number and bytes of its images equal
    those that were written. Existing shards of the same data are kept.

    Args:
      examples: an `Examples` with paths or records.
      folder: where to write; made if it is missing.
      shard_images: images of the set for each shard, at least 1.
      progress: whether to show the progress bar.
      side, quality: see `shrink.shrunk`; side 0: all bytes unchanged.
      bad: a `BadImages`; None: the first image that cannot be read, or shrunk, stops the packing.
        Where it skips, the image is not in the pack.
      part: a `division.Division`: the shards of which to write. Which part ends last writes what
        belongs to all.

    Returns:
      The content of pack.json: `packed` (images in the pack) and `bytes` are in it. None where
      parts are missing.

    Raises:
      InputError: if the folder holds a pack of other data (see `records.contents` for what is
        compared of the images), an image cannot be read, or array_record is missing.
    """
    fields.check('data.shard_images', shard_images)
    folder = pathlib.Path(folder)
    with part.held(folder), Terminated() as terminated, terminated.at_once(
            f'{folder}: told to stop; shards that are done stay, and the same command resumes'):
        return _pack(examples, folder, shard_images, progress, side, quality,
                     bad or bad_images.BadImages(), part)


def _pack(examples, folder, shard_images, progress, side, quality, bad, part):
    """`pack` in a folder that this process holds."""
    files.refresh(folder)  # other parts may have begun meanwhile
    plan = {'format': 1, 'images': len(examples), 'shard_images': shard_images,
            'fingerprint': records.fingerprint(examples), 'contents': records.contents(examples),
            'groups': packed.groups_digest(examples.groups),
            'shrunk': [side, quality] if side else None}
    planned = shards.planned(folder, len(examples), shard_images)
    finished = _begin(folder, plan, part, planned)
    if finished:
        division.joined[division.key(folder, 'pack')] = True
        return _with_groups(folder, examples, planned, finished)
    found = [shards.facts_of(shard, examples.labels) for shard in planned]
    bad.found_before(examples, sum(
        shard.end - shard.first - len(facts) for shard, facts in zip(planned, found, strict=True)
        if facts is not None))
    change = functools.partial(shrink.shrunk, side=side, quality=quality,
                               max_pixels=bad.max_pixels) if side else lambda image: image
    first, end = part.span(len(planned))
    mine = sum(shard.end - shard.first for shard in planned[first:end])
    with Bar(f'pack {folder.name}', mine, shown=progress) as bar:
        for number, shard in enumerate(planned[first:end], first):
            if found[number] is None:
                images = _counted(_images(examples, shard, change, bool(side)), bar)
                found[number] = shards.write(shard, examples.labels, images, functools.partial(
                    _again, examples, change, bad))
            else:
                bar.update(shard.end - shard.first)
    if part.whole:
        return _finish(folder, examples, plan, found)
    return _join(folder, examples, plan, planned, part, bad)


def _join(folder, examples, plan, planned, part, bad):
    """What `_finish` returns once all parts are there; None before."""
    told = []

    def made():
        names = files.names(folder)  # asks the server, where `exists` may remember
        there = [{shard.path.name, shard.path.with_suffix('.npy').name} <= names
                 for shard in planned]
        return [all(there[slice(*other.span(len(planned)))]) for other in part.all]

    def finish():
        found = [shards.facts_of(shard, examples.labels) for shard in planned]
        out = len(examples) - sum(map(len, found))
        if out > bad.max_fraction * len(examples):
            raise InputError(f'{folder / BAD_IMAGES}: {out} bad images of {len(examples)}; '
                             f'expected at most data.max_bad_fraction = {bad.max_fraction}.')
        files.write_json(folder / 'plan.json', plan)
        bad_images.gather(folder / BAD_IMAGES, part.all)
        told.append(_finish(folder, examples, plan, found))

    division.join(folder, 'pack', made, finish)
    return told[0] if told else None


def _images(examples, part, change, changes):
    """Yields the images of a shard in order, read and changed ahead; InputErrors for bad ones."""
    images = parallel.each(records.of(examples), range(part.first, part.end),
                          examples.storage.readers)
    return parallel.in_order(change, images, loading.cores()) if changes else images


def _counted(images, bar):
    for image in images:
        yield image
        bar.update()


def _again(examples, change, bad, index, error):
    """The bytes of an image that failed with an error, if it can be read now; None to skip it."""
    if not bad.leave_out(examples, index):
        return None
    image = change(records.of(examples).read([index])[0])
    if isinstance(image, InputError):
        raise InputError(f'{examples.origin}: {examples.name(index)}: {image}') from error
    return image


def _begin(folder, plan, part, planned):
    """Makes the folder and its plan. Returns the content of pack.json if the pack is finished."""
    if not part.whole:
        plan = plan | {'parts': part.count}
    folder.mkdir(parents=True, exist_ok=True)
    for name in ('pack.json', 'plan.json'):
        path = folder / name
        if path.exists():
            found = _plan(path)
            # Groups are beside the images and can be written anew.
            differing = [key for key in records.differing(found, plan)
                         if key not in ('groups', 'parts')]
            if not part.whole and found.get('parts', part.count) != part.count:
                raise InputError(f'{path}: begun in {found["parts"]} parts; expected part '
                                 f'i/{found["parts"]}, or none.')
            if differing:
                raise InputError(f'{path}: a pack of other data or with other shards ('
                                 f'{", ".join(differing)} differ); expected an empty folder, or '
                                 'one of this data.')
            if name == 'pack.json':
                return found
    first, end = part.span(len(planned))  # others may be of another machine
    files.remove_leftovers(folder, None if part.whole else [
        path.name for shard in planned[first:end]
        for path in (shard.path, shard.path.with_suffix('.npy'))])
    files.write_json(folder / 'plan.json', plan)
    return None


def _plan(path):
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(found, dict):
            raise ValueError(f'found a {type(found).__name__}')
    except ValueError as error:
        raise InputError(f'{path}: damaged ({error}); expected an empty folder to pack '
                         'into.') from error
    return found


def _with_groups(folder, examples, parts, finished):
    """pack.json of a finished pack, after its groups were written anew if they are others."""
    found = [shards.facts_of(part, examples.labels) for part in parts]
    for part, facts in zip(parts, found, strict=True):
        if facts is None:
            raise InputError(f'{part.path}: it, or its .npy, is missing in a finished pack; '
                             'expected an empty folder to pack into.')
    groups = (None if examples.groups is None
              else examples.groups[np.concatenate(found)['index']])
    digest = packed.groups_digest(groups)
    if finished.get('groups') != digest:
        _write_groups(folder, groups)
        finished = finished | {'groups': digest}
        files.write_json(folder / 'pack.json', finished)
    logging.info('%s: already packed.', folder)
    return {'packed': finished['images'], **finished}


def _write_groups(folder, groups):
    if groups is None:
        for name in ('groups.npy', 'groups_ends.npy'):
            (folder / name).unlink(missing_ok=True)
    else:
        packed.save_texts(folder, 'groups', groups)


def _finish(folder, examples, plan, found):
    """Writes what belongs to all shards; returns the content of pack.json."""
    facts = np.concatenate(found)
    if not len(facts):
        raise InputError(f'{folder}: no image of {examples.origin} could be packed; expected at '
                         'least one.')
    groups = None if examples.groups is None else examples.groups[facts['index']]
    for name, values in (('labels', facts['label']), ('checksums', facts['checksum'])):
        with files.replacing(folder / f'{name}.npy') as temporary:
            np.save(temporary, values)
    packed.save_texts(folder, 'names', records.names(examples)[facts['index']])
    _write_groups(folder, groups)
    label_map.save(folder / 'class_names.json', examples.class_names)
    told = plan | {'groups': packed.groups_digest(groups), 'packed': len(facts),
                   'shards': list(map(len, found)), 'bytes': int(facts['size'].sum())}
    files.write_json(folder / 'pack.json', told)
    return told
