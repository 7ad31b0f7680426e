"""How well an index answers for products that training never saw, and where a classifier is better.

    python -m experiments.neighbours [--conditions=fashion_mnist,drawings] [--seeds=0,1,2]

Half of the classes are held out of training (`data.unseen_classes`), drawn anew with each seed.

* `fashion_mnist`: 10 classes, clean and balanced, 18 epochs.
* `drawings`: 1,000 products of `experiments/drawings.py`, 100 to 5 images each; 20 epochs of 400
  steps. They are drawn first, into .data/drawings.

Arms: `half unseen`, and the same with a cosine head; `retrained`: a network that was trained on all
classes, which is what an index saves. The training images of all classes are the index, the test
images the queries. A second index, of the seen classes alone, measures the open set: its threshold
is chosen on validation images of seen classes, and test images of unseen ones are the unknown
products.

A run is a row of results/neighbours.csv and is not made again; a stopped run resumes.
--show only writes results/neighbours.md. --run_epochs and --run_steps make runs shorter, to try it.
"""

import json
import pathlib
import resource
import shutil
import time

import keras
from absl import app, flags

from bsce_tf import files
from bsce_tf.evaluation.neighbours import build, measure
from bsce_tf.training import train
from configs import fashion_mnist
from experiments import drawings, intervals, large_k, processes, rows, study
from experiments.provenance import provenance

EPOCHS = flags.DEFINE_integer('run_epochs', 0, 'Epochs of a run; 0: those of the condition.', 0)
STEPS = flags.DEFINE_integer('run_steps', 0, 'Steps of an epoch; 0: those of the condition.', 0)

NAME, KEY, SHARE = 'neighbours', ('condition', 'arm', 'seed'), 0.5
SEEDS = ['0', '1', '2']
CLASSES = 1000  # of the drawings
HALF, COSINE, RETRAINED = 'half unseen', 'half unseen, cosine head', 'retrained'
ARMS = {HALF: {}, COSINE: {'model.head': 'cosine'}, RETRAINED: {'data.unseen_classes': 0.0}}
CONDITIONS = ('fashion_mnist', 'drawings')
_BY = measure.vote.BY
_RETRIEVAL = ('recall_at_1', 'recall_at_5', 'mean_average_precision')


def get_config(condition):
    """Config of a condition: plain cross-entropy, clean labels."""
    if condition == 'drawings':
        config = large_k.get_config()
        config.data.update(root=str(large_k.FOLDER / str(CLASSES)), noise=0.0)
        config.epochs, config.optimizer.learning_rate = 20, 0.1
    else:
        config = fashion_mnist.get_config()
        config.data.update(imbalance=1.0, noise=0.0)
        config.schedule.name = 'cosine'
    config.loss.name, config.data.unseen_classes, config.deterministic = 'ce', SHARE, True
    config.epochs, config.steps = EPOCHS.value or config.epochs, STEPS.value or config.steps
    return config


def main(_):
    """Makes the rows that are missing, and the table."""
    if not study.SHOW.value:
        processes.run(study.PROCESSES.value)
    output = pathlib.Path(study.OUTPUT.value or f'results/{NAME}')
    runs = pathlib.Path(study.RUNS.value or f'runs/{NAME}')
    arms = study._some('arms', study.ARMS.value, ARMS)
    for condition in () if study.SHOW.value else study.conditions(CONDITIONS):
        if condition == 'drawings':
            drawings.write(large_k.FOLDER / str(CLASSES), CLASSES, drawings.LARGEST.value,
                           drawings.SMALLEST.value, drawings.TEST_IMAGES.value,
                           drawings.SEED.value)
        for seed in study.SEEDS.value or SEEDS:
            for arm in arms:
                _row(output.with_suffix('.csv'), runs, condition, arm, int(seed))
                _write(output)
    print(_write(output))


