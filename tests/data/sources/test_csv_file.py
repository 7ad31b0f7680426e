import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from bsce_tf.data import sources
from bsce_tf.errors import InputError

IMAGES = ['a/1.jpg', 'b, "c"/2.jpg', 'é.png']
LABELS = ['shoes', 'bags', 'shoes']


def _write(path, images=IMAGES, labels=LABELS, columns=('image', 'label')):
    table = pa.table({columns[0]: images, 'other': list(range(len(images))), columns[1]: labels})
    if path.name.endswith('.parquet'):
        pa.parquet.write_table(table, path)
    elif path.name.endswith('.jsonl'):
        import json
        path.write_text('\n'.join(json.dumps(row) for row in table.to_pylist()))
    else:
        mark = '\t' if '.tsv' in path.name else ','
        quoted = [[str(cell).replace('"', '""') for cell in row.values()]
                  for row in table.to_pylist()]
        text = mark.join(table.column_names) + '\n' + ''.join(
            mark.join(f'"{cell}"' for cell in row) + '\n' for row in quoted)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == '.gz' else text.encode())
    return str(path)


def _load(train, **fields):
    return sources.load('csv', train=train, cache='off', **fields)


@pytest.mark.parametrize('name', ['t.csv', 't.tsv', 't.jsonl', 't.parquet', 't.csv.gz', 'T.CSV'])
def test_every_kind_of_table_gives_the_same(tmp_path, name):
    train = _load(_write(tmp_path / name)).train
    assert train.class_names == ('bags', 'shoes')
    np.testing.assert_array_equal(train.labels, [1, 0, 1])
    assert [path.decode() for path in train.paths] == IMAGES
    assert train.paths.dtype.kind == 'S'
    assert train.root == str(tmp_path)


@pytest.mark.parametrize('name', ['t.csv', 't.jsonl', 't.parquet'])
def test_whole_numbers_are_classes_in_order_of_value(tmp_path, name):
    assert _load(_write(tmp_path / name, labels=[10, 9, 10])).train.class_names == ('9', '10')


def test_columns_have_the_names_that_are_given(tmp_path):
    path = _write(tmp_path / 't.csv', columns=('file', 'sku'))
    train = _load(path, image_column='file', label_column='sku').train
    assert train.class_names == ('bags', 'shoes')
    with pytest.raises(InputError, match=r"no column 'image' \(data.image_column\) among file, ot"):
        _load(path)


def test_validation_is_mapped_onto_the_training_classes(tmp_path):
    train = _write(tmp_path / 't.csv')
    validation = _write(tmp_path / 'v.parquet', ['x.jpg', 'y.jpg'], ['shoes', 'shoes'])
    test = _write(tmp_path / 's.csv', ['z.jpg'], [''])
    splits = _load(train, validation='v.parquet', test=test, root=str(tmp_path))
    assert splits.validation.labels.tolist() == [1, 1]
    assert validation
    assert splits.test.labels.tolist() == [-1]
    assert splits.test.class_names == ('bags', 'shoes')


def test_a_test_table_may_lack_the_column_of_labels(tmp_path):
    (tmp_path / 's.csv').write_text('image\na.jpg\nb.jpg\n')
    assert _load(_write(tmp_path / 't.csv'), test='s.csv',
                 root=str(tmp_path)).test.labels.tolist() == [-1, -1]


@pytest.mark.parametrize(('text', 'found'), [
    ('image,label\n../a.jpg,x\n', "image 1 has the path '../a.jpg'"),
    ('image,label\na.jpg,x\n/b.jpg,x\n', "image 2 has the path '/b.jpg'"),
    ('image,label\n,x\n', 'image 1 has the path'),
    ('image,label\na.jpg,x\nb.jpg,\n', 'image 2, b.jpg, has no label .1 of 2.'),
    ('image\na.jpg\n', 'image 1, a.jpg, has no label'),
    ('image,label\n', 'no image found'),
    ('', 'not a readable csv file'),
    ('image,label\na.jpg\n', 'not a readable csv file'),
])
def test_says_what_is_wrong_with_a_table(tmp_path, text, found):
    (tmp_path / 't.csv').write_text(text)
    with pytest.raises(InputError, match=f't.csv: {found}'):
        _load(str(tmp_path / 't.csv'))


def test_says_what_is_wrong_with_other_files(tmp_path):
    with pytest.raises(InputError, match='none.csv: No such file'):
        _load(str(tmp_path / 'none.csv'))
    (tmp_path / 't.xlsx').write_bytes(b'PK')
    with pytest.raises(InputError, match='expected a name that ends with .csv'):
        _load(str(tmp_path / 't.xlsx'))
    with pytest.raises(InputError, match='data.train: empty'):
        _load('')
    (tmp_path / 't.parquet').write_bytes(b'PAR1 no')
    with pytest.raises(InputError, match='t.parquet: not a readable parquet file'):
        _load(str(tmp_path / 't.parquet'))
    with pytest.raises(InputError, match='holds fractions'):
        _load(_write(tmp_path / 'f.parquet', labels=[0.5, 1.0, 2.0]))
    assert _load(_write(tmp_path / 'g.parquet', labels=[3.0, 1.0, 3.0])).train.class_names == (
        '1', '3')
