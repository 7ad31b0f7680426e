"""The paper's Table 2 on data that anyone can get: CE, BCE, SCE and BSCE on Fashion-MNIST.

    python -m experiments.table2 [--conditions=symmetric30] [--seeds=0,1,2]

The same network and epochs for all four, each with its choice of the same learning rates; see
`grid.Grid`. Writes results/table2.csv, a row a run, and results/table2.md.
"""

from absl import app

from configs import fashion_mnist
from experiments import study

CONDITIONS = {
    'symmetric30': {'data.imbalance': 50.0, 'data.noise': 0.3},
    'symmetric40': {'data.imbalance': 100.0, 'data.noise': 0.4},
    'asymmetric20': {'data.imbalance': 20.0, 'data.noise': 0.2, 'data.noise_kind': 'asymmetric'},
    'clean': {'data.imbalance': 1.0, 'data.noise': 0.0, 'epochs': 6},  # 3.3 × as many images
}
LOSSES = ('ce', 'bce', 'sce', 'bsce')
PAPER = {'ce': 0.1530, 'bce': 0.1430, 'sce': 0.1492, 'bsce': 0.1407}  # AliProducts, Table 2
STUDY = study.Study('table2', 'Losses, Fashion-MNIST', CONDITIONS,
                    {loss: {'loss.name': loss} for loss in LOSSES}, 'ce', PAPER,
                    seeds=[0, 1, 2], rates=[0.03, 0.1, 0.3], more_seeds={'symmetric30': [3, 4]},
                    same={('clean', 'bce'): ('table2', 'ce'),  # all weights are 1
                          ('clean', 'bsce'): ('table2', 'sce')})


def main(_):
    """Runs what the flags name."""
    study.run(STUDY, fashion_mnist.get_config())


if __name__ == '__main__':
    app.run(main)
