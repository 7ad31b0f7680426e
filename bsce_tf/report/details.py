"""The section on one run: its classes, confused pairs and most confident mistakes."""

from typing import NamedTuple

from bsce_tf.report import mistakes, neighbours, scatter
from bsce_tf.report.markup import DASH, count, element, folded, join, plural, rate, table
from bsce_tf.report.predictions import Answers
from bsce_tf.report.results import Results

_EXAMPLES = 3  # images shown of each class of a pair
_PAIRS, _MISTAKES = 4, 12  # shown without a click
_BAD = 100  # bad images listed, at most
_SHARED = 5  # least images of a class for a percentage


class Detail(NamedTuple):
    """What the page shows of one run.

    Attributes:
      results: the `results.Results`.
      answers: the `predictions.Answers`, or None.
      classes: the `mistakes.Classes`, or None.
      split: the split of `errors`, or None.
      errors: {name: error}, from eval.json if it exists; {} if nothing is known.
      notes: list of `Markup`: what is missing or inconsistent.
    """

    results: Results
    answers: Answers | None
    classes: mistakes.Classes | None
    split: str | None
    errors: dict
    notes: list


def section(detail, thumbnails, pairs, errors):
    """The section of one run.

    Args:
      detail: a `Detail`.
      thumbnails: a `thumbnails.Thumbnails`.
      pairs: pairs of classes shown, at most.
      errors: worst classes and most confident mistakes shown, at most.
    """
    parts = []
    if detail.answers is None:
        parts.append(element('p', 'Its data cannot be read, so its classes and mistakes are not '
                             'shown; see the note under Errors.', class_='note'))
    elif not detail.classes.images.sum():
        parts.append(element('p', f'No image of the {detail.answers.split} set could be read.',
                             class_='note'))
    else:
        parts += [_classes(detail), *_pairs(detail, thumbnails, pairs), *_worst(detail, errors),
                  *_most_confident(detail, thumbnails, errors)]
    if detail.results.neighbours:
        parts.append(neighbours.section(detail.results.neighbours, detail.results.name))
    return join([*parts, *_bad_images(detail)])


def _classes(detail):
    classes, answers = detail.classes, detail.answers
    name = detail.results.name
    picture = scatter.draw(classes, answers.examples.class_names,
                           f'Error of each class against its size, {name}')
    unseen = int((classes.images == 0).sum())
    untrained = int((classes.train == 0).sum())
    notes = []
    if unseen:
        notes.append(f'{plural(unseen, "class has", "classes have")} no image in the '
                     f'{answers.split} set and {"is" if unseen == 1 else "are"} left out.')
    if untrained:
        notes.append(f'{plural(untrained, "class has", "classes have")} no training image and '
                     'cannot be drawn.')
    groups = table(('group', 'classes', 'training images', 'mean error'),
                   scatter.group_rows(classes), 'Head, medium and tail', (1, 2, 3))
    shown = (element('figure', picture, element(
        'figcaption', f'Top-1 error on the {answers.split} set by training images of the class.',
        scatter.legend(classes))) if picture else
        element('p', 'No class has both training images and evaluated ones.', class_='note'))
    return join([element('h3', 'Error and size of classes'), element('div', shown, element(
        'div', groups, *(element('p', note, class_='note') for note in notes)), class_='split')])


def _pairs(detail, thumbnails, most):
    answers = detail.answers
    labels, names = answers.examples.labels, answers.examples.class_names
    found, single = mistakes.pairs(labels, answers.predictions, len(names), most)
    parts = [element('h3', 'Most confused pairs of classes')]
    if not found and not single:
        return [*parts, element('p', 'No image is predicted as another class.')]
    once = f' {plural(single, "pair has", "pairs have")} one mistake each.' if single else ''
    if not found:
        return [*parts, element('p', f'No pair of classes has more than one mistake.{once}')]
    parts.append(element('p', 'The pairs with the most images of one class predicted as the other, '
                         'at least two. The most confident of these mistakes are shown, or else '
                         f'other images of the class.{once}', class_='soft'))
    items = [element(
        'li', element('h4', names[pair.first], ' ↔ ', names[pair.second]),
        element('p', f'{plural(pair.forth + pair.back, "mistake")}', class_='soft'),
        element('div', _side(detail, thumbnails, pair.first, pair.second, pair.forth),
                _side(detail, thumbnails, pair.second, pair.first, pair.back), class_='sides'),
        data_pair=f'{pair.first},{pair.second}') for pair in found]
    return [*parts, *folded(items, 'pairs', _PAIRS, 'pair')]


