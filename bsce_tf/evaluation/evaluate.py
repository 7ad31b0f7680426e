"""evaluate(config, workdir): the errors of trained runs, one by one and voting together."""

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
TTA, VOTE, MEAN = 'tta', 'vote', 'mean'  # rows: all scales; top-1 vote; mean probability


class Candidate(NamedTuple):
    """A set of weights to evaluate.

    Attributes:
      run: the `workdir.Run`.
      network: its `Network`.
      view: the `View` whose crops it takes, which others may share.
      scales: those of the view that get a row each.
      tta: whether all scales of the network, the first of `scales`, get a row together.
    """

    run: workdir.Run
    network: Network
    view: View
    scales: tuple
    tta: bool


def evaluate(config, folder, data=None):
    """Evaluates runs on the test set of `config.data`, or else on the validation set.

    Writes eval.json, eval.md and eval.csv into the folder of every run: errors (`metrics.summary`,
    NaN is null) of its selected weights at `image.eval_scale`; under `scales`, at each test scale
    and with the features of all averaged (`tta`; the paper's Table 3); under `weights`, of every
    kind of weights, where there are several. Several runs also write ensemble.json, .md and .csv:
    each with `tta`, their top-1 vote (Table 4) and the mean of their probabilities.

    With other data than the first run's own, bad images are listed in eval_bad_images.csv and not
    among the run's; eval.json then says under `other_data` in what they differ.

    Args:
      config: ConfigDict; data, tta, adjust, batch_size, evaluate, strategy and replicas are used.
        Network, crops and seed are the runs' own.
      folder: of the run, or a string of folders with commas between.
      data: `examples.Splits` to take instead of what `config.data` tells.

    Returns:
      The dict that eval.json holds, or, for several runs, that ensemble.json holds; None where
      this process is not the chief of several workers.

    Raises:
      InputError: if a folder holds no trained run, classes differ or an image is bad.
      RunError: if bad images are to be skipped and none is left.
    """
    if not strategy.is_chief(config.strategy):
        return None  # the chief does it, on its own devices
    devices = strategy.of_this_machine(config.strategy, config.replicas)
    runs = [workdir.read(path) for path in run_config.folders(folder)]
    networks.check_classes(runs)
    output = pathlib.Path(config.evaluate.output or runs[0].folder)
    if len(runs) > 1 and output.is_file():
        raise InputError(f'evaluate.output: {output} is a file; expected a folder.')
    others = [run_data.other(config, run, data) for run in runs]
    data = run_data.load(config, runs, data)
    name, examples = _examples(runs, data)
    taus = adjust.taus(config, runs, devices, data)
    if config.adjust.tau == adjust.AUTO and name == 'validation':
        logging.warning('adjust.tau: chosen on the images that it is evaluated on, as there is no '
                        'test set; the errors are too low.')
    bad = _bad_images(config, runs[0], others[0])
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


def _examples(runs, data):
    """(name of the split, its `Examples`)."""
    if data.test is not None and data.test.labelled:
        return 'test', data.test
    return 'validation', run_data.validation(data, runs)


def _bad_images(config, run, other):
    """The `BadImages` of an evaluation; those of other data are no concern of the run's list."""
    (run.folder / OTHER_BAD_IMAGES).unlink(missing_ok=True)  # of an earlier evaluation
    return workdir.bad_images_of(config, run.folder,
                                 OTHER_BAD_IMAGES if other else workdir.BAD_IMAGES)


def _candidates(runs, scales, taus):
    """Those of each run's selected weights first, then all other kinds."""
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
    """Yields (row, ranking `[n, K]`); a row is (place of a candidate, scale or TTA), or a name."""
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
    """Writes eval.json, .md and .csv of one run; returns what eval.json holds."""
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
    """Writes ensemble.json, .md and .csv; returns what ensemble.json holds."""
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
