"""audit(config, workdir): finds wrong labels of a training set, and lists what to train on."""

import os
from typing import NamedTuple

import numpy as np

from bsce_tf import fields, files, metrics
from bsce_tf.audit import cleaning, confident, duplicates, judges
from bsce_tf.data import clean_list, prepare, records
from bsce_tf.data.examples import Examples
from bsce_tf.errors import InputError
from bsce_tf.training import resume, workdir

ISSUES, CLEANED, SUMMARY, SCORES = ('label_issues.csv', 'cleaned.csv', 'audit.json', 'scores.npz')
COLUMNS = ('path', 'given_label', 'suggested_label', 'score', 'class_size')
_MARKS = ('listed', 'dropped', 'relabelled')


class Result(NamedTuple):
    """What an audit found, of N training images in their order.

    Attributes:
      train: the `Examples`, with the labels that were audited.
      scores: float64 `[N]`, low for labels that are probably wrong; NaN where not judged.
      listed: bool `[N]`, what label_issues.csv lists.
      suggested: int32 `[N]`, the best class other than the given one.
      sure: bool `[N]`, whether that class reaches its threshold.
      decision: a `cleaning.Decision`.
      rates: float64 `[K]`, estimated share of wrong labels of each class.
      uncertain: see `confident.Guess`.
    """

    train: Examples
    scores: np.ndarray
    listed: np.ndarray
    suggested: np.ndarray
    sure: np.ndarray
    decision: cleaning.Decision
    rates: np.ndarray
    uncertain: int


def audit(config, folder):
    """Audits the training set of `config.data`, as a run would train on it.

    Every image is judged by a network that was not trained on it, see `judges`; from its
    probabilities follow a score and the list of issues, see `confident`; from these what to drop or
    to relabel, see `cleaning`. Writes into the folder:

    * label_issues.csv: `COLUMNS`, worst first.
    * cleaned.csv: what to train on, for `data.clean`.
    * audit.json: estimated noise, and the numbers of both, by class and by size of class.
    * scores.npz: scores and more of all images, in the order of the training set.
    * near_duplicates.csv: pairs of images that are nearly the same, see `duplicates`.

    Fields on which no probability depends, as `audit.rule`, may be changed and the audit be called
    again, which then trains nothing.

    Args:
      config: ConfigDict with the fields of configs/default.py, checked.
      folder: path, missing, empty or of the same audit.

    Returns:
      `Result`.

    Raises:
      InputError: if the folder, the data or a field is not as expected.
      RunError, PreemptedError: as `train.train`; the same command goes on.
    """
    check_machine(config)
    duplicates.check(config.audit.duplicate_similarity)
    folder = workdir.check(folder)
    plan = resume.plan(folder, config, fixed=fields.OF_AUDIT)
    config = plan.config
    data, given, before = load(config)
    workdir.check_data(folder, data)
    resume.claim(folder, plan)
    workdir.describe(folder, data)
    sparse = (judges.by_model(config, folder, data, before) if config.audit.model
              else judges.by_folds(config, folder, data))
    result = find(data.train, sparse, config.audit)
    _write(folder, result, given, config.audit)
    if config.audit.duplicate_similarity:
        _write_duplicates(config, folder, data.train)
    return result


def check_machine(config):
    """Raises InputError where several machines are asked for."""
    if config.strategy == 'multiworker' or os.environ.get('TF_CONFIG', '').strip():
        raise InputError('strategy: an audit runs on one machine, on all its GPUs; expected auto, '
                         'one or mirrored, and no TF_CONFIG.')


def load(config):
    """(`examples.Splits`, int32 `[N]`, `Examples`) of `config.data`.

    The splits are as a run sees them; the labels are those that their training images had before an
    earlier audit, whose list is in `data.clean`; the last are the training images before that list.
    """
    clean, audited = clean_list.places(config.data.clean)
    data = prepare.load(**{**config.data, 'clean': clean}, seed=config.seed)
    if not audited:
        return data, data.train.labels, data.train
    indices, labels = clean_list.select(data.train, audited)
    return (data._replace(train=data.train.subset(indices, labels)), data.train.labels[indices],
            data.train)