def _row(output, runs, condition, arm, seed):
    """Makes a row, unless it is there or another process is making it."""
    key = (condition, arm, str(seed))
    place = runs / condition / arm.replace(',', '') / str(seed)
    with rows.claimed(runs / 'locks' / '_'.join(key)) as mine:
        if not mine or key in rows.read(output, KEY):
            return
        keras.backend.clear_session()
        config, begin = get_config(condition), time.perf_counter()
        config.update_from_flattened_dict({**ARMS[arm], 'seed': seed})
        train.train(config, place / 'run')
        trained = time.perf_counter() - begin
        config.predict.by = 'both'
        found, indexed = _measured(config, place, 'all')
        opened = _measured(config, place, 'seen')[0]['open_set'] if arm != RETRAINED else None
        rows.add(output, KEY, {
            **dict(zip(KEY, key, strict=True)), **_cells(found['classes']), **_open_set(opened),
            'index_images': found['index_images'], 'epochs': config.epochs, 'steps': config.steps,
            'train_seconds': round(trained, 1), 'index_seconds': round(indexed, 1),
            'peak_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, **provenance(),
        }, runs / '.lock')
        shutil.rmtree(place)


def _measured(config, place, classes):
    """(dict of neighbours.json, seconds that the index took) with an index of some classes."""
    config.index.update(classes=classes, folder=str(place / f'index {classes}'))
    begin = time.perf_counter()
    build.build(config, place / 'run')
    seconds = time.perf_counter() - begin
    measure.evaluate(config, place / 'run')
    return json.loads((place / 'run' / measure.NAME).read_text(encoding='utf-8')), seconds


def _cells(classes):
    """Cells of a row: every measure of all, seen and unseen classes; '' where there is none."""
    found = {}
    for group, values in classes.items():
        for name in _RETRIEVAL:
            found[f'{group}_{name}'] = '' if values is None else values['retrieval'][name]
        for by in _BY:
            found[f'{group}_error_{by}'] = '' if values is None else values[by]['mean_top1_error']
    return found


def _open_set(opened):
    names = 'auroc', 'classifier_auroc', 'false_accepts', 'false_rejects'
    test = (opened or {}).get('test')
    return {'wanted_false_accepts': opened['false_accept_rate'] if test else '',
            **{f'open_{name}': test[name] if test else '' for name in names}}


def _write(output):
    """Writes the table of the rows that there are; returns it."""
    text = table(rows.read(output.with_suffix('.csv'), KEY))
    files.write_text(output.with_suffix('.md'), text)
    return text


def table(found):
    """Markdown of the rows, {key: row}: means ± standard deviations over seeds, and differences."""
    def values(condition, arm, column):
        return {key[2]: float(row[column]) for key, row in found.items()
                if key[:2] == (condition, arm) and row.get(column, '') != ''}

    heads = ('data', 'arm', 'classes', 'recall@1', 'recall@5', 'mAP',
             *(f'mean top-1 error, {by}' for by in _BY))
    lines = [f'| {" | ".join(heads)} |', '|---|---|---|' + '---:|' * (len(heads) - 3)]
    for condition in CONDITIONS:
        for arm in ARMS:
            for group in ('seen', 'unseen', 'all'):
                columns = [*(f'{group}_{name}' for name in _RETRIEVAL),
                           *(f'{group}_error_{by}' for by in _BY)]
                if arm == RETRAINED and group != 'all':
                    continue
                cells = [intervals.summary(values(condition, arm, name)) for name in columns]
                lines.append(f'| {" | ".join([condition, arm, group, *cells])} |')
    lines += ['', '| data | arm | classes | errors compared | difference, 95 % interval |',
              '|---|---|---|---|---:|']
    for condition in CONDITIONS:
        for arm in (HALF, COSINE):
            for group, first, second in (
                    ('seen', (arm, 'neighbours'), (arm, 'classifier')),
                    ('seen', (arm, 'both'), (arm, 'classifier')),
                    ('all', (arm, 'both'), (RETRAINED, 'classifier'))):
                one, other = (values(condition, who, f'{group}_error_{by}')
                              for who, by in (first, second))
                told = f'{first[1]} − {second[1]}' + (
                    ' of retrained' if second[0] == RETRAINED else '')
                lines.append(f'| {condition} | {arm} | {group} | {told} '
                             f'| {intervals.difference(one, other)} |')
    lines += ['', '| data | arm | AUROC, nearest cosine | AUROC, top probability '
              '| false accepts (wanted: 0.05) | false rejects |', '|---|---|---:|---:|---:|---:|']
    for condition in CONDITIONS:
        for arm in (HALF, COSINE):
            cells = [intervals.summary(values(condition, arm, f'open_{name}')) for name in (
                'auroc', 'classifier_auroc', 'false_accepts', 'false_rejects')]
            lines.append(f'| {" | ".join([condition, arm, *cells])} |')
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    app.run(main)
