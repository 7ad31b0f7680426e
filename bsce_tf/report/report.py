"""report(config, workdir): writes report.html on one or several trained runs or audits."""

import json
import math
import pathlib

import numpy as np
from absl import logging

import bsce_tf
from bsce_tf import files
from bsce_tf.errors import InputError, StorageError
from bsce_tf.evaluation import adjust, run_config
from bsce_tf.report import (
    details,
    findings,
    mistakes,
    overview,
    predictions,
    results,
    style,
    wrong_labels,
)
from bsce_tf.report.details import Detail
from bsce_tf.report.markup import Markup, element, join, plural
from bsce_tf.report.thumbnails import Thumbnails
from bsce_tf.training import strategy, workdir

PAGE = 'report.html'
_WHOLE = 4  # with more runs, they share the pictures of so many


def report(config, folder):
    """Writes a page on one or several runs: a single file that needs no network.

    It begins with what to know first, in words, see `findings`. Of a run it shows curves, errors,
    errors of classes by their size, confused pairs, the worst classes, the most confident mistakes,
    bad images and the config. For classes and mistakes, the model predicts its test set, or else
    its validation set, with the logit adjustment of its evaluation (see `adjust`); the predictions
    are cached in the run's report_cache.npz. Of an audit it shows the noise of the worst classes,
    and the worst labels beside other images of both classes. A note on the page says what cannot be
    shown, such as missing images.

    Args:
      config: ConfigDict; only report, strategy and replicas are used. The rest comes from the runs.
      folder: of a run or an audit, or a string of folders with commas between.

    Returns:
      pathlib.Path of the page: `report.output`, or report.html in the first folder.

    Raises:
      InputError: if a folder holds neither a trained run nor an audit, a file of them is damaged,
        or the page cannot be written.
    """
    folders = run_config.folders(folder)
    output = pathlib.Path(config.report.output or folders[0] / PAGE)
    if output.is_dir():
        raise InputError(f'report.output: {output} is a folder; expected a file, as {PAGE}.')
    named = list(zip(folders, _names(folders), strict=True))
    audits = [wrong_labels.read(path, name) for path, name in named if wrong_labels.present(path)]
    found = [results.read(path, name) for path, name in named
             if (path / workdir.BEST).exists() or not wrong_labels.present(path)]
    ensemble = results.read_errors(folders[0] / results.ENSEMBLE)
    loaded, devices = {}, strategy.of_this_machine(config.strategy, config.replicas)
    shown = [_detail(item, loaded, devices) for item in found]
    page = _page(shown, audits, ensemble, config.report)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(output, page)
    except OSError as error:
        raise InputError(f'report.output: {output}: {error.strerror or error}; expected a file '
                         'that can be written.') from error
    counts = [plural(len(part), name) for part, name in ((found, 'run'), (audits, 'audit')) if part]
    print(f'{output}: {", ".join(counts)}, {len(page.encode()) / 2**20:.1f} MiB')
    return output


def _names(folders):
    """The last part of each path, or whole paths if two of these are the same."""
    names = [path.resolve().name for path in folders]
    return names if len(set(names)) == len(names) else [str(path) for path in folders]


def _detail(item, loaded, devices):
    """The `Detail` of a run; `loaded` keeps data for runs that share it."""
    run, notes = item.run, []
    answers = classes = None
    errors, split = dict(item.evaluation or {}), (item.evaluation or {}).get('split')
    try:
        key = json.dumps([run.config.data.to_dict(), run.config.seed, run.class_names])
        if key not in loaded:
            loaded[key] = predictions.load_data(run)
        name, examples, train = loaded[key]
    except (InputError, StorageError, OSError) as error:
        logging.warning('%s: its data cannot be read: %s', run.folder, error)
        notes.append(f'its data cannot be read, so its classes and mistakes are not shown: {error}')
    else:
        tau = _tau(item, devices)
        if tau:
            notes.append(f'its logits are adjusted with τ = {tau:g} (adjust.tau).')
        answers = predictions.Answers(name, examples, train,
                                      predictions.of_run(run, examples, devices, tau))
        classes = mistakes.by_class(examples.labels, answers.predictions, run.data['counts'])
        mine = mistakes.summary(classes)
        notes += _compare(item, name, mine)
        if not item.evaluation:
            errors, split = mine, name
        # the pass may have found bad images
        item = item._replace(bad_images=results.read_bad_images(run.folder / workdir.BAD_IMAGES))
    if not item.evaluation:
        notes.append(f'no {workdir.EVALUATION}; --mode=evaluate writes it.'
                     + (' Its errors here are those of this report.' if errors else ''))
    return Detail(item, answers, classes, split, errors, [
        element('p', f'{item.name}: {note}', class_='note') for note in notes])


