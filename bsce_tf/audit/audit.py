"""audit(config, workdir): finds wrong labels of a training set, and lists what to train on."""

import os
from typing import NamedTuple

import numpy as np

from bsce_tf import division, fields, files, metrics
from bsce_tf.audit import cleaning, confident, duplicates, out_of_sample, quality
from bsce_tf.data import bad_images, clean_list, decisions, prepare
from bsce_tf.data.examples import Examples, Splits
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError
from bsce_tf.termination import Terminated
from bsce_tf.training import resume, workdir

ISSUES, CLEANED, SUMMARY, SCORES = ('label_issues.csv', 'cleaned.csv', 'audit.json', 'scores.npz')
COLUMNS = ('path', 'given_label', 'suggested_label', 'score', 'class_size', 'wrong')
_MARKS = ('listed', 'dropped', 'relabelled')


class Result(NamedTuple):
    """What an audit found, of N training images in their order.

    Attributes:
      train: the `Examples`, with the labels that were audited.
      scores: float64 `[N]`, low for labels that are probably wrong; NaN without a prediction.
      listed: bool `[N]`, whether label_issues.csv lists the image; all False if the networks are
        too weak.
      suggested: int32 `[N]`, the most probable class other than the given one.
      sure: bool `[N]`, whether the suggested class reaches its threshold.
      decision: a `cleaning.Decision`.
      rates: float64 `[K]`, estimated share of wrong labels of each class; NaN if the networks are
        too weak.
      interval: (lower, upper) end of the share of wrong labels, with 95 % sampling error: what
        errors of the networks cannot explain; what confident learning counts as wrong.
      uncertain: see `confident.Guess`.
      quality: the `quality.Quality` of the out-of-sample predictions; P(wrong) is 0 where a
        person decided.
      reviewed: bool `[N]`, whether a person decided on the label (`audit.reviewed`).
    """

    train: Examples
    scores: np.ndarray
    listed: np.ndarray
    suggested: np.ndarray
    sure: np.ndarray
    decision: cleaning.Decision
    rates: np.ndarray
    interval: tuple
    uncertain: int
    quality: quality.Quality
    reviewed: np.ndarray


class Audited(NamedTuple):
    """The data of an audit.

    Attributes:
      splits: `examples.Splits`, as a run sees them; the training labels are those to audit.
      given: int32 `[N]`, labels of the training images before any earlier audit or review.
      reviewed: bool `[N]`, whether a person decided on the label.
    """

    splits: Splits
    given: np.ndarray
    reviewed: np.ndarray


def audit(config, folder):
    """Audits the training set of `config.data`, as a run would train on it.

    `out_of_sample` predicts every image by a network that was not trained on it. From these
    probabilities, `confident` computes scores and the list of label issues. `quality` estimates how
    good the networks are and how probable it is that each label is wrong. `cleaning` then decides
    what to drop or to relabel. If the networks are too weak, nothing is listed or dropped. Writes:

    * label_issues.csv: `COLUMNS`, worst first.
    * cleaned.csv: the images and labels to train on, for `data.clean`.
    * audit.json: how good the networks are (key `networks`), the estimated noise with an interval,
      and what was listed, dropped and relabelled, by class and by size of class.
    * scores.npz: arrays of all images, in the order of the training set: scores, labels, decisions.
    * near_duplicates.csv: pairs of images that are nearly the same, see `duplicates`.

    After a change of fields that no probability depends on, such as `audit.rule`, another call
    trains nothing. With `part`, a call trains some of the folds, or predicts some of the images
    with `audit.model`; the one that ends last does the rest.

    Args:
      config: ConfigDict with the fields of configs/default.py, checked.
      folder: path, missing, empty or of the same audit.

    Returns:
      `Result`; None of a part that does not end last.

    Raises:
      InputError: if the folder, the data or a field is not as expected.
      RunError, PreemptedError: as `train.train`; the same command resumes.
    """
    check_machine(config)
    duplicates.check(config.audit.duplicate_similarity)
    folder, part = workdir.check(folder), division.of(config.part)
    if not config.audit.model and part.count > config.audit.folds:
        raise InputError(f'part: found {config.part} of an audit with {config.audit.folds} folds; '
                         'expected at most as many parts.')
    with workdir.locked(folder, part), Terminated() as terminated, terminated.at_once(
            f'{folder}: told to stop; networks and probabilities that are done stay, and the same '
            'command resumes'):
        return _audit(config, folder, part)


