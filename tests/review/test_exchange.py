"""A review in Label Studio or FiftyOne: what is written for them, and what comes back."""

import dataclasses
import json
import pathlib
import types
import urllib.parse
import xml.etree.ElementTree

import numpy as np
import pytest

from bsce_tf.data import decisions, prepare
from bsce_tf.errors import InputError
from bsce_tf.review import catalogue, review, store
from bsce_tf.review.exchange import fiftyone, items, label_studio
from tests.review import audited
from tests.run_files import rows_of


def exchange(folder, **fields):
    """Runs `--mode=review` with fields of `config.review`."""
    config = audited.settings(folder, **{f'review.{name}': str(value)
                                         for name, value in fields.items()})
    review.review(config, folder)


def decided(folder):
    """{name of image: (decision, label, reviewer)} of what counts in decisions.jsonl."""
    rows, _ = decisions.read(folder / store.NAME)
    return {key[0]: (row.decision, row.label, row.reviewer)
            for key, row in decisions.standing(rows).items()}


@pytest.fixture
def tasks(folder, tmp_path):
    exchange(folder, write=tmp_path / 'tasks.json')
    return json.loads((tmp_path / 'tasks.json').read_text())


def annotation(label=None, other='', updated='2026-01-01T00:00:00Z', **values):
    """As Label Studio writes one."""
    parts = [('label', 'choices', {'choices': [label]}), ('other', 'textarea', {'text': [other]})]
    return {'completed_by': {'email': 'ann@shop.example'}, 'updated_at': updated, 'result': [
        {'from_name': name, 'to_name': 'image', 'type': kind, 'value': value}
        for name, kind, value in parts if next(iter(value.values()))[0]], **values}


def exported(path, tasks, annotations):
    """The file that Label Studio exports of tasks with annotations, the first ones decided."""
    path.write_text(json.dumps([
        {'id': i, **task, 'annotations': annotations[i] if i < len(annotations) else []}
        for i, task in enumerate(tasks)]))
    return path


def test_tasks_show_each_listed_image_once_and_offer_its_classes(tasks, folder, images, tmp_path):
    found = catalogue.read(folder, 'gain')
    listed = [i for name in catalogue.LISTS for i in found.lists[name].tolist()]
    assert len(tasks) == len(set(listed))
    interface = xml.etree.ElementTree.parse(tmp_path / 'tasks.xml').getroot()
    fields = {element.get('value') for element in interface if (
        element.get('value') or '').startswith('$')}
    for task, index in zip(tasks, dict.fromkeys(listed), strict=True):
        data = task['data']
        assert {f'${name}' for name in data} >= fields
        prefix, file = data['image'].split('?d=')
        assert prefix == '/data/local-files/'
        assert images / urllib.parse.unquote(file) == images / found.train.name(index)
        choices = [choice['value'] for choice in data['choices']]
        names = found.train.class_names
        assert choices[0] == data['given'] == names[found.train.labels[index]]
        taken_for = names[found.suggested[index] if found.listed[index] else found.best[index, 0]]
        assert taken_for in choices[:2]
        assert choices[-1] == label_studio.REMOVE
        assert len(set(choices)) == len(choices)
        [prediction] = task['predictions']
        doubted = taken_for != data['given']
        assert prediction['score'] == pytest.approx(
            found.wrong[index] if doubted else 1 - found.wrong[index])
        assert prediction['result'][0]['value'] == {'choices': [taken_for]}


def test_decisions_of_label_studio_become_the_clean_list(tasks, folder, images, tmp_path):
    names = catalogue.read(folder, 'gain').train.class_names
    data = [task['data'] for task in tasks]
    suggested = tasks[1]['predictions'][0]['result'][0]['value']['choices'][0]
    taken = data[2]['given'], tasks[2]['predictions'][0]['result'][0]['value']['choices'][0]
    another = next(name for name in names if name not in taken)
    later = '2026-01-02T00:00:00Z'
    path = exported(tmp_path / 'export.json', tasks, [
        [annotation(data[0]['given'])],
        [annotation(suggested, updated=later), annotation(data[1]['given'])],
        [annotation(data[2]['given'], other=f' {another} ')],
        [annotation(label_studio.REMOVE)],
        [annotation(was_cancelled=True)]])
    exchange(folder, read=path)
    who = 'ann@shop.example'
    wanted = {data[0]['path']: ('keep', data[0]['given'], who),
              data[1]['path']: ('suggestion', suggested, who),
              data[2]['path']: ('another', another, who), data[3]['path']: ('remove', '', who),
              data[4]['path']: ('skip', '', who)}
    assert decided(folder) == wanted
    before = (folder / store.NAME).read_bytes()
    exchange(folder, read=path)  # a second time adds nothing
    assert (folder / store.NAME).read_bytes() == before
    fields = audited.settings(images).data
    found = prepare.load(**{**fields, 'clean': str(folder / 'reviewed.csv')}).train
    labels = {path.decode(): names[k] for path, k in zip(found.paths, found.labels, strict=True)}
    assert {name: labels.get(name, '') for name in wanted if name != data[4]['path']} == {
        name: label for name, (word, label, _) in wanted.items() if word != 'skip'}
    exchange(folder, write=tmp_path / 'rest.json')
    rest = json.loads((tmp_path / 'rest.json').read_text())
    assert [task['data'] for task in rest] == data[4:]  # skipped ones are asked again


def labels_file(path, labels, classes=None):
    path.write_text(json.dumps({'classes': classes, 'labels': labels}))
    return path


