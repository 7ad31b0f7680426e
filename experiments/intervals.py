"""Means over seeds, and differences of pairs, in words."""

import statistics

from scipy import stats


def summary(errors):
    """'mean ± standard deviation (n)' of {seed: error}; 'not run' of none."""
    values = list(errors.values())
    if not values:
        return 'not run'
    spread = f' ± {statistics.stdev(values):.4f}' if len(values) > 1 else ''
    return f'{statistics.mean(values):.4f}{spread} ({len(values)})'


def difference(errors, others):
    """Mean of errors − others over the seeds of both, with its 95 % interval (Student's t)."""
    pairs = [errors[seed] - others[seed] for seed in errors if seed in others]
    if not pairs:
        return 'not run'
    mean = statistics.mean(pairs)
    if len(pairs) == 1:
        return f'{mean:+.4f} (1)'
    half = half_interval(pairs)
    return (f'{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]'
            + (', not told apart from 0' if abs(mean) <= half else ''))


def over_shared(errors, data=lambda key: ()):
    """{(data, seed): mean} of {(…, seed): error}: runs of one seed share its data, and count once.

    Args:
      errors: {(…, seed): error}.
      data: function of such a key that gives the same for runs of the same data.
    """
    found = {}
    for key, error in errors.items():
        found.setdefault((data(key), key[-1]), []).append(error)
    return {key: statistics.mean(values) for key, values in found.items()}


def half_interval(values):
    """Half of the 95 % interval (Student's t) of the mean of two or more values."""
    return (stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values)
            / len(values) ** 0.5)
