"""Former names of fields, which still work wherever a field is named."""

from absl import logging

RENAMED = {'audit.below': 'audit.threshold_factor', 'audit.keep': 'audit.min_images_per_class'}
_logged = set()  # old names that this process has warned about


def current(name):
    """The present dotted name of a field; warns once if `name` is a former one."""
    if name in RENAMED and name not in _logged:
        _logged.add(name)
        logging.warning('config.%s is now called config.%s; the old name still works.', name,
                        RENAMED[name])
    return RENAMED.get(name, name)
