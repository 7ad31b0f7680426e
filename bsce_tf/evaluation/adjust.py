"""Logit adjustment after training: subtracts τ·log π from the logits of a trained model.

Menon et al. 2021, "Long-tail learning via logit adjustment", equation 9: logits of a model trained
with plain cross-entropy depend on the class frequencies π in training. Minus τ·log π with τ = 1,
they fit equally frequent classes. A loss that adjusts the logits itself (`loss.balance` =
'logit_adjustment') leaves no adjustment to do; a loss with class weights leaves a part of it.
"""

import numpy as np
from absl import logging

from bsce_tf.data.sampler import drawn
from bsce_tf.errors import InputError
from bsce_tf.evaluation import counts, networks, run_data
from bsce_tf.losses import balance, balance_of
from bsce_tf.training import workdir

AUTO = 'auto'
GRID = tuple(i / 10 for i in range(21))  # values of τ that 'auto' tries


def taus(config, runs, devices, data=None):
    """τ of each run, from `config.adjust.tau`.

    Args:
      config: ConfigDict; adjust, data, tta and batch_size are used.
      runs: list of `workdir.Run`, of the same classes.
      devices: tf.distribute.Strategy.
      data: `examples.Splits` to choose τ on instead of `config.data`.

    Returns:
      List of floats. With 'auto', each is the τ of `GRID` with the lowest mean top-1 error on the
      validation set, with all test scales averaged; ties: the smallest τ.

    Raises:
      InputError: if 'auto' has no validation set of the runs' classes, or a class of a run had no
        training image and so has no log π.
    """
    tau = config.adjust.tau
    if tau != AUTO:
        for run in runs if tau else ():
            loss = run.config.loss
            if loss.tau and balance_of(loss.name, loss.balance) == 'logit_adjustment':
                logging.warning('adjust.tau: found %g for %s, whose loss %s adjusted the logits by '
                                'loss.tau %g; expected 0, as they are adjusted twice.', tau,
                                run.folder, loss.name, loss.tau)
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
        print(f'{run.folder}: adjust.tau {found[-1]:g} has the lowest validation error, '
              f'{errors[found[-1]]:.4f}; without {errors[0]:.4f}')
    return found


def log_prior(run):
    """float32 `[K]`: log π of the class frequencies that the sampler of the run's last stage drew.

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
    """The `Network` of a run with τ·log π subtracted from its logits."""
    return network._replace(shift=tau * log_prior(run)) if tau else network
