"""What a run's answers depend on: its fingerprint changes with that, and with nothing else."""

import hashlib
import json
import types

import pytest

from bsce_tf.data import view
from bsce_tf.evaluation import networks
from bsce_tf.evaluation.neighbours import vectors
from bsce_tf.training import workdir
from tests.smoke import smoke


@pytest.fixture
def fingerprint(tmp_path):
    """Function: fingerprint of a run with these fields, weights and test scales."""
    def of(weights=b'w', scales=(24,), classes=('a', 'b'), **fields):
        config = smoke(**{name.replace('__', '.'): value for name, value in fields.items()})
        (tmp_path / 'best.weights.h5').write_bytes(weights)
        (tmp_path / 'config.json').write_text(json.dumps(config.to_dict()))
        run = workdir.Run(tmp_path, config, classes, {'channels': 3},
                          tmp_path / 'best.weights.h5', {})
        network = types.SimpleNamespace(view=view.of(config.image, 3).at(scales))
        return networks.fingerprint(run, network), vectors.accepted([run], [network])[0]

    return of


def test_it_changes_with_what_changes_answers_alone(fingerprint):
    first, _ = fingerprint()
    for same in ({'report__pairs': 3}, {'epochs': 9}, {'data__root': '/elsewhere'},
                 {'model__head_parts': 'one'}, {'image__antialias': False}):
        assert fingerprint(**same)[0] == first, same
    for other in ({'weights': b'v'}, {'scales': (25,)}, {'classes': ('b', 'a')},
                  {'model__pooling': 'max'}, {'model__features': 'embedding'},
                  {'precision': 'mixed_bfloat16'}, {'image__aspect': 'keep'},
                  {'image__antialias': True}):
        assert fingerprint(**other)[0] != first, other


def test_an_index_of_an_earlier_version_is_accepted(fingerprint, tmp_path):
    newest, accepted = fingerprint(scales=(24, 28))
    digest = hashlib.sha256(b''.join(
        hashlib.sha256((tmp_path / name).read_bytes()).digest()
        for name in ('config.json', 'best.weights.h5'))).hexdigest()
    assert accepted == (newest, f'{digest} 24 28')
