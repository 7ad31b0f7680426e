import csv
import io
import json
import os
import signal

import ml_collections
import numpy as np
import pytest
from PIL import Image

from bsce_tf.catalogue import pack, verify
from bsce_tf.data import sources
from bsce_tf.data.reading import records
from bsce_tf.errors import InputError, PreemptedError, RunError
from tests.smoke import smoke


def _jpeg(seed=0, size=16, kind='JPEG'):
    values = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


BAD = {
    'a/bomb.png': 'expected at most 1000',
    'a/cut.jpg': 'JPEG that is truncated',
    'a/empty.jpg': '0 bytes',
    'b/folder.jpg': 'not a file',
    'b/forbidden.jpg': 'Permission denied',
    'b/gone.jpg': 'No such file or directory',
    'b/page.jpg': 'an HTML page',
    'b/pipe.jpg': 'not a file',
}


def _tree(root):
    """Real files of every kind of trouble; the path of each is in a table."""
    good = {'a/1.jpg': _jpeg(1), 'a/2.png': _jpeg(2, kind='PNG'), 'b/really a png.jpg':
            _jpeg(3, kind='PNG'), 'b/4.jpg': _jpeg(4)}
    bad = {'a/bomb.png': _jpeg(5, 40, 'PNG'), 'a/cut.jpg': _jpeg(6)[:-20], 'a/empty.jpg': b'',
           'b/page.jpg': b'<html>404</html>'}
    for name, data in (good | bad).items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    (root / 'b' / 'folder.jpg').mkdir()
    os.mkfifo(root / 'b' / 'pipe.jpg')
    names = sorted(list(good) + list(BAD))
    with open(root / 'all.csv', 'w', newline='') as file:
        csv.writer(file).writerows([('image', 'label')] + [(name, name[0]) for name in names])
    return names


def _config(root, part='', **fields):
    data = {'source': 'csv', 'root': str(root), 'train': f'{root}/all.csv', 'cache': 'off',
            'max_pixels': 1000, 'warned': 'keep'}
    return ml_collections.ConfigDict({'part': part, 'data': data | fields})


def _rows(path):
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


class Forbidding(records.Files):
    """Files of which one may not be read: tests run as root, whom no permission stops."""

    def read(self, numbers):
        if any(self._paths[number] == b'b/forbidden.jpg' for number in numbers):
            try:
                raise PermissionError(13, 'Permission denied')
            except OSError as error:
                raise InputError('b/forbidden.jpg: Permission denied.') from error
        return super().read(numbers)


def test_every_kind_of_bad_file_is_found_and_the_others_make_the_clean_list(
        tmp_path, monkeypatch, capsys):
    (tmp_path / 'data').mkdir()
    names = _tree(tmp_path / 'data')
    monkeypatch.setattr(records, 'Files', Forbidding)
    run = tmp_path / 'run'
    verify.run(_config(tmp_path / 'data'), run)

    bad = {row['path']: row['reason'] for row in _rows(run / 'bad_images.csv')}
    assert sorted(bad) == sorted(BAD)
    for name, reason in BAD.items():
        assert reason in bad[name]
    clean = _rows(run / 'clean_train.csv')
    assert [row['image'] for row in clean] == [name for name in names if name not in BAD]
    assert all(row['label'] == row['image'][0] for row in clean)
    summary = json.loads((run / 'verify.json').read_text())['train']
    assert (summary['images'], summary['bad']) == (12, 8)
    assert summary['wrong_endings'] == [['b/really a png.jpg', 'PNG']]
    assert '8 bad images' in capsys.readouterr().out
    assert not list(run.glob('*.jsonl'))

    fields = sources.fields(_config(tmp_path / 'data', clean=str(run)).data)
    assert len(sources.load('csv', **fields).train) == 4


def test_records_are_verified_too(tmp_path):
    (tmp_path / 'a').mkdir()
    for i in range(5):
        (tmp_path / 'a' / f'{i}.jpg').write_bytes(_jpeg(i)[:-30 if i == 3 else None])
    pack.run(smoke(**{'data.source': 'folder', 'data.root': str(tmp_path),
                      'data.shard_images': 2}), tmp_path)
    packed = str(tmp_path / 'packed')
    verify.run(_config(packed, source='packed', train=''), tmp_path)
    assert [row['path'] for row in _rows(tmp_path / 'bad_images.csv')] == ['a/3.jpg']
    splits = sources.load('packed', root=packed, clean=str(tmp_path))
    assert splits.train.records.names.tolist() == [b'a/0.jpg', b'a/1.jpg', b'a/2.jpg', b'a/4.jpg']


def _damaged():
    """JPEGs that decode with a warning: bytes zeroed, bytes lost, and stray ones, which do no harm.

    With one of no warning between them.
    """
    whole = _jpeg(1, 64)
    middle = len(whole) // 2
    start = whole.index(b'\xff\xdb')
    return {'zeroed.jpg': whole[:middle] + bytes(200) + whole[middle + 200:], 'good.jpg': whole,
            'lost.jpg': whole[:middle] + whole[middle + 301:],
            'stray.jpg': whole[:start] + b'xyz' + whole[start:]}


