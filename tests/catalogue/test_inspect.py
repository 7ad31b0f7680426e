import csv
import json
import os
import signal
import xml.etree.ElementTree

import ml_collections
import numpy as np
import pytest

from bsce_tf import config_check, recipes
from bsce_tf.catalogue import hashes, histogram, inspect, recipe
from bsce_tf.data import prepare
from bsce_tf.data.examples import Examples
from bsce_tf.data.reading import records
from bsce_tf.errors import PreemptedError, RunError
from bsce_tf.training import build


def _tree(root):
    """Classes of 40, 2 and 1 images, an empty one, one that only validation has, and copies."""
    files = {f'train/big/{i}.jpg': b'big %d' % i for i in range(40)}
    files |= {'train/two/a.jpg': b'same', 'train/two/b.jpg': b'same', 'train/one/c.jpg': b'big 7',
              'val/big/x.jpg': b'big 9', 'val/new/y.jpg': b'new', 'val/two/z.jpg': b'other'}
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / 'train' / 'empty').mkdir()


def _run(root, workdir):
    data = {'source': 'folder', 'root': str(root)}
    inspect.run(ml_collections.ConfigDict(
        {'part': '', 'inspect': {'near_copies': 0.0}, 'data': data}), workdir)
    return json.loads((workdir / 'inspect.json').read_text())


def test_the_report_tells_what_is_in_the_data(tmp_path, capsys):
    _tree(tmp_path)
    found = _run(tmp_path, tmp_path / 'run')
    assert found['images'] == {'train': 43, 'validation': 3}
    assert found['classes'] == 5
    assert found['imbalance'] == 40
    assert found['class_sizes']['bins'][:2] == [[0, 0, 2], [1, 1, 1]]
    assert found['empty_classes'] == ['empty', 'new']
    assert found['validation_only'] == ['new']
    assert found['not_validated'] == 1
    assert found['weights']['largest'] == np.float32(43 / 3)
    assert found['weights']['suggested_cap'] == 10
    assert found['weights']['classes_above_cap'] == found['weights']['images_above_cap'] == 1
    text = capsys.readouterr().out
    assert 'classes in validation but not in training: 1: new' in text
    assert 'for loss.name bce, bsce: --config.loss.weight_cap=10' in text
    assert 'recommended: --config.loss.name=bsce_many: the largest class has 40.0 times' in text
    assert [advice['action'] for advice in found['recommended']] == [
        '--config.loss.name=bsce_many', 'bsce audit, then --config.data.clean=…',
        'see duplicates.csv']


def test_a_stop_keeps_the_hashes_and_lets_nobody_in_meanwhile(tmp_path, monkeypatch):
    _tree(tmp_path)

    def stop(*_):
        with pytest.raises(RunError, match='run is in use by process'):
            _run(tmp_path, tmp_path / 'run')
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(hashes, 'duplicates', stop)
        with pytest.raises(PreemptedError, match=r'hashes that are done stay, .* \(Ctrl-C\)'):
            _run(tmp_path, tmp_path / 'run')
    monkeypatch.setattr(records.Files, 'read', None)  # nothing is read again
    assert _run(tmp_path, tmp_path / 'run')['images'] == {'train': 43, 'validation': 3}
    assert not (tmp_path / 'run' / '.lock').exists()


