"""Names that fields had before: they go on to work wherever a field is named."""

from absl import logging

RENAMED = {'audit.below': 'audit.threshold_factor', 'audit.keep': 'audit.min_images_per_class'}
_told = set()  # old names that this process has named in its log


def current(name):
    """The dotted name that a field has now; says once where `name` is an older one."""
    if name in RENAMED and name not in _told:
        _told.add(name)
        logging.warning('config.%s is now called config.%s; the old name still works.', name,
                        RENAMED[name])
    return RENAMED.get(name, name)
