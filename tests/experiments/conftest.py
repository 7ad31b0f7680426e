import importlib
import sys

import pytest
from absl import flags


@pytest.fixture
def smoke():
    """Config of a run of seconds, with the flags of the programs parsed."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(sys.argv[:1])
    return importlib.import_module('configs.smoke').get_config()
