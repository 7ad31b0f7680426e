"""What a person wants to know first: is it good, where is it bad, what to do next.

Every sentence follows from numbers on the page, by a rule that stands here. A difference is told
where it is larger than twice its standard error.
"""

import numpy as np

from bsce_tf import losses, parts
from bsce_tf.report import mistakes
from bsce_tf.report.markup import count, element, join, plural, rate

_NAMED = 5  # classes in a sentence, at most
_ATTRACTED = 0.1  # share of all mistakes that one class must attract to be named
_CONFIDENT = 0.9  # probability of a wrong prediction from which the label is doubted
_FALLING = 0.02  # share by which the validation error still fell, in the last fifth of the epochs
_FITTED = 0.5, 0.05  # training error / validation error, and least difference of both
_SMALL = 20  # training images up to which a class counts as small


def section(runs, ensemble, audits):
    """The findings on the best run, as `Markup`; None without any error.

    Args:
      runs: list of `details.Detail`.
      ensemble: the dict of ensemble.json, or None.
      audits: list of `wrong_labels.Audit`.
    """
    known = [run for run in runs if 'mean_top1_error' in run.errors]
    if not known:
        return None
    best = min(known, key=lambda run: run.errors['mean_top1_error'])
    groups = (('Is it good?', good(best, len(runs) > 1, ensemble)),
              ('Where is it bad?', bad(best)),
              ('What to do next?', advice(best, audits)))
    return element('div', *(element('div', element('h3', head), element(
        'ul', *(element('li', text) for text in sentences))) for head, sentences in groups
        if sentences), class_='findings')


def good(run, several, ensemble):
    """Sentences on the errors of the best run."""
    error, size = run.errors['mean_top1_error'], len(run.results.run.class_names)
    name = f'{run.results.name} has the lowest mean top-1 error' if several else (
        'The mean top-1 error is')
    found = [f'{name}{":" if several else ""} {rate(error)} on the {run.split} set. Of 100 images, '
             f'as many of every class, {100 * (1 - error):.0f} get the right one of '
             f'{plural(size, "class", "classes")}; by guessing, {100 / size:.2g} would.']
    scales = (run.results.evaluation or {}).get('scales') or {}
    averaged = (scales.get('tta') or {}).get('mean_top1_error', error)
    if averaged < error:
        found.append(f'With the features of all {len(scales) - 1} test scales averaged it is '
                     f'{rate(averaged)}.')
    vote = ((ensemble or {}).get('vote') or {}).get('mean_top1_error')
    if vote is not None and vote < error:
        found.append(f'The vote of {plural(len(ensemble.get("models", [])), "model")} has '
                     f'{rate(vote)}.')
    return found


def bad(run):
    """Sentences on groups and classes with high errors."""
    classes, found = run.classes, []
    if classes is None or not classes.images.sum():
        return found
    names = run.answers.examples.class_names
    worse = tail_minus_head(classes)
    if worse:
        sizes = classes.train[classes.group == len(mistakes.GROUPS) - 1]
        found.append('Classes with few training images are worse: the error of the third with '
                     f'{count(sizes.min())} to {count(sizes.max())} is {rate(worse)} above that of '
                     'the third with the most.')
    for k, taken, sources in attracting(run.answers.examples.labels, run.answers.predictions,
                                        len(names)):
        found.append(f'“{names[k]}” attracts {100 * taken:.0f} % of all mistakes, from '
                     f'{plural(sources, "other class", "other classes")}.')
    worst = mistakes.worst(classes, 3)
    if len(worst):
        found.append('The highest errors: ' + ', '.join(
            f'“{names[k]}” {rate(classes.error[k])} ({plural(classes.images[k], "image")})'
            for k in worst) + '.')
    return found


def advice(run, audits):
    """Sentences on what would probably lower the error."""
    found, classes, config = [], run.classes, run.results.run.config
    if classes is not None and classes.images.sum():
        names = run.answers.examples.class_names
        wanted = to_photograph(classes)
        if len(wanted):
            found.append('Photograph more of ' + ', '.join(
                f'“{names[k]}” ({count(classes.train[k])})' for k in wanted)
                + ': high errors, and few training images (in brackets).')
        if tail_minus_head(classes):
            found += _balance(run.results.losses[-1], config)
    found += _length(run.results.history)
    found += _labels(run, audits)
    return found


