"""predict(config, workdir): writes the top-k classes of images to a file."""

import hashlib
import os
import pathlib

import numpy as np

from bsce_tf import division, files, progress
from bsce_tf.data import bad_images
from bsce_tf.data.images import check
from bsce_tf.data.reading import parallel, records
from bsce_tf.errors import InputError
from bsce_tf.evaluation import adjust, inputs, joined, partial, predictors, run_config
from bsce_tf.evaluation.neighbours import build
from bsce_tf.evaluation.neighbours.predictor import Neighbours
from bsce_tf.termination import Terminated
from bsce_tf.training import strategy, workdir

NAME = 'predictions.csv'
_FEW = 10  # bad images that are always tolerated, however small the set is
_LOOK = 1000  # images whose headers are checked first, at most


def predict(config, folder):
    """Predicts `predict.input` with the runs in `folder`, or with the SavedModel `predict.model`.

    Writes `predict.output`, one row per image, in order:

    * format csv: path, class_1 … class_k (names, best first), score_1 … score_k (probabilities; of
      several runs their mean) and, for several runs, votes_1 … votes_k. With `predict.by`
      neighbours or both, score_1 … are as `index.vote` defines them, and `predictor.Neighbours`
      says which columns come last.
    * format aliproducts: id, predicted: file name and class name (an id in AliProducts), as a
      participant's published code writes the challenge's submission.

    Until it is complete the file is called NAME.partial; after a stop, the same command resumes it.
    With `data.on_error = skip`, a bad image gets a row of empty cells and is listed, with the
    reason, in NAME_bad_images.csv (NAME without suffix) beside the output; more than 10 bad images
    and more than `data.max_bad_fraction` are an error. With `stop`, the first bad image is one. The
    headers of up to 1,000 images, evenly spread, are checked before the network is built.

    With `part`, i/n, NAME.part-i-of-n.csv gets the rows of one part of the images, in whole
    batches, so that they are those of one process. The part that ends last joins all, see `joined`.

    Args:
      config: ConfigDict; part, data, predict, index, neighbours, tta, adjust, batch_size, strategy
        and replicas are used.
      folder: of the run, or a string of folders with commas between.

    Raises:
      InputError: if images or models are missing, an image is bad, or there is a partial file of
        another input, other models or another format.
      RunError: if the SavedModel fails on good images, or another process writes the output.
      PreemptedError: after SIGTERM or Ctrl-C.
    """
    folders = run_config.folders(folder)
    output = pathlib.Path(config.predict.output or folders[0] / NAME)
    part = division.of(config.part)
    own = part.file(output)
    with part.held(output.parent, f'.{output.name}.lock', 'predict.output'), (
            Terminated()) as terminated, terminated.at_once(
                f'{own}: told to stop; rows that are done stay in {own.name}.partial, and '
                'the same command resumes'):
        _predict(config, folders, output, part)


def _predict(config, folders, output, part):
    """`predict` of a part to a file that this process has locked."""
    fields = config.predict
    devices = strategy.of_this_machine(config.strategy, config.replicas)
    if fields.model and config.adjust.tau:
        raise InputError(f'adjust.tau: found {config.adjust.tau} with predict.model; expected 0: τ '
                         'of a SavedModel is set when it is exported.')
    by = fields.by
    if by != 'classifier' and (fields.model or (
            fields.format == 'aliproducts' and config.neighbours.reject != 'off')):
        raise InputError(f'predict.by: found {by} with ' + (
            'predict.model; expected classifier: a SavedModel answers by itself.' if fields.model
            else 'neighbours.reject and predict.format = aliproducts, which has no place for "not '
            'in the catalogue"; expected neighbours.reject = off.'))
    runs = [] if fields.model else [workdir.read(path) for path in folders]
    seed = runs[0].config.seed if runs else config.seed
    examples, names = inputs.load(fields.input, data=config.data, seed=seed)
    made_of = {'input': _fingerprint(examples, names), 'contents': records.contents(examples)}
    count, own = len(examples), part.file(output)
    if not part.whole:
        examples, names = _part(config, part, examples, names)
        made_of |= {'images': count, 'batch_size': config.batch_size}
    most = max(config.data.max_bad_fraction * count, _FEW)
    few = _FEW if part.whole else most
    bad = None if not part.whole and own.exists() else _bad_images(config, own, examples, few)
    predictor = _predictor(config, folders, runs, devices)
    columns = _aliproducts if fields.format == 'aliproducts' else _csv
    firsts, header, row = columns([os.fsdecode(name) for name in names.tolist()], predictor)
    made_of |= {'models': predictor.fingerprints}
    if part.whole or not joined.finished(own, header, made_of):
        bad = bad or _bad_images(config, own, examples, few)
        if not part.whole:
            joined.begin(own, header, made_of)
        rows = partial.Rows(own, header, firsts, made_of, config.batch_size)
        _write(rows, firsts, row, len(header), predictor, examples, config.batch_size, bad)
        note = f', {rows.empty:,} of them bad: see {_list_of(own)}'
        print(f'{own}: {len(examples):,} images{note if rows.empty else ""}')
    if not part.whole:
        joined.join(output, part, header, made_of, _list_of, most)