def find(train, sparse, fields):
    """The `Result` of probabilities; `fields` are those of `config.audit`."""
    labels, size = train.labels, train.num_classes
    limits = confident.thresholds(labels, sparse.given, size)
    guess = confident.guess(labels, sparse, limits)
    scores = confident.scores(labels, sparse, limits, fields.score)
    listed = confident.issues(labels, sparse, guess.classes)
    suggested = confident.suggestions(labels, sparse)
    sure = sparse.judged & (guess.classes == suggested)
    # Where a network hardly knows a class, it doubts right labels too: to leave, an image must be
    # doubted more than the others of its class.
    leaving = listed & (sparse.given < fields.below * limits[labels])
    decision = cleaning.decide(labels, leaving, scores, suggested, sure, size, fields.rule,
                               fields.keep)
    rates = confident.noise_rates(confident.joint(labels, guess.classes, size), size)
    return Result(train, scores, listed, suggested, sure, decision, rates, guess.uncertain)


def summary(result, fields):
    """The dict that audit.json holds."""
    labels, names, counts = result.train.labels, result.train.class_names, result.train.counts
    marks = dict(zip(_MARKS, (result.listed, result.decision.dropped,
                              result.decision.labels != labels), strict=True))
    by_class = {name: np.bincount(labels[mark], minlength=len(names))
                for name, mark in marks.items()}
    return {
        'images': len(labels), 'not_judged': int(np.isnan(result.scores).sum()),
        'noise': float((result.rates * counts).sum() / counts.sum()),
        **{name: int(mark.sum()) for name, mark in marks.items()},
        'uncertain': result.uncertain,
        **{name: fields[name] for name in ('score', 'rule', 'below', 'keep')},
        'groups': cleaning.group_sums(labels, metrics.class_groups(counts), len(names), marks),
        'classes': {name: {'images': int(counts[k]), 'noise': round(float(result.rates[k]), 6),
                           **{mark: int(sums[k]) for mark, sums in by_class.items()}}
                    for k, name in enumerate(names)}}


def _write(folder, result, given, fields):
    train, decision = result.train, result.decision
    names, classes, counts = records.names(train), train.class_names, train.counts
    listed = np.flatnonzero(result.listed)
    listed = listed[np.argsort(result.scores[listed], kind='stable')]
    clean_list.write_rows(folder / ISSUES, COLUMNS, (
        (bytes(names[i]), classes[train.labels[i]], classes[result.suggested[i]],
         f'{result.scores[i]:.6f}', counts[train.labels[i]]) for i in listed))
    kept = np.flatnonzero(~decision.dropped)
    clean_list.write_audited(folder / CLEANED, train.subset(np.arange(len(train)), given), kept,
                             decision.labels[kept])
    with files.replacing(folder / SCORES) as temporary:
        np.savez(temporary, score=result.scores, listed=result.listed, given=train.labels,
                 dropped=decision.dropped, suggested=result.suggested, sure=result.sure)
    told = summary(result, fields)
    files.write_json(folder / SUMMARY, told)
    print(f'{folder / ISSUES}: {told["listed"]:,} of {len(train):,} labels are probably wrong; '
          f'estimated noise {told["noise"]:.1%}. {folder / CLEANED}: {told["dropped"]:,} images '
          f'dropped, {told["relabelled"]:,} relabelled.')


def _write_duplicates(config, folder, train):
    features, good = judges.features(config, folder, train)
    found = duplicates.pairs(features, good, config.audit.duplicate_similarity)
    duplicates.write(folder, train, found)
    differing = int((train.labels[found[0]] != train.labels[found[1]]).sum())
    print(f'{folder / duplicates.NAME}: {len(found[0]):,} pairs of nearly the same image, '
          f'{differing:,} of them under two labels.')
