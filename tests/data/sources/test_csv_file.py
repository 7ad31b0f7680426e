import datetime
import decimal
import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from bsce_tf.data import sources
from bsce_tf.data.listing import index_cache, tables
from bsce_tf.errors import InputError

IMAGES = ['a/1.jpg', 'b, "c"/2.jpg', 'é.png']
LABELS = ['shoes', 'bags', 'shoes']


def _write(path, images=IMAGES, labels=LABELS, columns=('image', 'label')):
    table = pa.table({columns[0]: images, 'other': list(range(len(images))), columns[1]: labels})
    if path.name.endswith('.parquet'):
        pa.parquet.write_table(table, path)
    elif path.name.endswith('.jsonl'):
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


DATES = [datetime.date(2020, 1, 1), datetime.date(2021, 12, 31)]
TIMES = [datetime.datetime(2020, 1, 1), datetime.datetime(2021, 12, 31, 12, 30)]


@pytest.mark.parametrize(('csv', 'jsonl', 'parquet'), [
    (['2020-01-01', '2021-12-31'], ['"2020-01-01"', '"2021-12-31"'], pa.array(DATES)),
    (['2020-01-01', '2021-12-31 12:30:00'], ['"2020-01-01"', '"2021-12-31 12:30:00"'],
     pa.array(TIMES, pa.timestamp('ns'))),
    (['true', 'false'], ['true', 'false'], pa.array([True, False])),
    (['7', '-12'], ['7', '-12'], pa.array([7, -12])),
    (['7', '12'], ['"7"', '"12"'], pa.array([7.0, 12.0], pa.float32())),
    (['1.50', '2.25'], ['1.50', '2.25'], pa.array([decimal.Decimal('1.50'), decimal.Decimal(
        '2.25')])),
    (['007', '1e3'], ['"007"', '1e3'], pa.array(['007', '1e3'])),
    (['NA', 'null'], ['"NA"', '"null"'], pa.array([b'NA', b'null'])),
    (['é ', 'None'], ['"\\u00e9 "', '"None"'], pa.array(['é ', 'None']).dictionary_encode()),
])
def test_a_label_is_the_same_text_in_every_kind_of_table(tmp_path, csv, jsonl, parquet):
    (tmp_path / 't.csv').write_text(f'image,label\na.jpg,{csv[0]}\nb.jpg,{csv[1]}\n')
    (tmp_path / 't.jsonl').write_text(
        f'{{"image": "a.jpg", "label": {jsonl[0]}}}\n{{"image": "b.jpg", "label": {jsonl[1]}}}\n')
    pa.parquet.write_table(pa.table({'image': ['a.jpg', 'b.jpg'], 'label': parquet}),
                           tmp_path / 't.parquet')
    for name in ('t.csv', 't.jsonl', 't.parquet'):
        train = _load(str(tmp_path / name)).train
        assert [train.class_names[k] for k in train.labels] == csv, name


def test_classes_that_look_the_same_are_told(tmp_path, caplog):
    path = _write(tmp_path / 't.csv', labels=['Caf\u00e9', 'bags', 'bags '])
    validation = _write(tmp_path / 'v.csv', labels=['Cafe\u0301', 'bags', 'bags'])
    with caplog.at_level('WARNING'):
        assert len(_load(path, validation=validation).train.class_names) == 4
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: the classes {names} differ only by spaces or by Unicode form, and are taken as "
        'different ones.' for names in ("'Cafe\\u0301' and 'Caf\\xe9'", "'bags' and 'bags '")]


def test_a_field_that_the_source_does_not_take_is_refused(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / '1.jpg').write_bytes(b'x')
    fields = {'root': str(tmp_path), 'image_column': 'image', 'label_column': 'label', 'cache': 'x'}
    assert len(sources.load('folder', **fields).train) == 1
    with pytest.raises(InputError, match="data.label_column: found 'kind', which data.source folder"
                       " does not take; expected 'label', as it takes data.root, data.train"):
        sources.load('folder', **{**fields, 'label_column': 'kind'})
    with pytest.raises(InputError, match='data.classes: .* packed does not take'):
        sources.load('packed', root=str(tmp_path), classes='names.json')
    with pytest.raises(InputError, match='data.root: .* generated does not take'):
        sources.load('generated', root=str(tmp_path))
    with pytest.raises(InputError, match='data.classes: .* fashion_mnist does not take'):
        sources.load('fashion_mnist', classes='names.json')