def tail_minus_head(classes):
    """Mean error of the tail third − that of the head third; 0.0 if it is not told apart from 0."""
    parts_ = [classes.error[(classes.group == i) & (classes.images > 0)]
              for i in (len(mistakes.GROUPS) - 1, 0)]
    if min(map(len, parts_)) < 2:
        return 0.0
    difference = parts_[0].mean() - parts_[1].mean()
    error = np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts_))
    return float(difference) if difference > 2 * error else 0.0


def attracting(labels, predictions, num_classes):
    """[(class, share of all mistakes predicted as it, classes these are of)], the largest first.

    Only classes that mistakes of three others or more go to, and twice as many as on average.
    """
    wrong = mistakes.mistaken(labels, predictions)
    total = int(wrong.sum())
    if total < _SMALL or num_classes < 4:
        return []
    pairs, number = np.unique(
        predictions.predicted[wrong].astype(np.int64) * num_classes + labels[wrong],
        return_counts=True)
    taken = np.bincount(pairs // num_classes, number, num_classes) / total
    sources = np.bincount(pairs // num_classes, minlength=num_classes)
    order = np.argsort(-taken, kind='stable')[:3]
    return [(int(k), float(taken[k]), int(sources[k])) for k in order
            if taken[k] >= max(_ATTRACTED, 2 / num_classes) and sources[k] >= 3]


def to_photograph(classes):
    """Classes with an error above the mean and the fewest training images, at most 20 of each."""
    seen = (classes.images > 0) & (classes.train <= _SMALL)
    if not seen.any():
        return seen.nonzero()[0]
    high = seen & (classes.error > np.nanmean(classes.error))
    ids = np.flatnonzero(high)
    return ids[np.lexsort((-classes.error[ids], classes.train[ids]))][:_NAMED]


def _balance(loss, config):
    if config.sampler.gamma or parts.is_part(loss):
        return []
    balance, row = losses.balance_of(loss, config.loss.balance), losses.row(loss)
    if balance == 'none' and row.counts and not row.numbered:  # ldam, seesaw: in their own ways
        return []
    if balance == 'none':
        return [f'The loss {loss} does not balance the classes. Compare loss.name = bsce_many, or '
                'sampler.gamma = 0.5.']
    other = ' with loss.name = sce' if balance == 'weights' else ''  # weights would balance twice
    return ['The loss balances the classes, the sampler does not. Compare sampler.gamma = 0.5'
            f'{other}.']


def _length(history):
    """From the validation error of the weights that are trained."""
    values = np.array([row.get('val_mean_top1_error', np.nan) for row in history], float)
    if len(values) < 5 or not np.isfinite(values).all():
        return []
    found, before = [], values[:-max(len(values) // 5, 1)].min()
    if values[-1] == values.min() and values[-1] < (1 - _FALLING) * before:
        found.append('The validation error was still falling in the last epoch. Try more: the same '
                     'command with larger epochs resumes the run.')
    trained = history[-1].get('mean_top1_error', np.nan)
    share, least = _FITTED
    if trained < share * values[-1] and values[-1] - trained > least:
        found.append(f'The training error ({rate(trained)}) is far below the validation error '
                     f'({rate(values[-1])}). Compare stronger augmentation: augment.policy or '
                     'augment.mixup.')
    return found


def _labels(run, audits):
    if audits:
        return []
    said = run.answers.predictions if run.answers else None
    if said is None:
        return []
    wrong = mistakes.mistaken(run.answers.examples.labels, said)
    doubted = int((wrong & (said.probability >= _CONFIDENT)).sum())
    if not doubted or not wrong.any():
        return []
    return [join([f'{count(doubted)} of {plural(wrong.sum(), "mistake")} on the {run.split} set '
                  f'have a probability of {_CONFIDENT} or more: are their labels right? ',
                  element('code', 'bsce audit'), ' and ', element('code', 'bsce review'),
                  ' find and correct wrong labels of the training set.'])]
