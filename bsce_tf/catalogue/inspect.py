"""Mode `inspect`: reports what the data hold and which parts of them would harm training."""

import concurrent.futures
import hashlib
import os
import pathlib

import numpy as np

from bsce_tf import class_weights, files
from bsce_tf.catalogue import histogram, recipe
from bsce_tf.data import clean_list, label_map, records, sources
from bsce_tf.errors import InputError
from bsce_tf.progress import Bar

_CHUNK = 64  # images that a thread hashes at a time
_SHOWN = 10  # names that the report shows of each kind of problem
_CAP = 10.0  # suggested largest class weight; the mean weight over images is 1


def run(config, workdir):
    """Prints a report on every split of `config.data`.

    Writes into `workdir`: the report as `inspect.json`, a histogram of the training class sizes as
    `class_sizes.svg`, the groups of equal files as `duplicates.csv`.
    """
    workdir = pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    loaded = sources.load(config.data.source, **sources.fields(config.data))
    splits = {split: found for split, found in loaded._asdict().items() if found is not None}
    hashes, unreadable = {}, {}
    for split, examples in splits.items():
        hashes[split], unreadable[split] = digests(examples, split)
    groups = duplicates(splits, hashes)
    found = report(splits, groups, unreadable)
    clean_list.write_rows(workdir / 'duplicates.csv', ('group', 'split', 'image', 'label'),
                          _group_rows(splits, groups))
    histogram.write_svg(
        workdir / 'class_sizes.svg', loaded.train.counts,
        f'{len(loaded.train)} training images of {loaded.train.num_classes} classes')
    files.write_json(workdir / 'inspect.json', found)
    print('\n'.join(lines(found)))
    print(f'Written to {workdir}: inspect.json, class_sizes.svg, duplicates.csv')


def digests(examples, title='', progress=True):
    """Hashes the stored bytes of every image.

    Args:
      examples: an `Examples` of any kind.
      title: label of the progress bar.
      progress: whether to show the progress bar.

    Returns:
      uint64 `[N, 2]`, and a list of [name, reason] of the images that could not be read; the rows
      of these images are 0.
    """
    hashes = np.zeros((len(examples), 2), '<u8')
    unreadable = []
    reader = None if examples.images is not None else records.of(examples)

    def read(i):
        image = examples.images[i].tobytes() if reader is None else reader.read([i])[0]
        return hashlib.blake2b(image, digest_size=16).digest()

    def hash_chunk(first):
        failed = []
        for i in range(first, min(first + _CHUNK, len(examples))):
            try:
                hashes[i] = np.frombuffer(read(i), '<u8')
            except InputError as error:
                failed.append([examples.name(i), str(error)])
        return failed

    starts = range(0, len(examples), _CHUNK)
    with (concurrent.futures.ThreadPoolExecutor(2 * os.cpu_count()) as pool,
          Bar(f'hash {title}', len(examples), shown=progress) as bar):
        for first, failed in zip(starts, pool.map(hash_chunk, starts), strict=True):
            unreadable += failed
            bar.update(min(_CHUNK, len(examples) - first))
    return hashes, unreadable


def duplicates(splits, hashes):
    """Groups of equal images.

    Args:
      splits: dict of split → `Examples`.
      hashes: dict of split → uint64 `[N, 2]`, see `digests`; rows of 0 are ignored.

    Returns:
      List of groups, each a list of (split, index).
    """
    names = list(splits)
    starts = np.cumsum([0] + [len(hashes[split]) for split in names])
    rows = np.concatenate([hashes[split] for split in names])
    readable = np.flatnonzero(rows.any(axis=1))
    order = readable[np.lexsort(rows[readable].T)]  # stable: rising within a group
    same = (rows[order][1:] == rows[order][:-1]).all(axis=1)
    groups = []
    for place in np.flatnonzero(same):
        if not place or not same[place - 1]:
            groups.append([order[place]])
        groups[-1].append(order[place + 1])

    def origin(row):
        part = int(np.searchsorted(starts, row, side='right')) - 1
        return names[part], int(row - starts[part])

    return [[origin(row) for row in group] for group in groups]