@pytest.mark.parametrize('warned', ['keep', 'bad'])
def test_damaged_images_that_decode_are_listed_with_the_decoders_words(tmp_path, warned, capsys):
    (tmp_path / 'data' / 'a').mkdir(parents=True)
    for name, data in _damaged().items():
        (tmp_path / 'data' / 'a' / name).write_bytes(data)
    config = _config(tmp_path / 'data', source='folder', train='', max_pixels=0, warned=warned)
    config.data.validation_fraction = 0.1
    verify.run(config, tmp_path / 'run')
    listed, empty = ('bad_images.csv', 'warned_images.csv')[::1 if warned == 'bad' else -1]
    assert _rows(tmp_path / 'run' / empty) == []
    rows = {row.pop('path'): ' '.join(row.values()) for row in _rows(tmp_path / 'run' / listed)}
    assert sorted(rows) == ['a/lost.jpg', 'a/stray.jpg', 'a/zeroed.jpg']
    assert 'extraneous bytes before marker' in rows['a/stray.jpg']
    assert all('Corrupt JPEG data' in text for text in rows.values())
    assert all(text.startswith('decoder warned: ') == (warned == 'bad') for text in rows.values())
    clean = [row['image'] for row in _rows(tmp_path / 'run' / 'clean_train.csv')]
    assert clean == (['a/good.jpg'] if warned == 'bad' else [f'a/{name}' for name in sorted(
        _damaged())])
    assert 'decoder warned: Corrupt' in capsys.readouterr().out


class Fragile:
    """A store whose reader kills its process at certain images, as a broken decoder would."""

    def __init__(self, deadly, log):
        self._deadly, self._log = deadly, log

    def read(self, numbers):
        with open(self._log, 'a') as log:
            log.write(''.join(f'{number}\n' for number in numbers))
        if set(numbers) & set(self._deadly):
            os.kill(os.getpid(), signal.SIGKILL)
        return [_jpeg(int(number)) for number in numbers]


def _reader(tmp_path, count, deadly):
    return records.Records(Fragile(deadly, tmp_path / 'log'), np.arange(count).astype('S'))


def test_a_decoder_that_crashes_is_survived_and_its_image_found(tmp_path):
    bad, _, _ = verify.verify(_reader(tmp_path, 100, {40, 41, 99}), 0, tmp_path / 'journal',
                           processes=2, progress=False)
    assert bad == dict.fromkeys((40, 41, 99), 'decoder crashed: its process was killed')


def test_an_interrupted_verification_goes_on(tmp_path):
    journal = tmp_path / 'journal'
    entries = [{'first': 0, 'last': 31, 'bad': {'7': 'old verdict'}, 'warned': {'9': 'odd'},
                'endings': []},
               {'first': 64, 'last': 95, 'bad': {}, 'warned': {}, 'endings': [['70', 'PNG']]}]
    journal.write_text('{"head": 1}\n' + ''.join(json.dumps(entry) + '\n' for entry in entries)
                       + '{"first": 32, "la')  # the process was killed while it wrote
    bad, warned, endings = verify.verify(_reader(tmp_path, 100, {50}), 0, journal, processes=1,
                                 progress=False)
    assert bad == {7: 'old verdict', 50: 'decoder crashed: its process was killed'}
    assert warned == {9: 'odd'}
    assert endings == [['70', 'PNG']]
    judged = {int(line) for line in (tmp_path / 'log').read_text().split()}
    assert judged == set(range(32, 64)) | set(range(96, 100))
    again, _, _ = verify.verify(_reader(tmp_path, 100, set(range(100))), 0, journal, processes=1,
                             progress=False)
    assert again == bad  # nothing is judged twice


def test_a_stop_keeps_the_verdicts_and_lets_nobody_in_meanwhile(tmp_path, monkeypatch):
    (tmp_path / 'a').mkdir()
    for i in range(40):
        (tmp_path / 'a' / f'{i}.jpg').write_bytes(_jpeg(i))
    config, run = _config(tmp_path, source='folder', train=''), tmp_path / 'run'
    update = verify.Bar.update

    def stop(bar, *arguments):
        update(bar, *arguments)
        with pytest.raises(RunError, match='run is in use by process'):
            verify.run(config, run)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(verify, '_judge_all', lambda reader, chunks, *_: (
        (chunk, [('', '', '')] * len(chunk)) for chunk in chunks))
    monkeypatch.setattr(verify.Bar, 'update', stop)
    with pytest.raises(PreemptedError, match=r'verdicts that are done stay, .* \(SIGTERM\)'):
        verify.run(config, run)
    assert len((run / 'verify_train.jsonl').read_text().splitlines()) == 2  # head, and one entry
    monkeypatch.setattr(verify.Bar, 'update', update)
    verify.run(config, run)
    assert len(_rows(run / 'clean_train.csv')) == 40
    assert not list(run.glob('*.jsonl'))
    assert not (run / '.lock').exists()


def test_a_journal_of_other_data_is_not_used(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / '1.jpg').write_bytes(_jpeg())
    stale = {'first': 0, 'last': 0, 'bad': {'0': 'old'}, 'warned': {}, 'endings': []}
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'verify_train.jsonl').write_text('{}\n' + json.dumps(stale) + '\n')
    verify.run(_config(tmp_path, source='folder', train=''), tmp_path / 'run')
    assert _rows(tmp_path / 'run' / 'bad_images.csv') == []


def test_images_in_memory_cannot_be_verified():
    from bsce_tf.data.examples import Examples
    with pytest.raises(InputError, match='in memory, decoded'):
        records.of(Examples([0], ('a',), images=np.zeros((1, 2, 2, 1), np.uint8)))
