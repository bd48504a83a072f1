import pytest

from tests.support.json_schema import violations

SCHEMA = {
    "type": "object",
    "required": ["a"],
    "properties": {
        "a": {"type": "array", "minItems": 1, "items": {"type": "number"}},
        "b": {"enum": ["x", "y"]},
        "c": {"type": "string", "pattern": "^bids:"},
        "d": {"type": "integer"},
        "e": {"const": 3},
    },
    "not": {"required": ["f"]},
}


def test_what_agrees():
    assert violations({"a": [1, 2.5], "b": "x", "c": "bids:y", "d": 4, "e": 3, "other": None}, SCHEMA) == []


@pytest.mark.parametrize(
    ("value", "says"),
    [([], "list, not object"), ({}, "no a"), ({"a": 1}, "$.a: int, not array"), ({"a": []}, "0 items"),
     ({"a": [1, "2"]}, "$.a[1]: str, not number"), ({"a": [True]}, "$.a[0]: bool"), ({"a": [1], "b": "z"}, "none of"),
     ({"a": [1], "c": "y"}, "does not match"), ({"a": [1], "d": 4.0}, "float, not integer"),
     ({"a": [1], "d": True}, "bool, not integer"), ({"a": [1], "e": 4}, "4, not 3"), ({"a": [1], "f": 1}, "must not")],
)  # fmt: skip
def test_what_does_not(value, says):
    (found,) = violations(value, SCHEMA)
    assert says in found


def test_a_word_that_is_not_known_is_an_error():
    with pytest.raises(AssertionError, match="maximum"):
        violations(1, {"maximum": 3})
