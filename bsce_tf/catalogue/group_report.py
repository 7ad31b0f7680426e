"""What `inspect` tells of groups of images, see `Examples.groups`."""

import numpy as np

from bsce_tf.data import groups, texts

_SHOWN = 10  # groups that the report names


def of(splits):
    """Counts the groups of each split, and those with images in several splits.

    Args:
      splits: dict of split → `Examples`.

    Returns:
      Dict of JSON values: for each split with groups `groups`, `images` that are in one, `largest`
      (images of a group), `of_several_classes` (groups) and `classes_in_one_group` (names of
      classes of several images that are all in one group, so that none can be put aside for
      validation); `across_splits` with `groups`, `images` and `first` (names). Empty without
      groups.
    """
    found = {split: _counts(examples) for split, examples in splits.items()
             if examples.groups is not None}
    if not found:
        return {}
    shared = across(splits)
    return found | {'across_splits': {
        'groups': len(shared), 'images': sum(len(members) for _, members in shared),
        'first': [name.decode('utf-8', 'replace') for name, _ in shared[:_SHOWN]]}}


def across(splits):
    """Groups with images in several splits: list of (name, bytes; list of (split, index))."""
    parts = [(split, examples.groups) for split, examples in splits.items()
             if examples.groups is not None]
    if len(parts) < 2:
        return []
    names = [np.unique(np.asarray(values[values.lengths > 0])) for _, values in parts]
    distinct, count = np.unique(np.concatenate(names), return_counts=True)
    shared = distinct[count > 1]
    members = {name: [] for name in shared.tolist()}
    for split, values in parts:
        for i in np.flatnonzero(values.mask(lambda block: np.isin(block, shared))).tolist():
            members[values[i]].append((split, i))
    return list(members.items())


def lines(found):
    """The report of `of` as lines of text."""
    text = []
    for split, facts in found.items():
        if split == 'across_splits':
            names = f': {", ".join(facts["first"])}' if facts['first'] else ''
            more = ', …' if facts['groups'] > len(facts['first']) else ''
            text.append(f'groups across splits: {facts["groups"]}, {facts["images"]} images'
                        f'{names}{more}')
            continue
        text.append(f'groups of {split}: {facts["groups"]} of {facts["images"]} images, the '
                    f'largest of {facts["largest"]}; {facts["of_several_classes"]} with several '
                    'classes')
        one = facts['classes_in_one_group']
        if one:
            text.append(f'classes of {split} that are one group: {len(one)}: '
                        f'{", ".join(one[:_SHOWN])}{", …" * (len(one) > _SHOWN)}')
    return text


def _counts(examples):
    named = np.flatnonzero(examples.groups.lengths)
    _, number, sizes = np.unique(texts.numbers(examples.groups[named]), return_inverse=True,
                                 return_counts=True)
    labels = examples.labels[named].astype(np.int64)
    pairs = np.unique(number * (examples.num_classes + 1) + labels + 1)
    together = groups.together(examples, '')
    one = [] if together is None or not examples.labelled else groups.classes_of_one(
        examples.labels, together, examples.num_classes)
    return {'groups': len(sizes), 'images': len(named), 'largest': int(sizes.max(initial=0)),
            'of_several_classes': int((np.bincount(pairs // (examples.num_classes + 1)) > 1).sum()),
            'classes_in_one_group': [examples.class_names[k] for k in one]}
