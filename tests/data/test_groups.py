import logging

import numpy as np
import pytest

from bsce_tf.data import clean_list, groups, prepare, sources, texts
from bsce_tf.data.examples import Examples
from bsce_tf.errors import InputError


def _examples(paths, labels=None, **fields):
    labels = np.arange(len(paths)) % 2 if labels is None else labels
    return Examples(labels, ('a', 'b'), paths=np.array([path.encode() for path in paths]),
                    origin='list', **fields)


def _sets(together):
    """The groups of more than one image, as sets of places."""
    return sorted(tuple(np.flatnonzero(together == number).tolist())
                  for number in np.unique(together) if (together == number).sum() > 1)


@pytest.mark.parametrize(('pattern', 'expected'), [
    (r'/(\d+)_', ['1', '1', '22']), (r'\d+_', ['1_', '1_', '22_']), (r'[^/]+', ['é', 'é', 'é']),
    (r'/(1)_|/.*', ['1', '1', '/22_a.jpg'])])
def test_the_first_brackets_or_else_the_match_are_the_group(pattern, expected):
    examples = _examples(['é/1_a.jpg', 'é/1_b.jpg', 'é/22_a.jpg'])
    found = groups.by_pattern(examples, pattern)
    assert [group.decode() for group in found] == expected


def test_expressions_that_do_not_fit_are_told(caplog):
    examples = _examples(['1_a.jpg', 'x.jpg', 'y.jpg'])
    with pytest.raises(InputError, match=r"group_pattern: '\(' is no regular expression \(missing"):
        groups.by_pattern(examples, '(')
    for pattern in (r'\d+', r'^\d*', r'^(\d*).*'):  # no match, an empty one, empty brackets
        with pytest.raises(InputError, match=r"finds no text in 'x.jpg' \(2 such images of list\)"):
            groups.by_pattern(examples, pattern)
    found = groups.by_pattern(examples, r'\d+', needed=False)
    assert found.tolist() == [b'1', b'', b'']
    assert "finds no text in 'x.jpg' (2 such images of list)" in caplog.text
    memory = Examples([0, 1], ('a', 'b'), images=np.zeros((2, 4, 4, 3), np.uint8), origin='photos')
    with pytest.raises(InputError, match='the images of photos have no paths'):
        groups.by_pattern(memory, r'\d+')


def test_groups_copies_and_listed_copies_are_joined(tmp_path):
    examples = _examples(['a', 'b', './a', 'c', 'd/e', 'd//e', 'f', 'g', 'h'], groups=np.array(
        [b'', b'p', b'p', b'', b'', b'', b'', b'q', b'']))
    assert _sets(groups.together(examples)) == [(0, 1, 2), (4, 5)]
    assert _sets(groups.together(examples, '')) == [(1, 2)]
    clean_list.write_rows(tmp_path / 'duplicates.csv', groups.DUPLICATES, [
        (0, 'train', b'c', 'a'), (0, 'train', b'f', 'b'), (0, 'train', b'g', 'b'),
        (1, 'train', b'h', 'a'), (1, 'validation', b'a', 'a'), (2, 'train', b'gone', 'a'),
        (2, 'train', b'a', 'a')])
    found = groups.together(examples, str(tmp_path / 'duplicates.csv'))
    assert _sets(found) == [(0, 1, 2), (3, 6, 7), (4, 5)]
    clean_list.write_rows(tmp_path / 'near.csv', (*groups.PAIRS, 'label_b'), [
        (b'h', 'a', b'c', 'a'), (b'c', 'a', b'b', 'b')])
    assert _sets(groups.together(examples, str(tmp_path / 'near.csv'))) == [
        (0, 1, 2, 3, 8), (4, 5)]
    assert groups.together(_examples(['a', 'b'])) is None


def test_long_chains_are_joined():
    order = np.random.default_rng(0).permutation(3000)
    first, second = order[:-1], order[1:]
    keep = np.arange(2999) % 1000 != 999
    found = groups._joined(3000, first[keep], second[keep])
    expected = np.empty(3000, int)
    for part in order.reshape(3, 1000):
        expected[part] = part.min()
    np.testing.assert_array_equal(found, expected)


def test_equal_texts_are_paired_in_their_order():
    values = np.random.default_rng(0).integers(0, 300, 2000).astype('S')
    expected = {(int(i), int(j)) for i in range(2000) for j in np.flatnonzero(
        values[i + 1:] == values[i])[:1] + i + 1}
    found = groups.equal_pairs(texts.of(values))
    assert set(zip(*(part.tolist() for part in found), strict=True)) == expected


