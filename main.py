"""bsce-tf: train, evaluate and serve image classifiers on imbalanced, wrongly labelled catalogues.

  python main.py                                          # the demo
  python main.py --config=configs/X.py --workdir=DIR --mode=train --config.loss.alpha=0.4
  python main.py --help                                   # the modes
"""

import os
import sys

from bsce_tf import cli

if __name__ == '__main__':
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')  # else off on CPUs without AVX-512
    sys.exit(cli.main(sys.argv))
