import warnings

import pytest

from shd.errors import ShdWarning
from shd.fitting.said_warnings import said_warnings


def test_own_warnings_are_kept_once_and_all_are_shown():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with said_warnings() as said:
            for message, category in (("a", ShdWarning), ("b", UserWarning), ("a", ShdWarning), ("c", ShdWarning)):
                warnings.warn(message, category, stacklevel=1)
        warnings.warn("later", ShdWarning, stacklevel=1)
    assert said == ["a", "c"]
    assert [str(each.message) for each in shown] == ["a", "b", "a", "c", "later"]


def test_showing_is_as_before_after_an_error():
    before = warnings.showwarning
    with pytest.raises(KeyError), said_warnings():
        raise KeyError
    assert warnings.showwarning is before
