"""Where the documentation lies, and where its tutorials' outputs go."""

import pathlib

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / 'docs'
TUTORIALS = ROOT / 'build/tutorials'  # see `tutorials`