def test_lists_that_do_not_belong_to_the_data_are_told(tmp_path):
    examples, path = _examples(['a', 'b']), tmp_path / 'list.csv'
    for text, found in (('group,split,image,label\n0,train,x,a\n0,train,y,a\n', 'none of its 2 im'),
                        ('image,label\na,b\n', 'found the columns image, label; expected dupl'),
                        ('group,split,image,label\n0,train\n', 'line 2 has 2 cells; expected gro')):
        path.write_text(text)
        with pytest.raises(InputError, match=f'list.csv: {found}') as error:
            groups.together(examples, str(path))
        assert '\n' not in str(error.value)
    with pytest.raises(InputError, match=r'none.csv: No such file.*a list of copies \(data.copies'):
        groups.together(examples, str(tmp_path / 'none.csv'))


@pytest.fixture
def table(tmp_path):
    """40 products of 2 classes with 3 photographs each, 4 of these listed twice."""
    rows = [f'{product % 2}/{product}_{view}.jpg,{product % 2},p{product}'
            for product in range(40) for view in range(3)]
    (tmp_path / 'train.csv').write_text('\n'.join(['image,label,product', *rows, *rows[:4]]) + '\n')
    return tmp_path


@pytest.mark.parametrize('fields', [
    {'group_column': 'product'}, {'group_pattern': r'/(\d+)_'},
    {'group_column': 'product', 'noise': 0.3, 'imbalance': 3.0}])
def test_validation_has_other_products_than_training(table, fields):
    splits = prepare.load('csv', root=str(table), train='train.csv', cache='off', **fields)
    sides = [{path.split(b'_')[0] for path in part.paths} for part in splits[:2]]
    assert sides[0].isdisjoint(sides[1])
    assert all(sides)
    if 'noise' not in fields:
        assert [len(part) for part in splits[:2]] == [112, 12]
        assert splits.validation.counts.tolist() == [6, 6]


def test_rows_of_one_file_are_on_one_side_unless_an_earlier_version_split_them(table):
    def sides(**fields):
        train, validation, _ = prepare.load('csv', root=str(table), train='train.csv', cache='off',
                                            validation_fraction=0.5, **fields)
        return set(train.paths) & set(validation.paths)
    assert not sides()
    assert sides(copies='')


def test_a_clean_list_takes_no_group_apart(table):
    whole = sources.load('csv', root=str(table), train='train.csv', cache='off',
                         group_column='product').train
    clean_list.write(table / 'clean.csv', whole, np.r_[4:100])
    fields = {'train': 'train.csv', 'cache': 'off', 'clean': str(table / 'clean.csv')}
    train, validation, _ = prepare.load('csv', root=str(table), group_column='product', **fields)
    assert len(train) + len(validation) == 96
    assert not set(train.groups) & set(validation.groups)
    np.testing.assert_array_equal(train.groups, [
        b'p' + path.split(b'/')[1].split(b'_')[0] for path in train.paths.tolist()])


def test_classes_in_one_group_are_named(tmp_path, caplog):
    rows = [f'{i}.jpg,{"ab"[i >= 20]},{min(i, 20)}' for i in range(26)]
    (tmp_path / 't.csv').write_text('\n'.join(['image,label,product', *rows]))
    with caplog.at_level(logging.INFO, logger='absl'):
        _, validation, _ = prepare.load('csv', train=str(tmp_path / 't.csv'), cache='off',
                                        group_column='product')
    assert validation.counts.tolist() == [2, 0]
    assert "all images of a class are one group in 1 classes ('b')" in caplog.text
    assert '26 images in 21 groups; 2 of 2 groups are for validation' in caplog.text


def test_groups_where_there_can_be_none_are_refused(table):
    with pytest.raises(InputError, match="data.group_column: found 'x', which data.source folder "):
        sources.load('folder', root=str(table), group_column='x')
    with pytest.raises(InputError, match="group_pattern: found 'x', but the images of .* no paths"):
        sources.load('generated', group_pattern='x')
    with pytest.raises(InputError, match="beside data.group_column = 'product'; expected one of"):
        sources.load('csv', root=str(table), train='train.csv', cache='off', group_pattern='x',
                     group_column='product')
    with pytest.raises(InputError, match=r"no column 'sku' \(data.group_column\) among image, label"
                                         ', product'):
        sources.load('csv', root=str(table), train='train.csv', cache='off', group_column='sku')
    with pytest.raises(InputError, match='list: found 1 groups of 2 images'):
        _examples(['a', 'b'], groups=np.array([b'x']))


def test_a_list_of_validation_or_test_images_may_lack_the_column(table, caplog):
    (table / 'val.csv').write_text('image,label\nx.jpg,1\n')
    splits = sources.load('csv', root=str(table), train='train.csv', validation='val.csv',
                          cache='off', group_column='product')
    assert splits.validation.groups.tolist() == [b'']
    assert "no column 'product' (data.group_column) among image, label; each image" in caplog.text