def _audit(config, folder, part):
    """`audit` of a part that this process holds."""
    config = config.copy_and_resolve_references()
    config.part = ''  # no part of what an audit is
    files.refresh(folder)  # other parts may have begun meanwhile
    plan = resume.plan(folder, config, fixed=fields.OF_AUDIT)
    config = plan.config
    data, given, reviewed = load(config)
    workdir.check_data(folder, data)
    resume.claim(folder, plan, part)
    workdir.describe(folder, data)
    predict, made = ((out_of_sample.by_model, out_of_sample.model_made) if config.audit.model else
                     (out_of_sample.by_folds, out_of_sample.folds_made))
    result = None

    def end():
        nonlocal result
        bad_images.gather(folder / workdir.BAD_IMAGES, part.all)
        result = find(data.train, *predict(config, folder, data), config.audit, reviewed)
        _write(folder, result, given, config.audit)
        if config.audit.duplicate_similarity:
            _write_duplicates(config, folder, data.train)

    if part.whole:
        end()
    else:
        predict(config, folder, data, part)
        division.join(folder, 'audit', lambda: made(config, folder, data, part.all), end)
    return result


def check_machine(config):
    """Raises InputError where several machines are asked for."""
    if config.strategy == 'multiworker' or os.environ.get('TF_CONFIG', '').strip():
        raise InputError('strategy: an audit runs on one machine, on all its GPUs; expected auto, '
                         'one or mirrored, and no TF_CONFIG.')


def load(config):
    """The `Audited` data of `config`: as a run sees them, after `audit.reviewed`.

    A removed image is not among them. One that was kept or got a label has the label of the
    decision, also where a list in `data.clean` leaves it out.
    """
    clean, audited = clean_list.places(config.data.clean)
    data = prepare.load(**{**config.data, 'clean': clean, 'trusted': ''}, seed=config.seed)
    train, before = data.train, data.train.labels
    indices, labels = np.arange(len(train)), before
    reviewed = np.zeros(len(train), bool)
    if audited:
        indices, labels = clean_list.select(train, audited)
        reviewed = reviewed[indices]
    if config.audit.reviewed:
        indices, labels, reviewed = decisions.applied(train, indices, labels,
                                                      config.audit.reviewed)
    if config.data.trusted:
        validation, left = prepare.apart(train, indices, config.data.trusted,
                                         config.data.copies)
        data = data._replace(validation=validation)
        indices, labels, reviewed = indices[left], labels[left], reviewed[left]
    if audited or config.audit.reviewed or config.data.trusted:
        train = train.subset(indices, labels)
    return Audited(data._replace(train=train), before[indices], reviewed)


def find(train, sparse, networks, fields, reviewed=None):
    """The `Result` of the two values of `out_of_sample`; `fields` is `config.audit`.

    Labels on which a person decided (`reviewed`, bool `[N]`) are right: they are not listed and
    stay as they are.
    """
    labels, size = train.labels, train.num_classes
    reviewed = np.zeros(len(train), bool) if reviewed is None else reviewed
    measured = quality.measure(labels, sparse, networks, size)
    measured = measured._replace(wrong=np.where(reviewed, 0.0, measured.wrong))
    limits = confident.thresholds(labels, sparse.given, size)
    guess = confident.guess(labels, sparse, limits)
    scores = confident.scores(labels, sparse, limits, fields.score)
    listed = confident.issues(labels, sparse, guess.classes) & ~reviewed & (not measured.weak)
    suggested = confident.suggestions(labels, sparse)
    sure = sparse.predicted & (guess.classes == suggested)
    # A network that hardly knows a class doubts its right labels too. So an image may only leave if
    # it is doubted more than others of its class, and its label is more probably wrong than right.
    leaving = (listed & (sparse.given < fields.threshold_factor * limits[labels])
               & (measured.wrong >= 0.5) & measured.known[labels] & measured.known[suggested])
    decision = cleaning.decide(labels, leaving, scores, suggested, sure, size, fields.rule,
                               fields.min_images_per_class)
    joint = confident.joint(labels, guess.classes, size)
    rates = _rates(train, measured)
    return Result(train, scores, listed, suggested, sure, decision, rates,
                  _interval(train.counts, rates, measured, confident.noise_rates(joint, size)),
                  guess.uncertain, measured, reviewed)


def _rates(train, measured):
    if measured.weak:
        return np.full(train.num_classes, np.nan)
    places = np.flatnonzero(~np.isnan(measured.wrong))
    wrong = np.bincount(train.labels[places], measured.wrong[places], train.num_classes)
    images = np.bincount(train.labels[places], minlength=train.num_classes)
    return np.where(images > 0, wrong / np.maximum(images, 1), measured.noise[0])