def _part(config, part, examples, names):
    """(`Examples`, names) of a part, in whole batches, so that they are those of one process."""
    batches = -(-len(examples) // config.batch_size)
    if part.count > batches:
        raise InputError(f'part: found {config.part} of {len(examples)} images in batches of '
                         f'{config.batch_size}; expected at most {batches} parts, one a batch.')
    first, end = part.span(len(examples), config.batch_size)
    return examples.subset(np.arange(first, end)), names[first:end]


def _predictor(config, folders, runs, devices):
    """What answers, as one of `predictors` or by neighbours."""
    fields = config.predict
    if not runs:
        return predictors.SavedModel(fields.model, fields.top_k)
    taus = adjust.taus(config, runs, devices)
    if fields.by == 'classifier':
        return predictors.Runs(runs, config.tta.scales, fields.top_k, devices, taus)
    return Neighbours(config, build.place_of(config, folders), runs, devices, taus)


def _list_of(output):
    """Path of the list of bad images."""
    return output.with_name(f'{output.stem}_{workdir.BAD_IMAGES}')


def _bad_images(config, output, examples, few):
    """The `BadImages` of the prediction, after a check of some headers; `few` never stop it."""
    listed = _list_of(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    if not partial.begun(output):
        files.remove(listed)  # of an earlier prediction
    bad = bad_images.BadImages(config.data.on_error, config.data.max_bad_fraction,
                               config.data.max_pixels, listed, config.seed, few)
    if examples.images is None:
        looked_at = np.unique(np.linspace(0, len(examples) - 1, _LOOK).astype(int))
        images = parallel.each(records.of(examples), looked_at, examples.storage.readers)
        for i, image in zip(looked_at, images, strict=True):
            if isinstance(image, InputError) or not check.has_header(image):
                bad.leave_out(examples, i)  # decodes it, so that the reason is the usual one
    return bad


def _write(rows, firsts, row, width, predictor, examples, batch_size, bad):
    """Adds the missing rows; those written stay if an error occurs."""
    try:
        with progress.Bar('predict', len(examples), done=rows.done) as bar:
            if rows.done < len(examples):
                for found in predictor.answers(examples, batch_size, bad, rows.done):
                    batch = firsts[rows.done:rows.done + len(found.good)]
                    rows.append([[first, *(row(found, i) if good else [''] * (width - 1))]
                                 for i, (first, good) in enumerate(
                                     zip(batch, found.good, strict=True))])
                    bar.update(len(batch))
    except BaseException:
        rows.close()
        raise
    rows.finish()


def _csv(names, predictor):
    """(first cells, header, function of `Answers` and an index that gives the other cells)."""
    groups = ('class', 'score', 'votes') if predictor.voting else ('class', 'score')
    header = ['path', *(f'{group}_{i + 1}' for group in groups for i in range(predictor.top_k)),
              *predictor.columns]

    def row(found, i):
        votes = found.votes[i] if predictor.voting else []
        more = found.more[i] if predictor.columns else []
        return [*map(_text, found.classes[i]), *(f'{score:.6f}' for score in found.scores[i]),
                *votes, *more]

    return names, header, row


def _aliproducts(names, predictor):
    """As `_csv`: the header and file names without folders of AliProducts-Challenge's test.py."""
    return ([os.path.basename(name) for name in names], ['id', 'predicted'],
            lambda found, i: [_text(found.classes[i][0])])


def _text(name):
    return name.decode('utf-8') if isinstance(name, bytes) else name


def _fingerprint(examples, names):
    digest = hashlib.sha256(records.place(examples).encode(errors='surrogateescape'))
    for name in names.tolist():
        digest.update(name + b'\0')
    return digest.hexdigest()
