"""predict(config, workdir): the best classes of images, in a file."""

import hashlib
import os
import pathlib

from tqdm import tqdm

from bsce_tf.data import bad_images
from bsce_tf.evaluation import inputs, partial, predictors, run_config
from bsce_tf.training import strategy, workdir

NAME = 'predictions.csv'


def predict(config, folder):
    """Predicts `predict.input` with the runs in `folder`, or with the SavedModel `predict.model`.

    Writes `predict.output`, a row an image, in order:

    * format csv: path, class_1 … class_k (names, best first), score_1 … score_k (probabilities,
      of several runs their mean) and, of several runs, votes_1 … votes_k.
    * format aliproducts: id, predicted: name of the file and class id, as a participant's published
      code writes the challenge's submission.

    Until it is complete it is called NAME.partial; the same command goes on there after it was
    stopped. With `data.on_error = skip` a bad image has a row with empty cells and is listed in
    bad_images.csv beside the output; with stop it ends the run, naming the file.

    Args:
      config: ConfigDict; data, predict, tta, batch_size, strategy and replicas are used.
      folder: of the run, or a string of folders with commas between.

    Raises:
      InputError: if there is nothing to predict or to predict with, an image is bad, or there is a
        partial file of another input, other models or another format.
      RunError: if the SavedModel fails on good images.
    """
    fields = config.predict
    folders = run_config.folders(folder)
    output = pathlib.Path(fields.output or folders[0] / NAME)
    devices = strategy.of_this_machine(config.strategy, config.replicas)
    if fields.model:
        examples, names = inputs.load(fields.input, data=config.data, seed=config.seed)
        predictor = predictors.SavedModel(fields.model, fields.top_k)
    else:
        runs = [workdir.read(path) for path in folders]
        examples, names = inputs.load(fields.input, data=config.data, seed=runs[0].config.seed)
        predictor = predictors.Runs(runs, config.tta.scales, fields.top_k, devices)
    columns = _aliproducts if fields.format == 'aliproducts' else _csv
    firsts, header, row = columns([os.fsdecode(name) for name in names.tolist()], predictor)
    made_of = {'input': _fingerprint(examples, names), 'models': predictor.fingerprints}
    rows = partial.Rows(output, header, firsts, made_of, config.batch_size)
    bad = bad_images.BadImages(config.data.on_error, config.data.max_bad_fraction,
                               config.data.max_pixels, output.parent / workdir.BAD_IMAGES,
                               config.seed)
    left_out = _write(rows, firsts, row, len(header), predictor, examples, config.batch_size, bad)
    note = f', {left_out:,} of them bad: see {output.parent / workdir.BAD_IMAGES}'
    print(f'{output}: {len(examples):,} images{note if left_out else ""}')


def _write(rows, firsts, row, width, predictor, examples, batch_size, bad):
    """Adds the rows that lack, which stay if an error ends it; returns the number of bad images."""
    left_out = 0
    try:
        with tqdm(total=len(examples), initial=rows.done, unit='image', desc='predict',
                  disable=None) as progress:
            if rows.done < len(examples):
                for found in predictor.answers(examples, batch_size, bad, rows.done):
                    batch = firsts[rows.done:rows.done + len(found.good)]
                    rows.append([[first, *(row(found, i) if good else [''] * (width - 1))]
                                 for i, (first, good) in enumerate(
                                     zip(batch, found.good, strict=True))])
                    progress.update(len(batch))
                    left_out += int((~found.good).sum())
    except BaseException:
        rows.close()
        raise
    rows.finish()
    return left_out


def _csv(names, predictor):
    """(first cells, header, function of `Answers` and number that gives the other cells)."""
    groups = ('class', 'score', 'votes') if predictor.voting else ('class', 'score')
    header = ['path', *(f'{group}_{i + 1}' for group in groups for i in range(predictor.top_k))]

    def row(found, i):
        votes = found.votes[i] if predictor.voting else []
        return [*map(_text, found.classes[i]), *(f'{score:.6f}' for score in found.scores[i]),
                *votes]

    return names, header, row


def _aliproducts(names, predictor):
    """As `_csv`: the header and file names without folders of AliProducts-Challenge's test.py."""
    return ([os.path.basename(name) for name in names], ['id', 'predicted'],
            lambda found, i: [_text(found.classes[i][0])])


def _text(name):
    return name.decode('utf-8') if isinstance(name, bytes) else name


def _fingerprint(examples, names):
    place = examples.origin if examples.paths is None else os.path.realpath(examples.root)
    digest = hashlib.sha256(place.encode(errors='surrogateescape'))
    for name in names.tolist():
        digest.update(name + b'\0')
    return digest.hexdigest()
