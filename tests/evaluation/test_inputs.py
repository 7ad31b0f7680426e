import shutil

import pyarrow as pa
import pyarrow.parquet
import pytest

from bsce_tf.data.reading import records
from bsce_tf.errors import InputError
from bsce_tf.evaluation import inputs

DATA = {'source': 'generated', 'image_column': 'image', 'root': '', 'readers': 0}


def load(source, **fields):
    examples, names = inputs.load(str(source), data={**DATA, **fields})
    return [name.decode() for name in names], records.of(examples).read(range(len(examples)))


@pytest.fixture
def tree(tmp_path):
    for name in ('b/2.png', 'b/1.JPG', 'a/x/3.webp', '0.gif', 'b/notes.txt', '.hidden/4.png'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_a_folder_is_walked_in_order_past_system_folders(tree):
    for name in ('__MACOSX/b/2.png', 'b/@eaDir/1.png', 'lost+found/9.jpg', 'b/._2.png'):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(b'x')
    names, found = load(tree)
    assert names == ['0.gif', 'a/x/3.webp', 'b/1.JPG', 'b/2.png']
    assert found == [name.encode() for name in names]


@pytest.mark.parametrize(('file', 'text'), [
    ('l.txt', 'b/2.png\r\n\na/x/3.webp\n'), ('l.txt', '\ufeffb/2.png\na/x/3.webp\n'),
    ('l.csv', '\ufeffimage,label\nb/2.png,x\na/x/3.webp,y\n'), ('l.lst', 'b/2.png\na/x/3.webp'),
    ('l.csv', 'image,label\nb/2.png,x\na/x/3.webp,y\n'), ('l.tsv', 'image\nb/2.png\na/x/3.webp\n'),
    ('l.jsonl', '{"image": "b/2.png"}\n{"image": "a/x/3.webp"}\n')])
def test_lists(tree, tmp_path_factory, file, text):
    (tree / file).write_text(text)
    names, found = load(tree / file)
    assert names == ['b/2.png', 'a/x/3.webp']
    assert found == [b'b/2.png', b'a/x/3.webp']
    elsewhere = tmp_path_factory.mktemp('lists') / file
    shutil.move(tree / file, elsewhere)
    assert load(elsewhere, root=str(tree)) == (names, found)


def test_a_parquet_list_with_another_column(tree):
    pa.parquet.write_table(pa.table({'file': ['b/2.png', '0.gif']}), tree / 'l.parquet')
    assert load(tree / 'l.parquet', image_column='file')[1] == [b'b/2.png', b'0.gif']


def test_absolute_paths_and_one_image(tree):
    (tree / 'l.txt').write_text(f'{tree}/0.gif\nb/../b/2.png\n')
    assert load(tree / 'l.txt') == ([f'{tree}/0.gif', 'b/../b/2.png'], [b'0.gif', b'b/2.png'])
    assert load(tree / 'b' / '1.JPG') == ([f'{tree}/b/1.JPG'], [b'b/1.JPG'])


def test_a_relative_image(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert load('b/2.png') == (['b/2.png'], [b'b/2.png'])
    assert load('b')[0] == ['1.JPG', '2.png']


def test_what_cannot_be_predicted_is_named(tree):
    (tree / 'l.json').write_text('{}')
    (tree / 'l.doc').write_text('a')
    (tree / 'l.csv').write_text('path\na.png\n')
    (tree / 'l.txt').write_text('\n \n')
    (tree / 'l.lst').write_bytes(b'a\0b')
    (tree / 'empty').mkdir()
    for name, message in (('l.json', 'found a JSON dict'),
                          ('l.doc', "ends with '.doc'"), ('no', 'does not exist'),
                          ('l.csv', "no column 'image'.*among path"), ('l.txt', 'no image found'),
                          ('l.lst', 'not a text'), ('empty', 'no image found')):
        with pytest.raises(InputError, match=message):
            load(tree / name)


def test_data_without_a_test_set(tree):
    for i in range(4):
        (tree / 'a' / 'x' / f'{i}.png').write_bytes(b'')
    with pytest.raises(InputError, match='has no test set'):
        inputs.load('', data={'source': 'folder', 'root': str(tree / 'a'),
                              'readers': 0, 'validation_fraction': 0.4})