def test_a_bom_and_paths_of_any_bytes_are_read(tmp_path):
    (tmp_path / 't.csv').write_bytes(b'\xef\xbb\xbfimage,label\n\xff.jpg,x\n"a\rb\nc.jpg",y\n')
    (tmp_path / 't.jsonl').write_bytes(
        b'\xef\xbb\xbf{"image": "a.jpg", "label": "x"}\n\n{"label": 5, "image": "b.jpg"}')
    assert _load(str(tmp_path / 't.csv')).train.paths.tolist() == [b'\xff.jpg', b'a\rb\nc.jpg']
    assert _load(str(tmp_path / 't.jsonl')).train.class_names == ('5', 'x')


def test_a_test_table_may_lack_the_column_of_labels(tmp_path, caplog):
    (tmp_path / 's.csv').write_text('image,lable\na.jpg,x\nb.jpg,y\n')
    with caplog.at_level('WARNING'):
        assert _load(_write(tmp_path / 't.csv'), test='s.csv',
                     root=str(tmp_path)).test.labels.tolist() == [-1, -1]
    assert "s.csv: no column 'label' (data.label_column) among image, lable; taken" in caplog.text


@pytest.mark.parametrize(('text', 'found'), [
    ('image,label\n../a.jpg,x\n', "image 1 has the path '../a.jpg'"),
    ('image,label\na.jpg,x\n/b.jpg,x\n', "image 2 has the path '/b.jpg'"),
    ('image,label\n,x\n', 'image 1 has the path'),
    ('image,label\na.jpg,x\nb.jpg,\n', 'image 2, b.jpg, has no label .1 of 2.'),
    ('image\na.jpg\n', r"no column 'label' .data.label_column. among image"),
    ('image,lable\na.jpg,x\n', r"no column 'label' .data.label_column. among image, lable"),
    ('image,label,label\na.jpg,x,y\n', "2 columns are called 'label' .data.label_column."),
    ('image,image,label\na.jpg,b.jpg,y\n', "2 columns are called 'image' .data.image_column."),
    ('image,label\n', 'no image found'),
    ('', 'not a readable csv file'),
    ('image,label\na.jpg\n', 'not a readable csv file'),
    (b'image,label\na.jpg,Caf\xe9\n', r"the label b'Caf.xe9' in row 1 of column 'label' is not"),
])
def test_says_what_is_wrong_with_a_table(tmp_path, text, found):
    (tmp_path / 't.csv').write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=f't.csv: {found}') as error:
        _load(str(tmp_path / 't.csv'))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(('text', 'found'), [
    ('{"image": "a.jpg", "label": "x"}\n{"image": ', 'line 2: Expecting value'),
    ('["a.jpg", "x"]', 'line 1: not an object'),
    ('{"image": "a.jpg", "label": ["x"]}', r"line 1: found \['x'\]"),
    ('{"image": "a.jpg", "label": "x", "label": "y"}', "line 1: a name comes twice in"),
    ('{"image": "a.jpg", "label": "\\ud800"}', 'line 1: .* surrogates'),
    ('{"image": "a.jpg", "label": "x"}\n{"label": "y"}', 'row 2 has no path')])
def test_says_what_is_wrong_with_json_lines(tmp_path, text, found):
    (tmp_path / 't.jsonl').write_text(text)
    with pytest.raises(InputError, match=f't.jsonl: .*{found}') as error:
        _load(str(tmp_path / 't.jsonl'))
    assert '\n' not in str(error.value)


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
    with pytest.raises(InputError, match="'label' holds 0.5 in row 1; expected text or whole"):
        _load(_write(tmp_path / 'f.parquet', labels=[0.5, 1.0, 2.0]))
    for value in (1e20, float('inf')):
        with pytest.raises(InputError, match="'label' holds (1e.20|inf) in row 2"):
            _load(_write(tmp_path / 'f.parquet', labels=[1.0, value, 2.0]))
    assert _load(_write(tmp_path / 'n.parquet'), test=_write(
        tmp_path / 'm.parquet', labels=[float('nan')] * 3)).test.labels.tolist() == [-1] * 3
    with pytest.raises(InputError, match="'label' is a column of type list"):
        _load(_write(tmp_path / 'l.parquet', labels=[[1], [2], [3]]))
    twice = pa.Table.from_arrays([pa.array(['a']), pa.array(['x']), pa.array(['y'])],
                                 names=['image', 'label', 'label'])
    pa.parquet.write_table(twice, tmp_path / 'd.parquet')
    with pytest.raises(InputError, match="d.parquet: 2 columns are called 'label'"):
        _load(str(tmp_path / 'd.parquet'))
    assert _load(_write(tmp_path / 'g.parquet', labels=[3.0, 1.0, 3.0])).train.class_names == (
        '1', '3')


