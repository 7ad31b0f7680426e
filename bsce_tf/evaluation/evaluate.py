"""evaluate(config, workdir): the errors of trained runs, of each and of their top-1 vote."""

import pathlib
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from bsce_tf import files
from bsce_tf.data.view import View
from bsce_tf.errors import InputError
from bsce_tf.evaluation import (
    adjust,
    counts,
    ensemble,
    networks,
    run_config,
    run_data,
    tables,
)
from bsce_tf.models.network import Network
from bsce_tf.training import strategy, workdir

ENSEMBLE, OTHER_BAD_IMAGES = 'ensemble.json', 'eval_bad_images.csv'
TTA, VOTE, MEAN = 'tta', 'vote', 'mean'  # rows: scales averaged; top-1 vote; mean probability


class Candidate(NamedTuple):
    """A set of weights to evaluate.

    Attributes:
      run: the `workdir.Run`.
      network: its `Network`.
      view: the `View` of its crops; candidates may share one.
      scales: scales of the view with a row each in the result.
      tta: whether there is a row for the average over the network's scales, the first of `scales`.
    """

    run: workdir.Run
    network: Network
    view: View
    scales: tuple
    tta: bool


def evaluate(config, folder, data=None):
    """Evaluates runs on the test set of `config.data`, or else on the validation set.

    Writes eval.json, eval.md and eval.csv into the folder of every run: errors (`metrics.summary`,
    NaN is null) of its selected weights at `image.eval_scale`; `scales`: errors at each test scale
    and with the features of all scales averaged (`tta`; the paper's Table 3); `weights`: errors of
    each kind of weights, if there are several. For several runs also writes ensemble.json, .md and
    .csv: `tta` of each, their top-1 vote (Table 4) and the mean of their probabilities.

    If the data are not the first run's own, bad images are listed in eval_bad_images.csv instead of
    the run's list, and `other_data` in eval.json says which fields differ.

    Args:
      config: ConfigDict; data, tta, adjust, batch_size, evaluate, strategy and replicas are used.
        Network, crops and seed are the runs' own.
      folder: of the run, or a string of folders with commas between.
      data: `examples.Splits` to use instead of `config.data`.

    Returns:
      The dict of eval.json or, for several runs, of ensemble.json; None on workers other than the
      chief.

    Raises:
      InputError: if a folder holds no trained run, classes differ, or an image is bad and
        `data.on_error` is 'stop'.
      RunError: if no good image is left.
    """
    if not strategy.is_chief(config.strategy):
        return None  # only the chief evaluates, on its own devices
    devices = strategy.of_this_machine(config.strategy, config.replicas)
    runs = [workdir.read(path) for path in run_config.folders(folder)]
    networks.check_classes(runs)
    output = pathlib.Path(config.evaluate.output or runs[0].folder)
    if len(runs) > 1 and output.is_file():
        raise InputError(f'evaluate.output: {output} is a file; expected a folder.')
    others = [run_data.other(config, run, data) for run in runs]
    data = run_data.load(config, runs, data)
    name, examples = run_data.evaluated(data, runs)
    taus = adjust.taus(config, runs, devices, data)
    if config.adjust.tau == adjust.AUTO and name == 'validation':
        logging.warning('adjust.tau: chosen on the images that it is evaluated on, as there is no '
                        'test set; the errors are too low.')
    bad = bad_images(config, runs[0], others[0])
    with devices.scope():
        candidates = _candidates(runs, config.tta.scales, taus)
    views = list(dict.fromkeys(candidate.view for candidate in candidates))
    found = counts.count(
        examples, views,
        lambda crops: _rankings(candidates, dict(zip(views, crops, strict=True)), len(runs) > 1),
        devices, config.batch_size, bad, 'evaluate')
    errors = found.errors(runs[0].data['counts'])
    results = [_report(run, name, candidates, errors, tau, other)
               for run, tau, other in zip(runs, taus, others, strict=True)]
    if len(runs) == 1:
        return results[0]
    return _report_ensemble(output, runs, name, errors)


def bad_images(config, run, other):
    """The `BadImages` of an evaluation; other data have a list apart from the run's own."""
    files.remove(run.folder / OTHER_BAD_IMAGES)  # of an earlier evaluation
    return workdir.bad_images_of(config, run.folder,
                                 OTHER_BAD_IMAGES if other else workdir.BAD_IMAGES)


