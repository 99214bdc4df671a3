"""Adam, the average of its parameters and schedules do what their formulas say, worked out here by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recipes.training.optimizer import AveragedAdam, LinearSchedule


def run(optimizer, gradients, rate):
    """Take steps with the given gradients from the parameter 1; return it and its average after each."""
    state = optimizer.begin({"weight": jnp.ones(1)})
    states = []
    for gradient in gradients:
        state = optimizer.step(state, {"weight": jnp.array([gradient])}, learning_rate=jnp.float32(rate))
        states.append((float(state.parameters["weight"][0]), float(state.average["weight"][0])))
    return states


def test_steps_are_those_of_adam():
    gradients, value, first, second = [0.5, -0.2, 0.3], 1.0, 0.0, 0.0
    expected = []
    for step, gradient in enumerate(gradients, start=1):
        first, second = 0.9 * first + 0.1 * gradient, 0.98 * second + 0.02 * gradient**2
        value -= 0.1 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.98**step)) + 1e-8)
        expected.append(value)
    assert [value for value, _ in run(AveragedAdam(), gradients, 0.1)] == pytest.approx(expected, abs=1e-5)


def test_the_average_keeps_step_over_step_plus_delay_of_itself_up_to_its_share():
    states = run(AveragedAdam(averaging=0.4, averaging_delay=2.0), [1.0, 1.0, 1.0], 0.1)
    average = 1.0
    for (value, actual), kept in zip(states, [1 / 3, 0.4, 0.4], strict=True):
        average = kept * average + (1 - kept) * value
        assert actual == pytest.approx(average)


def test_steps_of_equal_optimisers_are_compiled_once():
    assert hash(AveragedAdam()) == hash(AveragedAdam())
    assert AveragedAdam() != AveragedAdam(averaging=0.9)


def test_a_state_keeps_parameters_and_average_apart():
    state = AveragedAdam().begin({"weight": jnp.ones(3)})
    # Steps give their state up: an array that stood in two places would be given up twice.
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((state.parameters, state.average))]
    assert len(set(pointers)) == 2


def test_schedules_go_in_a_straight_line():
    assert [LinearSchedule().share(step, steps=3) for step in range(3)] == [1.0, 1.0, 1.0]
    shares = [LinearSchedule(0.5, 0.1).share(step, steps=4) for step in range(4)]
    assert shares == pytest.approx([0.5, 0.4, 0.3, 0.2])
