"""The demo: the same network trained with CE and with BSCE, and one table of both."""

import pathlib

import keras

from bsce_tf import files
from bsce_tf.evaluation import evaluate
from bsce_tf.training import train

LOSSES = ('ce', 'bsce')
COLUMNS = {'mean_top1_error': 'mean top-1 error', 'top1_error': 'top-1 error',
           'head_error': 'head', 'medium_error': 'medium', 'tail_error': 'tail'}


def run(config, workdir):
    """Trains and evaluates `config` once with each loss, into workdir/<loss>; a finished run stays.

    Args:
      config: ConfigDict; its loss.name is replaced.
      workdir: folder of the runs, and of table.md.
    """
    folder = pathlib.Path(workdir)
    results = {}
    for loss in LOSSES:
        settings = config.copy_and_resolve_references()
        settings.loss.name = loss
        train.train(settings, folder / loss)
        results[loss] = evaluate.evaluate(settings, folder / loss)
        keras.backend.clear_session()
    text = table(results)
    files.write_text(folder / 'table.md', text)
    print(f'\nErrors on the {results[LOSSES[0]]["split"]} set; head, medium and tail: means over a '
          f'third of the classes each, by training images\n\n{text}')
    print(f'Files: {folder}/table.md, and in {", ".join(f"{folder}/{loss}" for loss in LOSSES)}: '
          'config.json, metrics.csv, best.weights.h5, eval.json, tensorboard/, checkpoints/')


def table(results):
    """Markdown of {name: what eval.json holds}, a row a name; a missing value is a dash."""
    rows = [['loss', *COLUMNS.values()], ['---', *['---:'] * len(COLUMNS)]]
    for name, errors in results.items():
        values = [errors[key] for key in COLUMNS]
        rows.append([name, *('–' if v is None else f'{v:.4f}' for v in values)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
             for row in rows]
    return '\n'.join(f'| {line} |' for line in lines) + '\n'
