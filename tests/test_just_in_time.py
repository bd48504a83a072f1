from types import SimpleNamespace

import numba

from shd import just_in_time


def test_compiles_where_no_folder_can_keep_the_result(monkeypatch):
    """numba raises RuntimeError when decorating with cache=True and neither of its folders can be written."""
    real, asked = numba.njit, []

    def without_folder(**options):
        asked.append(options.get("cache", False))
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(just_in_time, "numba", SimpleNamespace(njit=without_folder))
    double = just_in_time.compiled(lambda x: 2 * x)
    assert double(3) == 6 and asked == [True, False]
