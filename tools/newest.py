"""The packages of setup.cfg without their upper bounds, for `make test-next`.

  python tools/newest.py              requirements, one a line: the core and the extra `test`
  python tools/newest.py --installed  their versions in this environment
"""

import configparser
import importlib.metadata
import pathlib
import re
import sys

SETUP = pathlib.Path(__file__).parents[1] / 'setup.cfg'
EXTRA = 'test'


def requirements(path=SETUP):
    """Sorted requirements: lower bounds and exact versions stay, upper bounds do not."""
    config = configparser.ConfigParser()
    config.read(path, encoding='utf-8')
    extras = config['options.extras_require']
    lines = [*config['options']['install_requires'].split('\n'), *_of_extra(extras, EXTRA)]
    return sorted({re.sub(r',\s*<[^,]*', '', line.strip()) for line in lines if line.strip()})


def _of_extra(extras, name):
    for line in extras[name].split('\n'):
        others = re.fullmatch(r'bsce-tf\[(.*)\]', line.strip())
        if others:
            for other in others[1].split(','):
                yield from _of_extra(extras, other)
        else:
            yield line


def main():
    """See above."""
    for line in requirements():
        if '--installed' in sys.argv:
            name = re.match(r'[\w.-]+', line)[0]
            line = f'newest: {name} {importlib.metadata.version(name)}'
        print(line)


if __name__ == '__main__':
    main()
