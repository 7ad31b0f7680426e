"""The demo: Fashion-MNIST with a long tail and wrong labels, a small residual network, on a CPU.

  python main.py

Training labels: 30 % wrong, class sizes falling from 6,000 to 120. Test: the official split, clean
and balanced. 28 px, minutes on two cores.
"""

from configs import default


def get_config():
    """The defaults with what the docstring above says."""
    config = default.get_config()
    config.epochs = 18
    config.batch_size = 64
    config.data.source = 'fashion_mnist'
    config.data.imbalance = 50.0
    config.data.noise = 0.3
    config.image.size = 28
    config.image.scales = (28, 30, 32)
    config.image.eval_scale = 28
    config.model.backbone = 'small_resnet'
    config.schedule.patience = 2
    return config
