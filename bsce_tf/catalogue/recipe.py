"""The settings that `inspect` recommends for a data set, with reasons."""

from typing import NamedTuple

_LEVEL = 2.0  # imbalance up to which classes count as equally frequent


class Advice(NamedTuple):
    """A piece of advice.

    Attributes:
      action: flags of the command line, or what to do.
      reason: why.
    """

    action: str
    reason: str


def recommend(found):
    """Settings for what `inspect` found in the data.

    Class sizes alone decide the loss: bsce_many, which balances both of its terms, where some
    classes are rare; else sce, which balances none. Both have a reverse term, since nothing is
    known about wrong labels yet.

    Args:
      found: the content of `inspect.json`.

    Returns:
      List of `Advice`.
    """
    classes, imbalance = found['classes'], found['imbalance']
    if imbalance > _LEVEL:
        advice = [Advice(
            '--config.loss.name=bsce_many',
            f'the largest class has {imbalance:,.1f} times the images of the smallest: this '
            f'loss balances the {classes:,} classes in both of its terms, and its reverse term is '
            'robust to wrong labels')]
    else:
        advice = [Advice(
            '--config.loss.name=sce --config.loss.logit_bias=auto',
            'the classes are about equally frequent and need no balance; the reverse term of this '
            f'loss is robust to wrong labels, and its bias makes {classes:,} classes start like '
            'ten')]
    wrong = found['duplicates']['across_classes']
    if wrong['groups']:
        advice.append(Advice(
            'bsce audit, then --config.data.clean=…',
            f'{wrong["images"]:,} images are in several classes, so labels are wrong'))
    leaks = found['duplicates']['across_splits']
    if leaks['groups']:
        advice.append(Advice(
            'see duplicates.csv',
            f'{leaks["images"]:,} images are the same in training and validation, so validation '
            'errors come out too small: take them out of one of the two'))
    near = found['near_copies'].get('images', {})
    if any(near.values()):
        told = ', '.join(f'{number:,} of {split}' for split, number in near.items() if number)
        advice.append(Advice(
            'see near_copies.csv',
            f'some images look like one of another set ({told}): where they are copies, errors '
            'come out too small'))
    if found['groups'] and found['groups']['across_splits']['groups']:
        shared = found['groups']['across_splits']
        advice.append(Advice(
            'see groups_across_splits.csv',
            f'{shared["groups"]:,} groups have images in several of training, validation and test, '
            'so errors come out too small: give each group to one of them'))
    copies = sum(found['duplicates'][kind]['images'] for kind in ('across_classes', 'within_class'))
    if 'validation' not in found['images'] and copies:
        advice.append(Advice(
            '--config.data.copies=…/duplicates.csv',
            f'{copies:,} training images are copies of each other; so they stay on one side of the '
            'validation split, and its errors do not come out too small'))
    return advice
