"""What an index and a classifier say of the images of a labelled set."""

import numpy as np

from bsce_tf import progress
from bsce_tf.catalogue import hashes
from bsce_tf.errors import RunError
from bsce_tf.evaluation import forward
from bsce_tf.evaluation.neighbours import recall_tables
from bsce_tf.evaluation.neighbours.vectors import check_finite
from bsce_tf.index import measures, vote


def look_up(config, embedder, answerer, examples, bad, title, keep):
    """What the index and the classifier say of labelled `Examples`: `recall_tables.Images`.

    `keep` tells whether it has their vectors, which take much memory.

    Raises:
      RunError: if no image is good.
    """
    known = {name: k for k, name in enumerate(answerer.class_names)}
    ids = np.array([known.get(name, -1) for name in examples.class_names])
    depth = min(max(config.evaluate.depth, config.neighbours.k, *measures.RECALLS),
                len(answerer.index))
    parts, first, left_out = [], 0, 0
    with progress.Bar(title, len(examples)) as bar:
        for batch in forward.over(examples, embedder.views, embedder.compute, embedder.devices,
                                  config.batch_size, bad):
            good = batch['good']
            check_finite(batch['vectors'], good, examples, first)
            labels = ids[examples.labels[first:first + len(good)]][good]
            found = answerer.search(batch['vectors'][good], depth)
            parts.append({**_part(config, answerer, found, batch['probabilities'][good], labels),
                          **({'vectors': batch['vectors'][good]} if keep else {})})
            first += len(good)
            left_out += int((~good).sum())
            bar.update(len(good))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if not len(joined['labels']):
        raise RunError(f'{examples.origin}: none of the {len(examples)} images is good; expected '
                       'some to evaluate.')
    contents, _ = hashes.digests(examples, title, progress=False)
    there = {tuple(key) for key in answerer.index.rows.contents.tolist()}
    also = sum(tuple(key) in there for key in contents.tolist())
    return recall_tables.Images(**joined, also_in_index=also, bad=left_out)


def _part(config, answerer, found, probabilities, labels):
    """Arrays of a batch of good images, see `recall_tables.Images`."""
    counts = np.append(answerer.counts, 0)  # −1: of no class
    same = (found.classes == labels[:, None]) & (labels >= 0)[:, None]
    references = counts[labels]
    precision = np.where(references > 0, measures.average_precision(
        same, np.maximum(references, 1), min(config.evaluate.depth, same.shape[1])), np.nan)
    ranks = [_rank(answerer.scores(found, probabilities, by), labels) for by in vote.BY]
    return {'labels': labels, 'references': references, 'precision': precision,
            'recalled': np.stack([measures.recall(same, n) for n in measures.RECALLS], 1),
            'ranks': np.stack(ranks, 1), 'cosines': found.cosines[:, 0],
            'probability': probabilities.max(axis=1)}


def _rank(scores, labels):
    """int64 `[n]`: how many classes rank above the label; large where its score is 0 or it is −1.

    Of equal scores the lower class id ranks higher.
    """
    own = np.where(labels >= 0, np.take_along_axis(
        scores, np.maximum(labels, 0)[:, None], axis=1)[:, 0], 0)
    before = (scores > own[:, None]).sum(axis=1)
    equal = (scores == own[:, None]) & (np.arange(scores.shape[1]) < labels[:, None])
    return np.where(own > 0, before + equal.sum(axis=1), scores.shape[1])
