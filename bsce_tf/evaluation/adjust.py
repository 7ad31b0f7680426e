"""Logit adjustment after training: τ·log π is taken off the logits of a model made without it.

Menon et al. 2021, "Long-tail learning via logit adjustment", equation 9: the logits of a model that
was trained with plain cross-entropy follow the class shares π in training; without τ·log π, τ = 1,
they are those of equally frequent classes. A loss that adjusts (`loss.balance` =
'logit_adjustment') has done it already, and one with class weights in part.
"""

import numpy as np

from bsce_tf.data.sampler import drawn
from bsce_tf.errors import InputError
from bsce_tf.evaluation import counts, networks, run_data
from bsce_tf.losses import balance
from bsce_tf.training import workdir

AUTO = 'auto'
GRID = tuple(i / 10 for i in range(21))  # of τ, among which auto chooses


def taus(config, runs, devices, data=None):
    """τ of each run, as `config.adjust.tau` says.

    Args:
      config: ConfigDict; adjust, data, tta and batch_size are used.
      runs: list of `workdir.Run`, of the same classes.
      devices: tf.distribute.Strategy.
      data: `examples.Splits` to choose on instead of what `config.data` tells.

    Returns:
      List of floats. With 'auto' each is that of `GRID` with the smallest mean top-1 error on the
      validation set, all test scales averaged; the smallest of equal ones.

    Raises:
      InputError: if 'auto' has no validation set of the runs' classes, or one class of a run had no
        training image and so has no log π.
    """
    tau = config.adjust.tau
    if tau != AUTO:
        return [float(tau)] * len(runs)
    examples = run_data.validation(run_data.load(config, runs, data), runs)
    bad = workdir.bad_images_of(config, None)
    found = []
    for run in runs:
        with devices.scope():
            network = networks.of_run(run, config.tta.scales)
        prior = log_prior(run)

        def rankings(crops, network=network, prior=prior):
            _, logits = network.outputs(crops[0])
            return [(tau, logits - tau * prior) for tau in GRID]

        errors = counts.count(examples, [network.view], rankings, devices, config.batch_size, bad,
                              'adjust').errors(run.data['counts'])
        errors = {tau: error['mean_top1_error'] for tau, error in errors.items()}
        found.append(min(GRID, key=errors.get))
        print(f'{run.folder}: adjust.tau {found[-1]:g} has the smallest validation error, '
              f'{errors[found[-1]]:.4f}; without {errors[0]:.4f}')
    return found


def log_prior(run):
    """float32 `[K]`: log π, of the shares with which the run's last stage drew the classes.

    Raises:
      InputError: if a class had no training image.
    """
    sampler = run.config.sampler
    seen = drawn(np.asarray(run.data['counts']), sampler.gamma, sampler.cap)
    try:
        return balance.log_prior(seen)
    except InputError as error:
        raise InputError(f'adjust.tau: {run.folder}: {error}') from error


def adjusted(network, run, tau):
    """A run's `Network`, whose logits come without τ·log π."""
    return network._replace(shift=tau * log_prior(run)) if tau else network
