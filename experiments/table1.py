"""The paper's Table 1 on data that anyone can get: backbones, with CE and with BSCE.

    python -m experiments.table1 [--seeds=0,1,2]

Fashion-MNIST with the demo's long tail and wrong labels, made larger to 96 px; EfficientNet-Lite0
from its ImageNet weights, the others small forms of ResNet, ResNeSt and PNASNet from scratch, with
the same images and steps. Runs stay in runs/table1, for `experiments.table4`. Writes
results/table1.csv and results/table1.md; `experiments.table3` shows its runs scale by scale.
"""

from absl import app

from configs import fashion_mnist
from experiments import study

BACKBONES = {
    'small_resnet': {},
    'small_resnest': {},
    'small_pnasnet': {},
    'efficientnet_lite0': {'model.weights': 'imagenet'},
}
LOSSES = ('ce', 'bsce')
PAPER = {'small_resnet, ce': 0.2169, 'small_resnest, ce': 0.1584, 'small_pnasnet, ce': 0.1530,
         'small_pnasnet, bsce': 0.1407}  # AliProducts, Table 1 and 2, of the large networks
ARMS = {f'{backbone}, {loss}': {'model.backbone': backbone, 'loss.name': loss, **changes}
        for backbone, changes in BACKBONES.items() for loss in LOSSES}
STUDY = study.Study('table1', 'Backbones, Fashion-MNIST at 96 px', {'symmetric30': {}}, ARMS,
                    'small_resnet, ce', PAPER, seeds=[0, 1, 2], rates=[0.03],
                    keep=True)


def get_config():
    """The demo's data at 96 px, for a budget that two cores bear."""
    config = fashion_mnist.get_config()
    config.deterministic = True
    config.image.size = 96
    config.image.scales = (96, 104, 112)
    config.image.eval_scale = 104
    config.batch_size = 32
    config.epochs, config.steps = 4, 100
    config.schedule.name = 'cosine'
    config.schedule.warmup_steps = 50
    return config


def main(_):
    """Runs what the flags name."""
    study.run(STUDY, get_config())


if __name__ == '__main__':
    app.run(main)
