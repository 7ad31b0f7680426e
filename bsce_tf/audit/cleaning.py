"""Decides which listed images are dropped or relabelled, and sums these up by size of class."""

from typing import NamedTuple

import numpy as np

from bsce_tf import fields

RULES = fields.choices('audit.rule')


class Decision(NamedTuple):
    """What is done with every image.

    Attributes:
      dropped: bool `[N]`.
      labels: int32 `[N]`, after the audit; a dropped image keeps the given one.
    """

    dropped: np.ndarray
    labels: np.ndarray


def decide(labels, issues, scores, suggested, sure, num_classes, rule, least):
    """Drops or relabels images, the worst first, so that no class is cleaned away.

    Args:
      labels: int `[N]`, given.
      issues: bool `[N]`, the images that may be dropped or relabelled.
      scores: float `[N]`, low for probably wrong labels.
      suggested: int `[N]`, the class that each image would get.
      sure: bool `[N]`, whether that class reaches its threshold.
      num_classes: K.
      rule: 'drop', or 'relabel': images that are `sure` are relabelled and the others dropped.
      least: so many images of every class stay as they are, those with the highest scores; all,
        if a class has fewer.

    Returns:
      `Decision`.
    """
    counts = np.bincount(labels, minlength=num_classes)
    listed = np.flatnonzero(issues)
    listed = listed[np.lexsort((scores[listed], labels[listed]))]
    own = labels[listed]
    sizes = np.bincount(own, minlength=num_classes)
    rank = np.arange(len(listed)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    leaving = listed[rank < (counts - least)[own]]
    dropped, after = np.zeros(len(labels), bool), np.array(labels, np.int32)
    relabelled = sure[leaving] & (rule == 'relabel')
    after[leaving[relabelled]] = suggested[leaving[relabelled]]
    dropped[leaving[~relabelled]] = True
    return Decision(dropped, after)


def group_sums(labels, groups, num_classes, marks):
    """{name: {'classes', 'images', and the sum of each mark}} of groups of classes.

    Args:
      labels: int `[N]`, given.
      groups: {name: class ids}, see `metrics.class_groups`.
      num_classes: K.
      marks: {name: bool `[N]`}.
    """
    counts = np.bincount(labels, minlength=num_classes)
    by_class = {name: np.bincount(labels[mark], minlength=num_classes)
                for name, mark in marks.items()}
    return {group: {'classes': len(ids), 'images': int(counts[ids].sum()),
                    **{name: int(sums[ids].sum()) for name, sums in by_class.items()}}
            for group, ids in groups.items()}