@pytest.mark.parametrize('plain', [False, True], ids=['with attributes', 'without'])
def test_decisions_of_fiftyone_become_decisions(folder, images, tmp_path, plain):
    exchange(folder, write=tmp_path / 'labels.json', program='fiftyone')
    written = json.loads((tmp_path / 'labels.json').read_text())
    classes = written['classes']
    (first, one), (second, two), (third, three), *_ = written['labels'].items()
    assert all(pathlib.Path(name).is_file() for name in written['labels'])
    assert one['label'] == 0 or classes[one['label']] != one['attributes']['suggested']
    two['label'] = classes.index(two['attributes']['suggested'])
    kept = {first: one, second: two, third: None}
    if plain:  # as FiftyOne exports without classes and attributes
        kept = {name: target and classes[target['label']] for name, target in kept.items()}
    exchange(folder, read=labels_file(tmp_path / 'some.json', kept, None if plain else classes),
             program='fiftyone')
    found = {str(images / name): row for name, row in decided(folder).items()}
    assert found == {first: ('keep', classes[one['label']], 'Ada'),
                     second: ('suggestion', classes[two['label']], 'Ada'),
                     third: ('remove', '', 'Ada')}
    assert three['attributes']['sha256'] == decisions.digest(
        *located(folder, images, third))
    exchange(folder, write=tmp_path / 'rest.json', program='fiftyone')
    rest = json.loads((tmp_path / 'rest.json').read_text())['labels']
    assert list(rest) == [name for name in written['labels'] if name not in kept]


def located(folder, images, name):
    train = catalogue.read(folder, 'gain').train
    return train, next(i for i in range(len(train)) if str(images / train.name(i)) == name)


def test_an_image_that_was_replaced_since_is_asked_again(tasks, folder, images, tmp_path):
    place = images / tasks[0]['data']['path']
    before = place.read_bytes()
    path = exported(tmp_path / 'export.json', tasks, [
        [annotation(task['data']['given'])] for task in tasks[:2]])
    try:
        place.write_bytes(before + b'\0')
        exchange(folder, read=path)
    finally:
        place.write_bytes(before)
    assert list(decided(folder)) == [tasks[1]['data']['path']]


def test_several_labels_of_a_file_stay_apart_in_label_studio_only(folder, tmp_path):
    found = catalogue.read(folder, 'gain')
    first, second = found.lists['issues'][:2].tolist()
    paths = np.array(list(found.train.paths), object)
    paths[second] = paths[first]
    train = dataclasses.replace(found.train, paths=np.array(paths.tolist()))
    found = found._replace(train=train, before=decisions.before_audits(train, found.before.labels))
    opened = types.SimpleNamespace(status=np.zeros(72, np.int8))
    both = items.still_open(found, opened)
    assert len({item.key for item in both}) == len(both)
    fiftyone.write(tmp_path / 'labels.json', found, both)
    labels = json.loads((tmp_path / 'labels.json').read_text())['labels']
    assert len(labels) == len(both) - 1


@pytest.mark.parametrize(('content', 'message'), [
    ('[', 'expected the JSON that Label Studio exports'),
    ('{}', 'found a dict; expected the list of tasks'),
    ('[{"image": "a.png", "label": "x"}]', "task 1: KeyError 'data'; .* not 'JSON-MIN'"),
    ('OTHER', "task 1: 'other.png' as .* is in no list of"),
    ('CLASS', "task 1: found the class 'bar 31°'; expected one of the 6 classes"
              " \\(did you mean bar 30°\\?\\)")])
def test_bad_exports_of_label_studio_are_one_line(tasks, folder, tmp_path, content, message):
    path = tmp_path / 'export.json'
    if content == 'OTHER':
        tasks[0]['data']['path'] = 'other.png'
        exported(path, tasks, [[annotation('bar 0°')]])
    elif content == 'CLASS':
        exported(path, tasks, [[annotation(other='bar 31°')], [annotation('bar 0°')]])
    else:
        path.write_text(content)
    with pytest.raises(InputError, match=f'^review.read: .*{message}'):
        exchange(folder, read=path)
    assert not (folder / store.NAME).exists()  # no decision is taken from it


@pytest.mark.parametrize('change', ['unchanged', 'other', 'format', 'negative'])
def test_bad_exports_of_fiftyone_are_one_line(folder, tmp_path, change):
    exchange(folder, write=tmp_path / 'labels.json', program='fiftyone')
    content = json.loads((tmp_path / 'labels.json').read_text())
    message = 'have the labels that they were given; expected an export of those that you decided'
    if change == 'other':
        content['labels'] = {'000001': 0}
        message = "'000001' is in no list of .* exported with abs_paths=True"
    elif change == 'negative':  # not the last class
        next(iter(content['labels'].values()))['label'] = -1
        message = 'a label is -1; expected labels that FiftyOne exported'
    elif change == 'format':
        content, message = {'samples': []}, 'expected labels that FiftyOne exported'
    path = tmp_path / 'export.json'
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        exchange(folder, read=path, program='fiftyone')
    assert not (folder / store.NAME).exists()


def test_images_in_memory_are_not_files():
    found = types.SimpleNamespace(train=types.SimpleNamespace(paths=None, origin='a pack'))
    with pytest.raises(InputError, match='review.write: the images of a pack are not files'):
        items.still_open(found, None)


def test_both_read_then_write(tasks, folder, tmp_path, capsys):
    path = exported(tmp_path / 'export.json', tasks, [[annotation(tasks[0]['data']['given'])]])
    exchange(folder, read=path, write=tmp_path / 'rest.json')
    assert len(json.loads((tmp_path / 'rest.json').read_text())) == len(tasks) - 1
    told = capsys.readouterr().out
    assert '1 decisions, 1 of them new' in told
    assert f'{len(tasks) - 1} tasks for Label Studio' in told
    assert len(rows_of(folder / 'reviewed.csv')) == 72