def test_a_table_in_parts(tmp_path):
    (tmp_path / 'lists').mkdir()
    (tmp_path / 'lists' / 'part-1.csv').write_text('image,label\nc.jpg,bag\nd.jpg,hat\n')
    (tmp_path / 'lists' / 'part-0.jsonl').write_text(
        '{"label": "shoe", "image": "a.jpg"}\n{"image": "b.jpg", "label": "bag"}\n')
    (tmp_path / 'lists' / '.part-2.csv').write_text('nothing')
    (tmp_path / 'lists' / 'notes.md').write_text('nothing')
    for train in ('lists', 'lists/part-*'):
        found = sources.load('csv', root=str(tmp_path), train=train, cache='off').train
        assert found.paths.tolist() == [b'a.jpg', b'b.jpg', b'c.jpg', b'd.jpg']
        assert [found.class_names[k] for k in found.labels] == ['shoe', 'bag', 'bag', 'hat']
    (tmp_path / 'lists' / 'part-3.csv').write_text('picture,label\na,b\n')
    with pytest.raises(InputError, match=r"part-3.csv: no column 'image'"):
        sources.load('csv', root=str(tmp_path), train='lists', cache='off')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match=r'empty: no table in it; expected files that end with'):
        sources.load('csv', root=str(tmp_path), train='empty', cache='off')


@pytest.mark.parametrize(('name', 'text'), [
    ('a.json', '[{"image": "x y.jpg", "label": 2020}, {"image": "b.jpg", "label": "bag"}]'),
    ('a.txt', 'x y.jpg 2020\nb.jpg bag\n'), ('a.txt', '\ufeffx y.jpg\t2020\r\n\nb.jpg\tbag')])
def test_lists_of_objects_and_plain_lists(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    found = sources.load('csv', train=str(tmp_path / name), cache='off').train
    assert found.paths.tolist() == [b'x y.jpg', b'b.jpg']
    assert [found.class_names[k] for k in found.labels] == ['2020', 'bag']


def test_json_of_another_kind_is_told(tmp_path):
    for text, message in (('{"image": 3}', 'found a JSON dict; expected one list'),
                          ('[3]', 'entry 1: not an object'), ('[', 'not a readable json file')):
        (tmp_path / 'a.json').write_text(text)
        with pytest.raises(InputError, match=message):
            sources.load('csv', train=str(tmp_path / 'a.json'), cache='off')


def test_absolute_paths_below_the_data_folder_are_taken(tmp_path):
    (tmp_path / 'a.csv').write_text(f'image,label\n{tmp_path}/in/x.jpg,bag\ny.jpg,hat\n')
    found = sources.load('csv', root=str(tmp_path), train='a.csv', cache='off').train
    assert found.paths.tolist() == [b'in/x.jpg', b'y.jpg']
    with pytest.raises(InputError, match='expected a path relative to the data folder'):
        sources.load('csv', root=str(tmp_path / 'i'), train=str(tmp_path / 'a.csv'), cache='off')


def test_a_plain_list_without_labels(tmp_path):
    (tmp_path / 'a.txt').write_text('x y.jpg red shoe\n')
    (tmp_path / 'b.txt').write_text('x y.JPG\nz.png\n')
    found = sources.load('csv', root=str(tmp_path), train='a.txt', test='b.txt', cache='off').test
    assert found.class_names == ('red shoe',)
    assert found.paths.tolist() == [b'x y.JPG', b'z.png']
    assert not found.labelled


@pytest.mark.parametrize('name', ['t.csv', 't.jsonl', 't.parquet'])
def test_groups_are_a_column_and_stay_in_the_index(tmp_path, monkeypatch, name):
    monkeypatch.setattr(index_cache, '_SMALLEST', 0)
    table = pa.table({'image': ['1.jpg', '2.jpg', '3.jpg'], 'label': ['a', 'a', 'b'],
                      'product': pa.array([7, None, 12], pa.int64())})
    if name == 't.parquet':
        pa.parquet.write_table(table, tmp_path / name)
    elif name == 't.csv':
        (tmp_path / name).write_text('image,label,product\n1.jpg,a,7\n2.jpg,a,\n3.jpg,b,12\n')
    else:
        (tmp_path / name).write_text('\n'.join(map(json.dumps, table.to_pylist())))

    def load(**fields):
        return sources.load('csv', train=str(tmp_path / name), cache=str(tmp_path / 'cache'),
                            **fields).train.groups
    assert load(group_column='product').tolist() == [b'7', b'', b'12']
    monkeypatch.setattr(tables, 'read', None)
    assert load(group_column='product').tolist() == [b'7', b'', b'12']
    monkeypatch.undo()
    assert load() is None
