"""The demo: trains the same network with CE and with BSCE and compares them in a table."""

import pathlib

import keras

from bsce_tf import files
from bsce_tf.evaluation import evaluate, tables
from bsce_tf.training import train

LOSSES = ('ce', 'bsce')


def run(config, workdir):
    """Trains and evaluates `config` with each loss, in workdir/<loss>; keeps finished runs.

    Args:
      config: ConfigDict; each loss replaces its loss.name.
      workdir: path of the folder of the runs and table.md.
    """
    folder = pathlib.Path(workdir)
    results = {}
    for loss in LOSSES:
        settings = config.copy_and_resolve_references()
        settings.loss.name = loss
        train.train(settings, folder / loss)
        results[loss] = evaluate.evaluate(settings, folder / loss)
        keras.backend.clear_session()
    text = tables.markdown(('loss',), [((loss,), result) for loss, result in results.items()])
    files.write_text(folder / 'table.md', text)
    print(f'\nErrors on the {results[LOSSES[0]]["split"]} set; head, medium and tail: means over a '
          f'third of the classes each, by training images\n\n{text}')
    print(f'Files: {folder}/table.md, and in {", ".join(f"{folder}/{loss}" for loss in LOSSES)}: '
          'config.json, metrics.csv, best.weights.h5, eval.json, tensorboard/, checkpoints/')