def report(splits, groups, unreadable):
    """The content of `inspect.json`.

    Args:
      splits: dict of split → `Examples`; has `train`.
      groups: see `duplicates`.
      unreadable: dict of split → list of [name, reason].

    Returns:
      Dict of JSON values.
    """
    train = splits['train']
    counts = train.counts
    present = counts[counts > 0]
    found = {
        'images': {split: len(examples) for split, examples in splits.items()},
        'classes': train.num_classes,
        'class_sizes': {'smallest': int(present.min()), 'median': float(np.median(present)),
                        'largest': int(present.max()),
                        'bins': [list(row) for row in histogram.bins(counts)]},
        'imbalance': float(present.max() / present.min()),
        'alike_classes': label_map.alike(train.class_names),
        'empty_classes': [train.class_names[k] for k in np.flatnonzero(counts == 0)],
        'unreadable': unreadable,
        'weights': _weights(counts),
    }
    if 'validation' in splits:
        tested = splits['validation'].counts
        found['validation_only'] = [train.class_names[k]
                                    for k in np.flatnonzero((tested > 0) & (counts == 0))]
        found['not_validated'] = int(((tested == 0) & (counts > 0)).sum())
    found['duplicates'] = _summary(splits, groups)
    found['recommended'] = [advice._asdict() for advice in recipe.recommend(found)]
    return found


def _weights(counts):
    present = counts[counts > 0]
    weights = class_weights.balanced(present)
    above = weights > _CAP
    return {'smallest': float(weights.min()), 'largest': float(weights.max()),
            'suggested_cap': _CAP if above.any() else 0.0,
            'classes_above_cap': int(above.sum()), 'images_above_cap': int(present[above].sum())}


def _summary(splits, groups):
    """Counts each kind of group of equal files, and names the first few."""
    kinds = {'across_splits': [], 'across_classes': [], 'within_class': []}
    for group in groups:
        labels = {int(splits[split].labels[i]) for split, i in group} - {-1}
        across = len({split for split, _ in group}) > 1
        named = [[split, splits[split].name(i)] for split, i in group]
        if across:
            kinds['across_splits'].append(named)
        if len(labels) > 1:
            kinds['across_classes'].append(named)
        if not across and len(labels) <= 1:
            kinds['within_class'].append(named)
    return {kind: {'groups': len(all_), 'images': sum(map(len, all_)), 'first': all_[:_SHOWN]}
            for kind, all_ in kinds.items()}


def lines(found):
    """The report as lines of text."""
    sizes, weights = found['class_sizes'], found['weights']
    text = ['images: ' + ', '.join(f'{split} {n}' for split, n in found['images'].items()),
            f'classes: {found["classes"]}, of {sizes["smallest"]} to {sizes["largest"]} training '
            f'images, median {sizes["median"]:g}; imbalance {found["imbalance"]:g}']
    text += [f'  {low if low == high else f"{low}-{high}"} images: {number} classes'
             for low, high, number in sizes['bins'] if number]
    text += _names('groups of classes that differ only by spaces or Unicode form',
                   [' = '.join(map(ascii, group)) for group in found['alike_classes']])
    text += _names('classes without a training image', found['empty_classes'])
    if 'validation_only' in found:
        text += _names('classes in validation but not in training', found['validation_only'])
        text.append(f'classes without a validation image: {found["not_validated"]}')
    for split, failed in found['unreadable'].items():
        text += _names(f'files of {split} that cannot be read', [reason for _, reason in failed])
    text.append('(files were read, not decoded: --mode=verify finds images that are broken)')
    for kind, facts in found['duplicates'].items():
        text.append(f'equal files {kind.replace("_", " ")}: {facts["groups"]} groups, '
                    f'{facts["images"]} images')
        text += ['  ' + ' = '.join(f'{split}:{name}' for split, name in group[:4])
                 for group in facts['first'] if kind != 'within_class']
    text.append(f'class weights w(k): {weights["smallest"]:.4g} to {weights["largest"]:.4g}')
    text.append(
        f'for loss.name bce, bsce: --config.loss.weight_cap={weights["suggested_cap"]:g}' + (
            f' (limits the weight of {weights["classes_above_cap"]} classes, '
            f'{weights["images_above_cap"]} images)'
            if weights['suggested_cap'] else ' (none needed)'))
    text += [f'recommended: {advice["action"]}: {advice["reason"]}'
             for advice in found['recommended']]
    return text


def _names(title, names):
    more = f' … and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
    return [f'{title}: {len(names)}' + (f': {", ".join(names[:_SHOWN])}{more}' if names else '')]


def _group_rows(splits, groups):
    for number, group in enumerate(groups):
        for split, i in group:
            examples = splits[split]
            label = examples.labels[i]
            yield (number, split, examples.name(i),
                   examples.class_names[label] if label >= 0 else '')