def _side(detail, thumbnails, label, other, number):
    """Images of one class of a pair."""
    answers = detail.answers
    names = answers.examples.class_names
    examples, note = answers.examples, f'mistaken for {names[other]}'
    places = mistakes.confused_as(examples.labels, answers.predictions, label, other, _EXAMPLES)
    if not len(places):
        examples, places, note = _others(answers, label)
    pictures = [thumbnails.image(examples, i, f'{names[label]}, {note}: {examples.name(i)}')
                for i in places]
    total = int(detail.classes.images[label])
    share = f' ({100 * number / total:.0f} %)' if total >= _SHARED else ''
    text = (f'{names[label]}: {count(number)} of {count(total)}{share} predicted as {names[other]}'
            + ('' if number else f'; shown: {note}'))
    return element('figure', element('div', *pictures, class_='row'), element('figcaption', text))


def _example(answers, label, thumbnails):
    """A picture of a class, or None where it has none."""
    examples, places, note = _others(answers, label)
    if not len(places):
        return None
    name = answers.examples.class_names[label]
    return thumbnails.image(examples, places[0], f'{name}, {note}: {examples.name(places[0])}')


def _others(answers, label):
    """(examples, indices, caption) of a class without a mistake to show."""
    good = answers.predictions.good & (answers.examples.labels == label)
    right = (good & (answers.predictions.predicted == label)).nonzero()[0]
    if len(right):
        return answers.examples, right[:_EXAMPLES], 'correct predictions'
    if good.any():
        return answers.examples, good.nonzero()[0][:_EXAMPLES], 'other images of it'
    places = (answers.train.labels == label).nonzero()[0][:_EXAMPLES]
    return answers.train, places, 'training images' if len(places) else 'none, it has no image'


def _worst(detail, most):
    answers, classes = detail.answers, detail.classes
    names = answers.examples.class_names
    rows = []
    for k in mistakes.worst(classes, most):
        usual = mistakes.usual_mistake(answers.examples.labels, answers.predictions, k)
        group = mistakes.GROUPS[classes.group[k]] if classes.group[k] >= 0 else DASH
        rows.append((names[k], rate(classes.error[k]), count(classes.images[k]),
                     count(classes.train[k]), group,
                     f'{names[usual[0]]} ({count(usual[1])})' if usual else DASH))
    head = element('h3', 'Worst classes')
    if not rows:
        return [head, element('p', 'No class has an error.')]
    heads = 'class', 'error', 'evaluated', 'training images', 'group', 'mostly predicted as'
    return [head, table(heads, rows, f'Classes with the highest errors on the {answers.split} set; '
                        'ties: more images first', (1, 2, 3))]


def _most_confident(detail, thumbnails, most):
    answers = detail.answers
    examples, said = answers.examples, answers.predictions
    names = examples.class_names
    items = []
    for i in mistakes.most_confident(examples.labels, said, most):
        given, predicted = names[examples.labels[i]], names[said.predicted[i]]
        items.append(element('li', element(
            'figure', element(
                'div', thumbnails.image(examples, i, f'{given}, predicted as {predicted}: '
                                        f'{examples.name(i)}'),
                _example(answers, said.predicted[i], thumbnails), class_='row'),
            element('figcaption', element('span', 'label: ', given, class_='given'),
                    element('span', 'predicted: ', predicted, class_='given'),
                    element('span', f'probability {rate(said.probability[i])}'),
                    element('span', f'probability of the label {rate(said.given[i])}'),
                    element('span', examples.name(i))))))
    head = element('h3', 'Most confident mistakes')
    if not items:
        return [head, element('p', 'No image is misclassified.')]
    return [head, element('p', f'Images of the {answers.split} set whose wrong prediction has the '
                          'highest probability, each beside an image of the predicted class. Look '
                          'here for wrong labels.', class_='soft'),
            *folded(items, 'gallery', _MISTAKES, 'mistake')]


def _bad_images(detail):
    rows = detail.results.bad_images
    head = element('h3', 'Bad images')
    left_out = (int((~detail.answers.predictions.good).sum()) if detail.answers else 0)
    note = element('p', f'{plural(left_out, "image")} of the {detail.answers.split} set could not '
                   'be read and are not counted here.', class_='note') if left_out else None
    if not rows:
        return [head, note or element('p', 'None was found.')]
    more = f', the first {_BAD} shown' if len(rows) > _BAD else ''
    return [head, note, table(('image', 'reason'), rows[:_BAD],
                              f'bad_images.csv: {plural(len(rows), "image")}{more}')]
