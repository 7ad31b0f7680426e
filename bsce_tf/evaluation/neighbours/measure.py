"""evaluate(config, workdir): errors by the classifier, or by the nearest images of an index."""

import numpy as np
from absl import logging

from bsce_tf import files, metrics
from bsce_tf.data import label_map, prepare
from bsce_tf.errors import InputError
from bsce_tf.evaluation import adjust, run_config, run_data
from bsce_tf.evaluation import evaluate as by_classifier
from bsce_tf.evaluation.neighbours import answers, build, recall_tables, unknown
from bsce_tf.evaluation.neighbours.look_up import look_up
from bsce_tf.evaluation.neighbours.vectors import Embedder
from bsce_tf.index import measures, vote
from bsce_tf.training import strategy, workdir

NAME = 'neighbours.json'
ALL, SEEN, UNSEEN = 'all', 'seen', 'unseen'  # classes of the run: every one; with training images


def evaluate(config, folder, data=None):
    """Evaluates as `predict.by` says; `classifier`: `bsce_tf.evaluation.evaluate.evaluate`.

    With `neighbours` or `both`, images of the test set of `config.data`, or else of its validation
    set, are looked up in the index of the runs. Writes neighbours.json, .md and .csv into the first
    folder. Of all images whose class the index or the run has, and of those of classes that the run
    was trained on (`seen`) and was not (`unseen`):

    * `retrieval`: recall@1 and @5, mean average precision (see `measures`), of images whose class
      is in the index;
    * `classifier`, `neighbours`, `both`: mean top-1 error over classes, top-1 and top-5 error.

    `open_set` tells how images of unknown products are told from those of known ones, see
    `unknown`; its threshold is also written into the folder of the index.

    Args:
      config: ConfigDict; data, predict.by, index, neighbours, tta, adjust, batch_size, evaluate,
        strategy and replicas are used.
      folder: of the run, or a string of folders with commas between.
      data: `examples.Splits` to use instead of `config.data`.

    Returns:
      The dict of neighbours.json, or what the classifier's evaluation returns; None on workers
      other than the chief.

    Raises:
      InputError: if a folder holds no trained run, there is no index of these runs, it has too few
        images, or none of the evaluated images has a class that is known.
      RunError: if no good image is left.
    """
    if config.predict.by == 'classifier':
        return by_classifier.evaluate(config, folder, data)
    if not strategy.is_chief(config.strategy):
        return None
    devices = strategy.of_this_machine(config.strategy, config.replicas)
    folders = run_config.folders(folder)
    runs = [workdir.read(path) for path in folders]
    other = run_data.other(config, runs[0], data)
    data = data or prepare.load(**config.data, seed=runs[0].config.seed)
    embedder = Embedder(runs, config.tta.scales, devices, adjust.taus(config, runs, devices, data))
    index = answers.open_index(config, build.place_of(config, folders), embedder)
    answerer = answers.Answerer(index, embedder.class_names, config.neighbours)
    index.check_count(max(measures.RECALLS), 'evaluate: recall@5')
    name, examples = run_data.evaluated(data, runs)
    bad = by_classifier.bad_images(config, runs[0], other)
    images = look_up(config, embedder, answerer, examples, bad, 'evaluate',
                     keep=name == 'validation')
    result = {'split': name, 'images': len(images.labels), 'index': str(index.folder),
              'index_images': len(index), 'index_kind': index.about['kind'],
              'neighbours': config.neighbours.to_dict(), 'depth': config.evaluate.depth,
              'also_in_index': images.also_in_index, 'bad': images.bad,
              'classes': _measured(config, answerer, images, np.array(runs[0].data['counts'])),
              'open_set': unknown.measure(config, embedder, answerer, data, images, bad, name)}
    if other:
        result['other_data'] = other
    _tell(result, runs[0], images, index)
    path = runs[0].folder / NAME
    files.write_json(path, result)
    files.write_text(path.with_suffix('.md'), recall_tables.markdown(result))
    files.write_text(path.with_suffix('.csv'), recall_tables.csv_text(result))
    return result


def _measured(config, answerer, images, train_counts):
    """{ALL, SEEN, UNSEEN: dict of measures, or None without such images}."""
    counts = np.pad(train_counts, (0, len(answerer.class_names) - len(train_counts)))
    known = images.labels >= 0
    if not known.any():
        raise InputError('evaluate: none of the classes of the evaluated images is in the index or '
                         f'among those of the run, such as '
                         f'{label_map.some(answerer.class_names, 3)}; expected some that are.')
    seen = known & (counts[images.labels] > 0)
    return {name: _of(images, chosen, counts) if chosen.any() else None
            for name, chosen in ((ALL, known), (SEEN, seen), (UNSEEN, known & ~seen))}


def _of(images, chosen, counts):
    there = chosen & (images.references > 0)
    labels, size = images.labels[chosen], len(counts)
    found = {'images': int(chosen.sum()), 'images_in_index': int(there.sum()),
             'retrieval': {**{f'recall_at_{n}': _mean(images.recalled[there, i])
                              for i, n in enumerate(measures.RECALLS)},
                           'mean_average_precision': _mean(images.precision[there])}}
    for i, by in enumerate(vote.BY):
        rank = images.ranks[chosen, i]
        right, five = (np.bincount(labels[rank < n], minlength=size) for n in (1, 5))
        errors = metrics.summary(right, np.bincount(labels, minlength=size), counts, five)
        found[by] = {key: errors[key] for key in recall_tables.ERRORS}
    return found


def _mean(values):
    return float(np.mean(values)) if len(values) else None


def _tell(result, run, images, index):
    if images.also_in_index:
        logging.warning('%d of the evaluated images are in %s too, and find themselves; the errors '
                        'by neighbours are too low.', images.also_in_index, index.folder)
    unknown_images = int((images.labels < 0).sum())
    if unknown_images:
        logging.warning('%d of the evaluated images are of classes that neither the index nor the '
                        'run has; they count in open_set alone.', unknown_images)
    print(f'{run.folder / NAME}: {result["split"]} set, {len(index):,} images in {index.folder}\n'
          f'{recall_tables.markdown(result)}')
