import numpy as np
import pytest

from bsce_tf.data import label_map
from bsce_tf.errors import InputError

NAMES = ('shoes/boots', 'Café', 'a, "b"', '7', 'a\rb', 'a\r\nb', ' x ')


@pytest.mark.parametrize('name', ['map.json', 'map.csv'])
def test_what_is_saved_is_loaded(tmp_path, name):
    label_map.save(tmp_path / name, NAMES)
    assert label_map.load(tmp_path / name) == NAMES
    (tmp_path / name).write_bytes(b'\xef\xbb\xbf' + (tmp_path / name).read_bytes())  # a BOM
    assert label_map.load(tmp_path / name) == NAMES


def test_check_passes_equal_maps_and_names_the_first_difference():
    label_map.check(NAMES, list(NAMES))
    with pytest.raises(InputError, match="val.csv: class 1 is 'Cafe'; expected 'Café', as in"):
        label_map.check(NAMES, ('shoes/boots', 'Cafe', 'y', '7'), 'train.csv', 'val.csv')
    with pytest.raises(InputError, match='found 3 classes; expected 7'):
        label_map.check(NAMES, NAMES[:3])


def test_positions_are_ids_and_minus_one_for_strangers():
    np.testing.assert_array_equal(label_map.positions(['7', 'x', 'Café'], NAMES), [3, -1, 1])


def test_numbers_are_ordered_by_value_and_other_names_by_code_point():
    assert label_map.ordered(['10', '9', '009']) == ['009', '9', '10']
    assert label_map.ordered(['10', '9', 'b', 'B']) == ['10', '9', 'B', 'b']


@pytest.mark.parametrize(('name', 'text', 'found'), [
    ('map.txt', 'a', "ends with '.txt'"),
    ('map.json', '{"a": 1}', 'JSON list'),
    ('map.json', '["a"', 'not JSON'),
    ('map.json', '["a", "a"]', "'a' comes twice"),
    ('map.json', '[]', 'no class name'),
    ('map.csv', 'label,class\n0,a\n', 'expected label and name'),
    ('map.csv', 'label,name,name\n0,a,b\n', "columns .'label', 'name', 'name'.; expected label"),
    ('map.csv', 'label,name\n0,a\n2,b\n', "row 2 has label '2'; expected 1"),
])
def test_says_what_is_wrong_with_a_file(tmp_path, name, text, found):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=found):
        label_map.load(tmp_path / name)


def test_names_that_differ_only_by_spaces_or_unicode_form_are_found():
    names = ['bags', 'bags ', 'Bags', 'Caf\u00e9', 'Cafe\u0301', 'a b', 'a\u00a0 b', 'ab']
    assert label_map.alike(names) == [['bags', 'bags '], ['Cafe\u0301', 'Caf\u00e9'],
                                      ['a b', 'a\u00a0 b']]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match='map.json: No such file'):
        label_map.load(tmp_path / 'map.json')
