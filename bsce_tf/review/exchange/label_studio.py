"""Label Studio: tasks with what the audit suggests, and the JSON that it exports.

Written and read is Label Studio's own JSON, https://labelstud.io/guide/task_format: a list of
tasks. Each offers the classes that the networks take the image for, `Choices` with a `value`, since
a menu of tens of thousands would be of no use, and a field for the name of any other class.
"""

import json
import pathlib
import urllib.parse

from bsce_tf import files, storage
from bsce_tf.errors import InputError
from bsce_tf.review.exchange import items

REMOVE = '(not a product: remove)'
_FIELD = '/data/local-files/?d='
_LABEL, _OTHER = 'label', 'other'  # names in the labelling interface
_INTERFACE = f"""<View>
  <Header value="Given: $given"/>
  <Image name="image" value="$image" zoom="true"/>
  <Choices name="{_LABEL}" toName="image" value="$choices" choice="single-radio"/>
  <Header value="Or the name of another class"/>
  <TextArea name="{_OTHER}" toName="image" maxSubmissions="1" rows="1"/>
</View>
"""


def write(path, found, open_items):
    """Writes tasks, and the labelling interface beside them, with the ending .xml.

    Args:
      path: of the JSON file.
      found: the `catalogue.Catalogue`.
      open_items: list of `items.Item`.

    Returns:
      Text that says how to go on.
    """
    path, train = pathlib.Path(path), found.train
    if REMOVE in train.class_names:
        raise InputError(f"review.write: a class is called '{REMOVE}', which here means to remove "
                         'an image; expected another name.')
    stored = storage.is_address(train.root)
    files.write_json(path, [_task(item, items.absolute(train, item.file) if stored
                                  else _FIELD + urllib.parse.quote(item.file))
                            for item in open_items])
    interface = path.with_suffix('.xml')
    files.write_text(interface, _INTERFACE)
    start = '' if stored else (
        ' Start it with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and '
        f'LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={items.absolute(train, "")}')
    return (f'{path}: {len(open_items):,} tasks for Label Studio; {interface} is their labelling '
            f'interface.{start}')


def _task(item, image):
    path, before, copy = item.key
    task = {'data': {
        'image': image, 'given': item.given,
        'choices': [{'value': name} for name in (*item.best, REMOVE)],
        'path': path, 'given_label': before, 'copy': copy, 'sha256': item.sha256}}
    if item.wrong is not None:
        score = 1 - item.wrong if item.suggested == item.given else item.wrong
        task['predictions'] = [{'model_version': 'audit', 'score': score, 'result': [{
            'from_name': _LABEL, 'to_name': 'image', 'type': 'choices',
            'value': {'choices': [item.suggested]}}]}]
    return task


def read(path, found):
    """List of `items.Answer` in an export of Label Studio, JSON; of tasks that somebody finished.

    Of several annotations of a task that which was changed last counts.

    Raises:
      InputError: if the file cannot be read, or is of other images.
    """
    try:
        tasks = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise InputError(f'review.read: {path}: {error}; expected the JSON that Label Studio '
                         'exports.') from error
    if not isinstance(tasks, list):
        raise InputError(f'review.read: {path}: found a {type(tasks).__name__}; expected the list '
                         "of tasks that Label Studio exports as 'JSON'.")
    places, answers = items.places(found), []
    for number, task in enumerate(tasks, 1):
        where = f'{path}: task {number}'
        try:
            data, annotations = task['data'], task['annotations']
            key = data['path'], data['given_label'], data['copy']
            digest = str(data['sha256'])
            done = sorted((a for a in annotations if a['result'] or a.get('was_cancelled')),
                          key=lambda a: str(a.get('updated_at') or a.get('created_at') or ''))
            label = _label(done[-1]) if done else None
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise InputError(f"review.read: {where}: {type(error).__name__} {error}; expected a "
                             "task of review.write, exported as 'JSON', not 'JSON-MIN'.") from error
        if key not in places:
            raise InputError(f"review.read: {where}: '{key[0]}' as '{key[1]}' is in no list of "
                             f'{found.folder}; expected the tasks of this audit, with the '
                             'review.sample that they were written with.')
        if done:
            answers.append(items.Answer(places[key], label, digest, _person(done[-1]), where))
    return answers


def _label(annotation):
    """Name of a class, '' to remove the image, or None to decide later."""
    if annotation.get('was_cancelled'):
        return None
    found = {}
    for part in annotation['result']:
        values = part['value'].get('choices') or part['value'].get('text')
        found[part['from_name']] = values[0] if isinstance(values, list) else values
    label = found.get(_OTHER, '').strip() or found[_LABEL]
    return '' if label == REMOVE else label


def _person(annotation):
    who = annotation.get('completed_by', '')
    return str(who.get('email') or who.get('id', '')) if isinstance(who, dict) else str(who)
