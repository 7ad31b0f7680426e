"""What neighbours.json of a run says: errors by neighbours, and the accept/reject curve."""

import numpy as np

from bsce_tf import files
from bsce_tf.index import vote
from bsce_tf.report.axes import Axis, chart
from bsce_tf.report.markup import count, element, join, rate, table

NAME = 'neighbours.json'
_SIZE, _LEFT, _RIGHT, _TOP, _FLOOR = (400, 260), 48, 378, 26, 218
_RETRIEVAL = ('recall_at_1', 'recall_at_5', 'mean_average_precision')
_SHARES = {1: 'false accepts', 2: 'false rejects'}  # columns of a curve


def read(folder):
    """The dict of neighbours.json; None if there is no such file.

    Raises:
      InputError: if it is damaged.
    """
    return files.read_json(folder / NAME, _check, '--mode=evaluate with predict.by')


def _check(found):
    found['split'], found['index'], int(found['index_images'])
    for group in found['classes'].values():
        if group is not None:
            for key in ('images', 'images_in_index'):
                int(group[key])
            _cells(group)
    opened = found['open_set']
    for part in _sets(opened).values():
        _measures(part)
        if np.array(part['curve'], float).shape[1:] != (3,):
            raise ValueError('a point of a curve has no three numbers')
    if opened:
        float(opened['threshold']), float(opened['false_accept_rate'])


def section(found, name):
    """The part of a run's section on its index.

    Args:
      found: of `read`.
      name: of the run.
    """
    heads = ('classes', 'images', 'in the index', 'recall@1', 'recall@5', 'mAP',
             *(f'error, {by}' for by in vote.BY))
    rows = [(group, count(values['images']), count(values['images_in_index']), *_cells(values))
            for group, values in found['classes'].items() if values is not None]
    parts = [element('h3', 'Nearest images of the index'),
             table(heads, rows, f'{found["split"]} set against {count(found["index_images"])} '
                   f'images of {found["index"]}; error: mean top-1 over classes; seen: of classes '
                   'with training images', range(1, len(heads)))]
    opened = found['open_set']
    if not opened:
        return join([*parts, element('p', 'No threshold was chosen for unknown products.',
                                     class_='note')])
    rows = [(split, *_measures(part)) for split, part in _sets(opened).items()]
    heads = 'set', 'known', 'unknown', 'AUROC', *(_SHARES.values())
    parts.append(table(heads, rows, 'Open set: images of unknown products, told by the cosine of '
                       f'the nearest image; threshold {rate(opened["threshold"])}, chosen for at '
                       f'most {opened["false_accept_rate"]:g} false accepts on validation',
                       range(1, len(heads))))
    figures = [_figure(part['curve'], opened['threshold'], split, name)
               for split, part in _sets(opened).items()]
    return join([*parts, element('div', *figures, class_='charts')])


def _sets(opened):
    return {split: opened[split] for split in ('validation', 'test') if split in (opened or {})}


def _cells(values):
    return [*(rate(values['retrieval'][key]) for key in _RETRIEVAL),
            *(rate(values[by]['mean_top1_error']) for by in vote.BY)]


def _measures(part):
    return (count(part['known']), count(part['unknown']), rate(part['auroc']),
            rate(part['false_accepts']), rate(part['false_rejects']))


def _figure(curve, limit, split, name):
    """Shares of false accepts and of false rejects by threshold."""
    points = np.array(curve, float)
    x = Axis(float(points[:, 0].min()), float(points[:, 0].max()), _LEFT, _RIGHT, tight=True)
    y = Axis(0.0, 1.0, _FLOOR, _TOP)
    lines = [element('g', element('path', element('title', text), d='M' + 'L'.join(
        f'{a:.1f} {b:.1f}' for a, b in zip(x(points[:, 0]), y(points[:, column]), strict=True))),
        class_=f'line c{column - 1} val') for column, text in _SHARES.items()]
    place = min(max(float(x(limit)), _LEFT), _RIGHT)
    lines.append(element('g', element('path', d=f'M{place:.1f} {_FLOOR}V{_TOP}'), element(
        'text', 'threshold', x=round(place - 3, 1), y=_TOP + 8, text_anchor='end'),
        class_='stage'))
    title = f'False accepts and false rejects by threshold, {split}'
    text = (f'{name}, {split}: from {points[0, 1]:.2f} false accepts and {points[0, 2]:.2f} false '
            f'rejects at {points[0, 0]:.3f} to {points[-1, 1]:.2f} and {points[-1, 2]:.2f} at '
            f'{points[-1, 0]:.3f}')
    return element('figure', chart(title, text, x, y, join(lines), _SIZE, ('cosine', '')), element(
        'figcaption', f'{split}: false accepts (falling) and false rejects (rising) by threshold'))