def _interval(counts, rates, measured, counted):
    """(lower, upper) end of the share of wrong labels, see `Result`."""
    noise, most = (float((values * counts).sum() / counts.sum()) for values in (rates, counted))
    most += 1.96 * np.sqrt(most * (1 - most) / counts.sum())
    return min(measured.noise[1], noise), min(max(measured.noise[2], noise, most), 1.0)


def summary(result, fields):
    """The dict that audit.json holds."""
    labels, names, counts = result.train.labels, result.train.class_names, result.train.counts
    marks = dict(zip(_MARKS, (result.listed, result.decision.dropped,
                              result.decision.labels != labels), strict=True))
    by_class = {name: np.bincount(labels[mark], minlength=len(names))
                for name, mark in marks.items()}
    weak = result.quality.weak
    return {
        'images': len(labels), 'not_judged': int(np.isnan(result.scores).sum()),
        'networks': _networks(result.quality),
        'noise': None if weak else float((result.rates * counts).sum() / counts.sum()),
        'noise_interval': None if weak else list(map(float, result.interval)),
        **{name: int(mark.sum()) for name, mark in marks.items()},
        'uncertain': result.uncertain, 'reviewed': int(result.reviewed.sum()),
        **{name: fields[name] for name in ('score', 'rule', 'threshold_factor',
                                           'min_images_per_class')},
        'groups': cleaning.group_sums(labels, metrics.class_groups(counts), len(names), marks),
        'classes': {name: {'images': int(counts[k]),
                           'noise': None if weak else round(float(result.rates[k]), 6),
                           **{mark: int(sums[k]) for mark, sums in by_class.items()}}
                    for k, name in enumerate(names)}}


def _networks(quality):
    images = sum(network['images'] for network in quality.networks)
    error = sum(network['images'] * network['error'] for network in quality.networks)
    return {'weak': quality.weak, 'error': error / images if images else None,
            'own_error': quality.own_error, 'unknown_classes': int((~quality.known).sum()),
            'models': quality.networks}


def networks_of(told):
    """How good the networks were, from the dict that audit.json holds."""
    return told['networks'] if 'networks' in told else told['judges']  # as of 0.1


def describe(told):
    """Sentences on the networks and the noise, from the dict that audit.json holds."""
    networks = networks_of(told)
    if networks['error'] is None:
        return 'No image has a prediction.'
    text = (f'The networks disagree with {networks["error"]:.1%} of the labels of images that they '
            f'were not trained on; {networks["own_error"]:.1%} is their own error.')
    if networks['weak']:
        return (f'{text} They are too weak to tell wrong labels from their own errors: nothing is '
                'listed, dropped or relabelled. Expected more training or more images.')
    low, high = told['noise_interval']
    return f'{text} Estimated noise {told["noise"]:.1%} ({low:.1%} to {high:.1%}).'


def _write(folder, result, given, fields):
    train, decision = result.train, result.decision
    names, classes, counts = records.names(train), train.class_names, train.counts
    listed = np.flatnonzero(result.listed)
    listed = listed[np.argsort(result.scores[listed], kind='stable')]
    clean_list.write_rows(folder / ISSUES, COLUMNS, (
        (bytes(names[i]), classes[train.labels[i]], classes[result.suggested[i]],
         f'{result.scores[i]:.6f}', counts[train.labels[i]], f'{result.quality.wrong[i]:.4f}')
        for i in listed))
    kept = np.flatnonzero(~decision.dropped)
    clean_list.write_audited(folder / CLEANED, train.subset(np.arange(len(train)), given), kept,
                             decision.labels[kept])
    with files.replacing(folder / SCORES) as temporary:
        np.savez(temporary, score=result.scores, listed=result.listed, given=train.labels,
                 dropped=decision.dropped, suggested=result.suggested, sure=result.sure,
                 wrong=result.quality.wrong)
    told = summary(result, fields)
    files.write_json(folder / SUMMARY, told)
    print(f'{folder / SUMMARY}: {describe(told)}\n'
          f'{folder / ISSUES}: {told["listed"]:,} of {len(train):,} labels are doubtful. '
          f'{folder / CLEANED}: {told["dropped"]:,} images dropped, {told["relabelled"]:,} '
          'relabelled.')


def _write_duplicates(config, folder, train):
    features, good = out_of_sample.features(config, folder, train)
    found = duplicates.pairs(features, good, config.audit.duplicate_similarity)
    duplicates.write(folder, train, found)
    differing = int((train.labels[found[0]] != train.labels[found[1]]).sum())
    print(f'{folder / duplicates.NAME}: {len(found[0]):,} pairs of nearly the same image, '
          f'{differing:,} of them under two labels.')
