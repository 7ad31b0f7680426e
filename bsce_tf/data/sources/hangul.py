"""Hangul: thousands of real classes, the syllables of Korean in about 70 typefaces.

A class is a syllable: all 11,172 of Unicode, or the 2,350 of the standard KS X 1001. An image is a
syllable in one typeface, grey, 36 × 36, slightly turned, sheared, scaled and moved. Images of a
class differ like photographs of one product, classes like similar products. The typefaces of
validation and test, some of them handwriting and display faces, are in no training image. Classes
have equally many images and a random order; data.imbalance and data.noise make the set harder.

`tools/get_hangul_fonts.sh` gets the typefaces from Debian's packages, and `experiments/hangul.py`
draws, in minutes. Licences of the typefaces, which allow drawings of any use: SIL Open Font License
1.1 (fonts-nanum, -nanum-eco, -nanum-extra, -noto-cjk, -woowa-bm), GNU GPL 2 (fonts-unfonts-core,
-unfonts-extra), and Baekmuk's own, like MIT's (fonts-baekmuk). The packages' usr/share/doc has them
in full. This program does not distribute the drawings.
"""

import pathlib

from bsce_tf.data.sources import arrays
from bsce_tf.errors import InputError

FOLDER = '.data/hangul/2350'


def load(root=''):
    """Training, validation and test images.

    Args:
      root: folder that `experiments/hangul.py` wrote; empty: `FOLDER`.

    Returns:
      `Splits`; class names are the syllables.

    Raises:
      InputError: if the folder has no drawings, or they are damaged.
    """
    folder = pathlib.Path(root or FOLDER)
    if not arrays.exists(folder, 'train'):
        raise InputError(f'data.root: {folder.absolute()} has no drawings of syllables; expected a '
                         'folder that tools/get_hangul_fonts.sh and python -m experiments.hangul '
                         'made.')
    return arrays.load(root=folder)
