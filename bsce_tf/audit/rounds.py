"""clean_train(config, workdir): rounds of audit, cleaning and training, with a table of results."""

import csv
import io
import json

import keras

from bsce_tf import fields, files
from bsce_tf.audit import audit
from bsce_tf.data import clean_list, prepare
from bsce_tf.errors import InputError
from bsce_tf.evaluation import evaluate
from bsce_tf.termination import Terminated
from bsce_tf.training import resume, train, workdir

TABLE = 'rounds.csv'
COLUMNS = ('round', 'training_images', 'listed', 'dropped', 'relabelled', 'noise',
           'validation_error', 'split', 'mean_top1_error', 'head_error', 'medium_error',
           'tail_error')


def clean_train(config, folder):
    """Trains without cleaning, then audits, cleans and trains again `audit.rounds` times.

    Writes round-0/train, then round-i/audit and round-i/train for i = 1, 2, … (the folders of
    `audit.audit` and `train.train`) and, after every round, rounds.csv and rounds.md. Each round
    audits the images that the round before kept. Validation and test images are the same in every
    round. A stopped call resumes, and `audit.rounds` may be raised later.

    Args:
      config: ConfigDict with the fields of configs/default.py, checked.
      folder: path, missing, empty or of the same rounds.

    Returns:
      List of rows, dicts with the keys `COLUMNS`. `noise` is estimated of the labels that the round
      audited; `validation_error` is a mean top-1 error. Values of an audit are None in round 0,
      and the noise if the networks were too weak.

    Raises:
      InputError, RunError: as `audit.audit`, `train.train` and `evaluate.evaluate`.
    """
    audit.check_machine(config)
    if config.part or config.engine.name != 'none':
        found = f'part: found {config.part}' if config.part else (
            f'engine.name: found {config.engine.name}')
        raise InputError(f'{found} in rounds of audit and training, which follow one another; '
                         'expected none. A single audit takes parts.')
    folder = workdir.check(folder)
    with workdir.locked(folder), Terminated() as terminated, terminated.at_once(
            f'{folder}: told to stop; rounds that are done stay, and the same command resumes'):
        return _rounds(config, folder)


def _rounds(config, folder):
    """`clean_train` in a folder that this process holds."""
    plan = resume.plan(folder, config, fixed=fields.OF_ROUNDS)
    config = plan.config
    resume.claim(folder, plan)
    clean, rows = config.data.clean, []
    before, _ = clean_list.places(clean)
    _check_data(config, folder)
    for number in range(config.audit.rounds + 1):
        place = folder / f'round-{number}'
        done = (place / 'train' / workdir.EVALUATION).exists()
        if number:
            if not done:
                audit.audit(_with(config, clean), place / 'audit')
            cleaned = files.address(place / 'audit' / audit.CLEANED)  # the same on all machines
            clean = ','.join(filter(None, (before, cleaned)))
        if not done:
            _train(_with(config, clean), place / 'train')
        rows.append(_row(number, place))
        _write(folder, rows)
    print(_markdown(rows), end='')
    return rows


def _check_data(config, folder):
    """Raises InputError if rounds remain to be done and those done had other images."""
    first, last = (folder / f'round-{number}' / 'train' for number in (0, config.audit.rounds))
    if (first / workdir.DATA).exists() and not (last / workdir.EVALUATION).exists():
        workdir.check_data(first, prepare.load(**config.data, seed=config.seed))


def _with(config, clean):
    settings = config.copy_and_resolve_references()
    settings.data.clean = clean
    return settings


def _train(config, folder):
    keras.backend.clear_session()
    train.train(config, folder)
    evaluate.evaluate(config, folder)


def _row(number, place):
    told = json.loads((place / 'audit' / audit.SUMMARY).read_text()) if number else {}
    result = json.loads((place / 'train' / workdir.EVALUATION).read_text())
    data = json.loads((place / 'train' / workdir.DATA).read_text())
    best = json.loads((place / 'train' / workdir.BEST).read_text())
    return {'round': number, 'training_images': data['images'],
            **{name: told.get(name) for name in ('listed', 'dropped', 'relabelled', 'noise')},
            'validation_error': best[result['kind']]['error'],
            **{name: result[name] for name in COLUMNS[7:]}}


def _write(folder, rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(folder / TABLE, text.getvalue())
    files.write_text((folder / TABLE).with_suffix('.md'), _markdown(rows))


def _markdown(rows):
    lines = ['| round | training images | listed | dropped | relabelled | estimated noise '
             f'| mean top-1 error, validation | {rows[0]["split"]} |', '|' + '---:|' * 8]
    for row in rows:
        counts = [row[name] for name in COLUMNS[1:5]]
        rates = [row[name] for name in ('noise', 'validation_error', 'mean_top1_error')]
        cells = [str(row['round']), *('–' if count is None else f'{count:,}' for count in counts),
                 *('–' if rate is None else f'{rate:.4f}' for rate in rates)]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'
