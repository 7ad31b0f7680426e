"""Which settings suit a data set, and why: what `inspect` recommends."""

from typing import NamedTuple

_LEVEL = 2.0  # imbalance up to which classes count as equally frequent


class Advice(NamedTuple):
    """A piece of advice.

    Attributes:
      flags: as the command line takes them.
      reason: why.
    """

    flags: str
    reason: str


def recommend(found):
    """Settings for what `inspect` found in the data.

    The loss follows from class sizes alone, as its constants do (see `losses.bsce`): where some
    classes are rare, the one that balances both of its terms; else the one without a balance. Both
    hold out against wrong labels, of which nothing is known while data are new.

    Args:
      found: what `inspect.json` holds.

    Returns:
      List of `Advice`.
    """
    classes, imbalance = found['classes'], found['imbalance']
    if imbalance > _LEVEL:
        advice = [Advice(
            '--config.loss.name=bsce_many',
            f'the largest class has {imbalance:.3g} times the images of the smallest: this loss '
            f'balances the {classes:,} classes in both of its terms, and holds out against wrong '
            'labels')]
    else:
        advice = [Advice(
            '--config.loss.name=sce --config.loss.logit_bias=auto',
            'the classes are about equally frequent and need no balance: this loss holds out '
            f'against wrong labels, and with its bias {classes:,} classes start as ten do')]
    wrong = found['duplicates']['across_classes']
    if wrong['groups']:
        advice.append(Advice(
            '--mode=audit, then --config.data.clean_list=…',
            f'{wrong["images"]:,} images lie in several classes, so labels are wrong'))
    leaks = found['duplicates']['across_splits']
    if leaks['groups']:
        advice.append(Advice(
            'see duplicates.csv',
            f'{leaks["images"]:,} images are the same in training and validation, so validation '
            'errors come out too small: take them out of one of the two'))
    return advice
