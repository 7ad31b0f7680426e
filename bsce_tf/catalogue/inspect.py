"""Mode `inspect`: reports what the data hold and which parts of them would harm training."""

import pathlib

import numpy as np

from bsce_tf import class_weights, division, files
from bsce_tf.catalogue import group_report, hash_parts, hashes, histogram, near_copies, recipe
from bsce_tf.data import clean_list, groups, label_map, sources
from bsce_tf.data.reading import records
from bsce_tf.termination import Terminated

_SHOWN = 10  # names that the report shows of each kind of problem
_CAP = 10.0  # suggested largest class weight; the mean weight over images is 1


def run(config, workdir):
    """Prints a report on every split of `config.data`.

    Writes into `workdir`: the report as `inspect.json`, a histogram of the training class sizes as
    `class_sizes.svg`, the groups of equal files as `duplicates.csv`; where the data have groups
    (`Examples.groups`), those with images in several splits as `groups_across_splits.csv`; with
    `inspect.near_copies` the pairs of `near_copies` as `near_copies.csv`; the hashes of the files
    as `hashes.bin`, and their thumbnails as `thumbnails.bin`, so that a second call reads only what
    has changed. With `part`, each part hashes its images, into a file of its own beside
    `hashes.bin`, and the part that ends last writes the report.

    Raises:
      InputError: if the data are not as expected.
      RunError: if another process holds `workdir`.
      PreemptedError: after SIGTERM or Ctrl-C; the same call goes on.
    """
    workdir, part = pathlib.Path(workdir), division.of(config.part)
    with part.held(workdir), Terminated() as terminated, terminated.at_once(
            f'{workdir}: told to stop; hashes that are done stay, and the same command resumes'):
        _run(config, workdir, part)


def _run(config, workdir, part):
    """`run` of a part that this process holds."""
    loaded = sources.load(config.data.source, **sources.fields(config.data))
    splits = {split: found for split, found in loaded._asdict().items() if found is not None}
    least, wanted = config.inspect.near_copies, [hashes.BYTES]
    if least:
        near_copies.check(splits)
        wanted.append(near_copies.kind(config.data.max_pixels))
    if part.whole:
        _write(workdir, splits, [
            {split: hashes.digests(examples, split, kept=workdir / f'{kind.name}.bin', kind=kind)
             for split, examples in splits.items()} for kind in wanted], least)
        return
    facts = {split: hash_parts.facts_of(examples) for split, examples in splits.items()}
    made = [{split: hash_parts.HashParts(workdir, split, examples, facts[split], kind)
             for split, examples in splits.items()} for kind in wanted]
    parts = [found for of_kind in made for found in of_kind.values()]
    for found in parts:
        found.make(part)

    def join():
        _write(workdir, splits, [{split: found.joined(part.all) for split, found in of_kind.items()}
                                 for of_kind in made], least)
        for found in parts:
            found.remove(part.all)

    division.join(workdir, 'inspect', lambda: (
        all(found.made(other) for found in parts) for other in part.all), join)


def _write(workdir, splits, made, least):
    """Writes and prints the report.

    Args:
      workdir: pathlib.Path.
      splits: dict of split → `Examples`.
      made: a dict of split → what `hashes.digests` gives, of hashes; with `least`, another one of
        thumbnails.
      least: correlation of near-copies, or 0.
    """
    digests, *thumbnails = ({split: found for split, (found, _) in of_kind.items()}
                            for of_kind in made)
    failed = [{split: found for split, (_, found) in of_kind.items()} for of_kind in made]
    equal = hashes.duplicates(splits, digests)
    near, told = [], {}
    if least:
        near = near_copies.pairs(splits, *thumbnails, digests, least)
        told = near_copies.summary(splits, near, least, {
            split: len(names) for split, names in failed[1].items()})
    found = report(splits, equal, failed[0], told)
    clean_list.write_rows(workdir / 'duplicates.csv', groups.DUPLICATES,
                          _rows(splits, enumerate(equal)))
    written = ['inspect.json', 'class_sizes.svg', 'duplicates.csv']
    if least:
        written.append(near_copies.NAME)
        near_copies.write(workdir / near_copies.NAME, splits, near)
    if found['groups']:
        written.append('groups_across_splits.csv')
        clean_list.write_rows(workdir / written[-1], groups.DUPLICATES,
                              _rows(splits, group_report.across(splits)))
    histogram.write_svg(
        workdir / 'class_sizes.svg', splits['train'].counts,
        f'{len(splits["train"])} training images of {splits["train"].num_classes} classes')
    files.write_json(workdir / 'inspect.json', found)
    print('\n'.join(lines(found)))
    print(f'Written to {workdir}: {", ".join(written)}')


def report(splits, equal, unreadable, near=None):
    """The content of `inspect.json`.

    Args:
      splits: dict of split → `Examples`; has `train`.
      equal: groups of equal files, see `hashes.duplicates`.
      unreadable: dict of split → list of [name, reason].
      near: of `near_copies.summary`, or None.

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
    found['groups'] = group_report.of(splits)
    found['duplicates'] = _summary(splits, equal)
    found['near_copies'] = near or {}
    found['recommended'] = [advice._asdict() for advice in recipe.recommend(found)]
    return found


def _weights(counts):
    present = counts[counts > 0]
    weights = class_weights.balanced(present)
    above = weights > _CAP
    return {'smallest': float(weights.min()), 'largest': float(weights.max()),
            'suggested_cap': _CAP if above.any() else 0.0,
            'classes_above_cap': int(above.sum()), 'images_above_cap': int(present[above].sum())}


def _summary(splits, equal):
    """Counts each kind of group of equal files, and names the first few."""
    kinds = {'across_splits': [], 'across_classes': [], 'within_class': []}
    for group in equal:
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
    if not found['near_copies']:
        text.append('(files were read, not decoded: bsce verify finds images that are broken)')
    text += group_report.lines(found['groups'])
    for kind, facts in found['duplicates'].items():
        text.append(f'equal files {kind.replace("_", " ")}: {facts["groups"]} groups, '
                    f'{facts["images"]} images')
        text += ['  ' + ' = '.join(f'{split}:{name}' for split, name in group[:4])
                 for group in facts['first'] if kind != 'within_class']
    if found['near_copies']:
        text += near_copies.lines(found['near_copies'])
    elif len(found['images']) > 1:
        text.append('(near-copies across splits: not looked for; '
                    '--config.inspect.near_copies=0.99)')
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


def _rows(splits, named):
    """Rows of `groups.DUPLICATES`, of (name of a group, its list of (split, index))."""
    names = {split: records.names(examples) for split, examples in splits.items()}
    for name, group in named:
        for split, i in group:
            examples = splits[split]
            label = examples.labels[i]
            yield (name, split, bytes(names[split][i]),
                   examples.class_names[label] if label >= 0 else '')