def _tau(item, devices):
    """τ of the logit adjustment: from eval.json, or else from the run's config."""
    config = item.run.config
    if item.evaluation and 'adjust_tau' in item.evaluation:
        return item.evaluation['adjust_tau']
    return adjust.taus(config, [item.run], devices)[0]


def _compare(item, split, mine):
    """A note if eval.json does not fit the errors that this report found."""
    other = (item.evaluation or {}).get('other_data')
    if other:
        return [f'{workdir.EVALUATION} is of other data than its own '
                f'({", ".join(f"{key} = {value!r}" for key, value in other.items())}); this '
                "report uses the run's own data; --mode=evaluate updates it."]
    told = (item.evaluation or {}).get('mean_top1_error')
    found = mine.get('mean_top1_error', np.nan)
    if told is None or np.isnan(found):
        return []
    if item.evaluation.get('split') != split:
        return [f'{workdir.EVALUATION} is of the {item.evaluation.get("split")} set, and this '
                f'report uses the {split} set.']
    if math.isclose(told, found, abs_tol=1e-9):
        return []
    return [f'{workdir.EVALUATION} has a mean top-1 error of {told:.6f}, and this report found '
            f'{found:.6f}; --mode=evaluate updates it.']


def _page(runs, audits, ensemble, fields):
    limits = [*(run.results.run.config.data.max_pixels for run in runs),
              *(found.max_pixels for found in audits)]
    thumbnails = Thumbnails(0 if 0 in limits else max(limits))  # 0: no limit
    pairs, errors = (max(number * _WHOLE // max(len(runs), _WHOLE), min(number, 2))
                     for number in (fields.pairs, fields.errors))
    parts = [(f'run{i}', run.results.name, details.section(run, thumbnails, pairs, errors))
             for i, run in enumerate(runs)]
    if runs:
        parts = [('errors', 'Errors', overview.errors(runs, ensemble)),
                 ('curves', 'Curves', overview.history(runs)), *parts]
    parts += [(f'audit{i}', f'Wrong labels: {found.name}', wrong_labels.section(found, thumbnails))
              for i, found in enumerate(audits)]
    if runs:
        parts.append(('config', 'Config', overview.config(runs)))
    shown = [*((run.results.name, run.results.run.folder) for run in runs),
             *((found.name, found.folder) for found in audits)]
    names, folders = (list(dict.fromkeys(column)) for column in zip(*shown, strict=True))
    title = f'{names[0]}: report' if len(names) == 1 else (
        f'Report of {len(names)} {"runs" if runs and not audits else "folders"}')
    contents = element('nav', element('ul', *(
        element('li', element('a', text, href=f'#{name}')) for name, text, _ in parts)),
        aria_label='Contents')
    body = join([
        element('header', element('div', element('h1', title), element(
            'p', ', '.join(map(str, folders)), class_='soft'), contents)),
        element('main', overview.cards(runs, ensemble) if runs else None,
                findings.section(runs, ensemble, audits), *(
            element('section', element('h2', text), part, id=name) for name, text, part in parts)),
        element('footer', f'bsce-tf {bsce_tf.__version__}. An error is the share of images whose '
                'most probable class is not the label; the mean top-1 error is its mean over '
                'classes.')])
    head = element('head', element('meta', charset='utf-8'), element(
        'meta', name_='viewport', content='width=device-width, initial-scale=1'),
        element('title', title), element('style', Markup(style.CSS)))
    return f'<!DOCTYPE html>\n{element("html", head, element("body", body), lang="en")}\n'
