import math

import numpy as np
import pytest

from bsce_tf.training.schedule import Schedule, plateau
from bsce_tf.training.state import State


def test_plateau_divides_the_rate_after_patience():
    state, schedule = State(), Schedule('plateau', 0.01, 70, 10)
    rates = []
    for error in [0.5, 0.4, 0.4, 0.41, 0.39, 0.4, 0.4]:
        plateau(state, error, 2)
        rates.append(schedule.rate(0, state.drops))
    np.testing.assert_allclose(rates, [1e-2, 1e-2, 1e-2, 1e-3, 1e-3, 1e-3, 1e-4])


def test_cosine_goes_from_base_to_final():
    schedule = Schedule('cosine', 0.4, 100, 10, final=0.25)
    rates = [schedule.rate(step) for step in range(101)]
    reference = 0.4 * (0.25 + 0.75 * (1 + np.cos(np.pi * np.arange(101) / 100)) / 2)
    np.testing.assert_allclose(rates, reference, rtol=1e-12)
    assert rates[50] == pytest.approx(0.25)


def test_step_falls_after_its_milestones():
    schedule = Schedule('step', 1.0, 60, 10, factor=0.1, milestones=(2, 4))
    assert [schedule.rate(s) for s in (0, 19)] == [1.0, 1.0]
    np.testing.assert_allclose([schedule.rate(s) for s in (20, 39, 40, 59)], [0.1, 0.1, .01, .01])


@pytest.mark.parametrize('name', ['plateau', 'constant', 'cosine', 'step'])
def test_warm_up_multiplies_any_of_them(name):
    plain = Schedule(name, 0.1, 40, 10, milestones=(1,))
    warm = plain._replace(warmup_steps=4)
    factors = [warm.rate(s) / plain.rate(s) for s in range(8)]
    np.testing.assert_allclose(factors, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1])


def test_constant_knows_no_drops():
    assert Schedule('constant', 0.1, 40, 10).rate(39, drops=3) == 0.1
    assert Schedule('plateau', 0.1, 40, 10).rate(39, drops=3) == pytest.approx(1e-4)
    assert math.isinf(State().lowest)
