import numpy as np
from matplotlib.figure import Figure

from shd.report.response_curves import draw_angles, draw_decay, signal_at_angles
from shd.signal.forward_model import fibre_signal
from shd.signal.gradients import gradient_table
from shd.signal.response import Response
from tests.support.fits import BVALUES, ROWS


def test_the_signal_is_that_of_a_fibre_at_that_angle():
    response, degrees = Response("wm", BVALUES, ROWS["wm"]), np.array([0.0, 25.0, 60.0, 90.0])
    radians = np.radians(degrees)
    at = np.stack([np.sin(radians), np.zeros(4), np.cos(radians)], axis=-1)
    directions = np.concatenate([np.zeros((1, 3)), at, at])
    gradients = gradient_table(np.array([0.0, *[1000.0] * 4, *[3000.0] * 4]), directions)
    signal = fibre_signal(response, gradients, np.array([[0.0, 0.0, 1.0]]))[:, 0]
    found = signal_at_angles(response, degrees)
    np.testing.assert_allclose(found[1:].ravel(), signal[1:], rtol=1e-6)
    np.testing.assert_allclose(found[0], signal[0], rtol=1e-6)


def test_a_curve_a_shell_and_a_line_a_tissue():
    axes = Figure().subplots(1, 2)
    responses = [Response(tissue, BVALUES, rows) for tissue, rows in ROWS.items()]
    draw_angles(axes[0], responses[0])
    draw_decay(axes[1], responses)
    assert len(axes[0].lines) == 3 and len(axes[1].lines) == 3
    np.testing.assert_allclose(axes[1].lines[2].get_ydata(), responses[2].mean_signal)