def test_equal_files_are_found_across_splits_and_classes_and_within(tmp_path):
    _tree(tmp_path)
    found = _run(tmp_path, tmp_path / 'run')['duplicates']
    assert found['across_splits']['first'] == [
        [['train', 'train/big/9.jpg'], ['validation', 'val/big/x.jpg']]]
    assert found['across_classes']['first'] == [
        [['train', 'train/big/7.jpg'], ['train', 'train/one/c.jpg']]]
    assert found['within_class']['first'] == [
        [['train', 'train/two/a.jpg'], ['train', 'train/two/b.jpg']]]
    with open(tmp_path / 'run' / 'duplicates.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert len({row['group'] for row in rows}) == 3
    assert {row['label'] for row in rows} == {'big', 'one', 'two'}


def test_groups_of_more_than_two_stay_together():
    labels = np.zeros(7, int)
    images = np.array([5, 5, 1, 5, 2, 1, 5], np.uint8).reshape(7, 1, 1, 1)
    examples = Examples(labels, ('a',), images=images)
    found, unreadable = hashes.digests(examples, progress=False)
    groups = hashes.duplicates({'train': examples}, {'train': found})
    assert sorted([int(i) for _, i in group] for group in groups) == [[0, 1, 3, 6], [2, 5]]
    assert unreadable == []


def test_files_that_cannot_be_read_are_reported_and_are_no_duplicates(tmp_path):
    paths = np.array(['1.jpg', '2.jpg'], 'S')
    examples = Examples([0, 0], ('a',), paths=paths, root=str(tmp_path))
    found, unreadable = hashes.digests(examples, progress=False)
    assert [name for name, _ in unreadable] == ['1.jpg', '2.jpg']
    assert hashes.duplicates({'train': examples}, {'train': found}) == []


def test_what_inspect_does_not_see_and_classes_that_look_the_same_are_told():
    images = np.zeros((3, 1, 1, 1), np.uint8)
    examples = Examples([0, 1, 2], ('bags', 'bags ', 'hats'), images=images)
    found = inspect.report({'train': examples}, [], {'train': [['x.jpg', 'x.jpg: gone.']]})
    text = '\n'.join(inspect.lines(found))
    assert "differ only by spaces or Unicode form: 1: 'bags' = 'bags '" in text
    assert 'files of train that cannot be read: 1: x.jpg: gone.' in text
    assert 'not decoded: bsce verify finds images that are broken' in text


def test_a_balanced_set_needs_no_cap():
    images = np.zeros((30, 1, 1, 1), np.uint8)
    examples = Examples(np.arange(30) % 3, ('a', 'b', 'c'), images=images)
    found = inspect.report({'train': examples}, [], {'train': []})
    assert found['weights'] == {'smallest': 1.0, 'largest': 1.0, 'suggested_cap': 0.0,
                                'classes_above_cap': 0, 'images_above_cap': 0}
    assert any('none needed' in line for line in inspect.lines(found))


def test_the_picture_has_a_bar_for_every_bin(tmp_path):
    counts = [0, 1, 1, 2, 3, 3, 3, 8000]
    found = histogram.bins(counts)
    assert found[:3] == [(0, 0, 1), (1, 1, 2), (2, 3, 4)]
    assert found[-1] == (4096, 8191, 1)
    assert sum(number for _, _, number in found) == len(counts)
    histogram.write_svg(tmp_path / 'sizes.svg', counts, 'shoes & <bags>')
    picture = xml.etree.ElementTree.parse(tmp_path / 'sizes.svg').getroot()
    bars = [part for part in picture if part.get('fill') in ('#47a', '#c44')]
    assert len(bars) == len(found)
    heights = [float(bar.get('height')) for bar in bars]
    assert heights[2] == max(heights)
    assert heights[1] == heights[2] / 2
    texts = [part.text for part in picture.iter() if part.text]
    assert 'shoes & <bags>' in texts
    assert '4096–8191' in texts


def test_classes_of_equal_size_need_no_balance(tmp_path):
    for split, number in (('train', 3), ('val', 1)):
        for name in ('a', 'b'):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(number):
                (tmp_path / split / name / f'{i}.jpg').write_bytes(f'{split} {name} {i}'.encode())
    advice, = _run(tmp_path, tmp_path / 'run')['recommended']
    assert advice['action'] == '--config.loss.name=sce --config.loss.logit_bias=auto'


def test_what_is_recommended_can_be_trained():
    found = {'classes': 3, 'imbalance': 1.0, 'images': {'train': 9}, 'groups': {},
             'near_copies': {},
             'duplicates': dict.fromkeys(('across_classes', 'across_splits', 'within_class'),
                                         {'groups': 0, 'images': 0})}
    for imbalance in (1.0, 50.0):
        advice, = recipe.recommend({**found, 'imbalance': imbalance})
        config = recipes.defaults()
        recipes.change(config, dict(
            flag.removeprefix('--config.').split('=') for flag in advice.action.split()))
        config_check.check(config)
        assert np.isfinite(float(build.make_loss(config, np.array([50, 9, 1]))(
            [1], np.zeros((1, 3), np.float32))))


def test_groups_are_told_and_those_on_both_sides(tmp_path, capsys):
    """p0 has photographs in all three sets, p1 in two; class c is one group."""
    (tmp_path / 'images').mkdir()
    rows = {'train': ['1 a p0', '2 a p1', '3 b p1', '4 b', '5 a', '6 c p2', '7 c p2'],
            'val': ['11 a p0', '12 a p3', '13 b p1'], 'test': ['21 a p0']}
    for split, lines in rows.items():
        cells = [[*line.split(), ''][:3] for line in lines]
        (tmp_path / f'{split}.csv').write_text('\n'.join(
            ['image,label,sku', *(f'images/{i}.jpg,{label},{sku}' for i, label, sku in cells)]))
        for i, _, _ in cells:
            (tmp_path / 'images' / f'{i}.jpg').write_bytes(i.encode())
    data = {'source': 'csv', 'root': str(tmp_path), 'train': 'train.csv', 'validation': 'val.csv',
            'test': 'test.csv', 'group_column': 'sku', 'cache': 'off'}
    inspect.run(ml_collections.ConfigDict(
        {'part': '', 'inspect': {'near_copies': 0.0}, 'data': data}), tmp_path / 'run')
    found = json.loads((tmp_path / 'run' / 'inspect.json').read_text())['groups']
    assert found['train'] == {'groups': 3, 'images': 5, 'largest': 2, 'of_several_classes': 1,
                              'classes_in_one_group': ['c']}
    assert found['validation']['groups'] == 3
    assert found['across_splits'] == {'groups': 2, 'images': 6, 'first': ['p0', 'p1']}
    with open(tmp_path / 'run' / 'groups_across_splits.csv', newline='') as file:
        told = [(row['group'], row['split'], row['image']) for row in csv.DictReader(file)]
    assert told == [('p0', 'train', 'images/1.jpg'), ('p0', 'validation', 'images/11.jpg'),
                    ('p0', 'test', 'images/21.jpg'), ('p1', 'train', 'images/2.jpg'),
                    ('p1', 'train', 'images/3.jpg'), ('p1', 'validation', 'images/13.jpg')]
    text = capsys.readouterr().out
    assert 'groups of train: 3 of 5 images, the largest of 2; 1 with several classes' in text
    assert 'groups across splits: 2, 6 images: p0, p1\n' in text
    assert 'recommended: see groups_across_splits.csv: 2 groups have images' in text


def test_copies_that_were_found_can_be_kept_on_one_side(tmp_path):
    """A file whose name is not UTF-8 is among them."""
    for name in (b'a/1.jpg', b'a/2.jpg', b'a/\xff.jpg', b'a/4.jpg', b'b/5.jpg', b'b/6.jpg'):
        path = os.path.join(os.fsencode(tmp_path / 'images'), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(b'copy' if name[2:3] in b'1\xff5' else name)
    advice = _run(tmp_path / 'images', tmp_path / 'run')['recommended'][-1]
    assert advice['action'] == '--config.data.copies=…/duplicates.csv'
    assert advice['reason'].startswith('3 training images are copies')
    for seed in range(5):
        train, validation, _ = prepare.load(
            'folder', root=str(tmp_path / 'images'), validation_fraction=0.5, seed=seed,
            copies=str(tmp_path / 'run' / 'duplicates.csv'))
        copies = {b'a/1.jpg', b'a/\xff.jpg', b'b/5.jpg'}
        assert copies <= set(train.paths) or copies <= set(validation.paths)


@pytest.fixture
def reads(monkeypatch):
    """Names of the images that were read."""
    found, real = [], records.Records.read

    def read(self, indices):
        found.append(bytes(self.names[indices[0]]).decode())
        return real(self, indices)
    monkeypatch.setattr(records.Records, 'read', read)
    return found


def test_a_second_call_reads_only_files_that_changed(tmp_path, reads):
    _tree(tmp_path)
    first = _run(tmp_path, tmp_path / 'run')
    assert len(reads) >= 46
    reads.clear()
    assert _run(tmp_path, tmp_path / 'run') == first
    assert reads == []
    changed = tmp_path / 'train' / 'big' / '3.jpg'
    changed.write_bytes(b'big 9')  # as long as before
    os.utime(changed, ns=(0, changed.stat().st_mtime_ns + 1))
    (tmp_path / 'train' / 'big' / '4.jpg').write_bytes(b'longer than before')
    found = _run(tmp_path, tmp_path / 'run')
    assert sorted(reads) == ['train/big/3.jpg', 'train/big/4.jpg']
    assert found['duplicates']['across_splits']['first'] == [
        [['train', 'train/big/3.jpg'], ['train', 'train/big/9.jpg'],
         ['validation', 'val/big/x.jpg']]]
    reads.clear()
    (tmp_path / 'train' / 'big' / '3.jpg').unlink()
    assert _run(tmp_path, tmp_path / 'run')['images']['train'] == 42
    assert reads == []


def test_a_call_that_was_killed_goes_on(tmp_path, monkeypatch):
    paths = np.array([f'{i}.jpg' for i in range(1000)], 'S')
    for path in paths:
        (tmp_path / path.decode()).write_bytes(path)
    examples = Examples(np.zeros(1000), 'a', paths=paths, root=str(tmp_path))
    real, read = records.read_file, []

    def reading(path):
        read.append(path)
        return real(path)

    def dying(path):
        if path.endswith(b'/700.jpg'):
            raise RuntimeError('killed')
        return real(path)
    assert examples.storage.readers  # measured before, as that reads images too
    monkeypatch.setattr(records, 'read_file', dying)
    with pytest.raises(RuntimeError, match='killed'):
        hashes.digests(examples, progress=False, kept=tmp_path / 'hashes.bin')
    monkeypatch.setattr(records, 'read_file', reading)
    done = (tmp_path / 'hashes.bin').stat().st_size // 48
    assert 0 < done < 1000
    with open(tmp_path / 'hashes.bin', 'ab') as file:
        file.write(b'half an entry')
    found, _ = hashes.digests(examples, progress=False, kept=tmp_path / 'hashes.bin')
    assert len(read) == 1000 - done
    expected, _ = hashes.digests(examples, progress=False)
    np.testing.assert_array_equal(found, expected)
    again, _ = hashes.digests(examples, progress=False, kept=tmp_path / 'hashes.bin')
    np.testing.assert_array_equal(again, expected)


def test_hashes_of_records_count_while_the_records_are_the_same(tmp_path):
    class Store:
        images = [b'a', b'b', b'a']

        def read(self, numbers):
            return [self.images[i] for i in numbers]

    class Pack(Store):
        def facts(self, numbers):
            return np.array([len(self.images[i]) for i in numbers])

    names = np.array([b'1', b'2', b'3'])
    plain = Examples([0, 0, 0], 'a', records=records.Records(Store(), names))
    hashes.digests(plain, progress=False, kept=tmp_path / 'none.bin')
    assert not (tmp_path / 'none.bin').exists()  # nothing would tell that they had changed
    store = Pack()
    examples = Examples([0, 0, 0], 'a', records=records.Records(store, names))
    kept = tmp_path / 'hashes.bin'
    first, _ = hashes.digests(examples, progress=False, kept=kept)
    again, _ = hashes.digests(examples, progress=False, kept=kept)
    np.testing.assert_array_equal(first, again)
    assert kept.stat().st_size == 3 * 48
    store.images = [b'a', b'a', b'a']
    found, _ = hashes.digests(examples, progress=False, kept=kept)
    assert (found == first[0]).all()