def _candidates(runs, scales, taus):
    """Candidates: the selected weights of each run first, then all other kinds of weights."""
    candidates, others = [], []
    for run, tau in zip(runs, taus, strict=True):
        network = adjust.adjusted(networks.of_run(run, scales), run, tau)
        wanted = tuple(dict.fromkeys((*network.view.scales, run.config.image.eval_scale)))
        candidates.append(Candidate(run, network, network.view.at(wanted), wanted, True))
        others += [(other, tau) for kind, other in workdir.kinds(run.folder).items()
                   if kind != run.best['kind']]
    for run, tau in others:
        scale = run.config.image.eval_scale
        network = adjust.adjusted(networks.of_run(run, (scale,)), run, tau)
        fitting = [view for *_, view, _, _ in candidates
                   if scale in view.scales and view == network.view.at(view.scales)]
        candidates.append(Candidate(run, network, (fitting or [network.view])[0], (scale,), False))
    return candidates


def _rankings(candidates, crops, voting):
    """Yields (row, ranking `[n, K]`); row: (index of a candidate, scale or TTA), VOTE or MEAN."""
    probabilities = []
    for i, (_, network, view, scales, tta) in enumerate(candidates):
        places = [view.scales.index(scale) for scale in scales]
        features, _ = network.outputs(tf.gather(crops[view], places, axis=1))
        for place, scale in enumerate(scales):
            yield (i, scale), network.logits(features[:, place:place + 1])
        if tta:
            logits = network.logits(features[:, :len(network.view.scales)])
            probabilities.append(tf.nn.softmax(logits))
            yield (i, TTA), logits
    if voting:
        probabilities = tf.stack(probabilities)
        yield VOTE, ensemble.ranking(probabilities)
        yield MEAN, tf.reduce_mean(probabilities, axis=0)


def _report(run, split, candidates, errors, tau, other):
    """Writes eval.json, .md and .csv of one run; returns the dict of eval.json."""
    mine = {place: candidate for place, candidate in enumerate(candidates)
            if candidate.run.folder == run.folder}
    scale = run.config.image.eval_scale
    place, selected = next(iter(mine.items()))
    kinds = {candidate.run.best['kind']: errors[place, candidate.run.config.image.eval_scale]
             for place, candidate in mine.items()}
    scales = {str(row): errors[place, row] for row in (*selected.network.view.scales, TTA)}
    result = {'split': split, **errors[place, scale], 'kind': run.best['kind'],
              'eval_scale': scale, 'adjust_tau': tau, 'scales': scales}
    if other:
        result['other_data'] = other
    rows = [((run.best['kind'], row), errors[place, row]) for row in (*selected.scales, TTA)]
    if len(kinds) > 1:
        result['weights'] = kinds
        rows += [((candidate.run.best['kind'], *candidate.scales), errors[i, row])
                 for i, candidate in mine.items() for row in candidate.scales if i != place]
    told = ', '.join(f'{name} = {value!r}' for name, value in other.items())
    print(f'{run.folder}: mean top-1 error {result["mean_top1_error"]:.4f} on the {split} set'
          f'{f" of other data ({told})" if other else ""}\n'
          f'{tables.markdown(("weights", "scale"), rows)}')
    _write(run.folder, workdir.EVALUATION, result, ('weights', 'scale'), rows)
    return result


def _report_ensemble(folder, runs, split, errors):
    """Writes ensemble.json, .md and .csv; returns the dict of ensemble.json."""
    folder.mkdir(parents=True, exist_ok=True)
    models = [{'folder': str(run.folder), 'backbone': run.config.model.backbone,
               'kind': run.best['kind'], **errors[i, TTA]} for i, run in enumerate(runs)]
    result = {'split': split, 'models': models, VOTE: errors[VOTE], MEAN: errors[MEAN]}
    rows = [((model['folder'], model['backbone']), model) for model in models]
    rows += [((f'top-1 vote of {len(runs)}', ''), errors[VOTE]),
             ((f'mean probability of {len(runs)}', ''), errors[MEAN])]
    print(f'{folder / ENSEMBLE}:\n{tables.markdown(("model", "backbone"), rows)}')
    _write(folder, ENSEMBLE, result, ('model', 'backbone'), rows)
    return result


def _write(folder, name, result, heads, rows):
    path = folder / name
    files.write_json(path, result)
    files.write_text(path.with_suffix('.md'), tables.markdown(heads, rows))
    files.write_text(path.with_suffix('.csv'), tables.csv_text(heads, rows))
