"""bsce-tf: train, evaluate and serve image classifiers on imbalanced, wrongly labelled catalogues.

  python main.py                                          # the demo
  python main.py train --config=configs/X.py --workdir=DIR --config.loss.alpha=0.4
  python main.py --help                                   # the modes

`bsce`, which the package installs, is the same command.
"""

from bsce_tf import cli

if __name__ == '__main__':
    cli.run()
