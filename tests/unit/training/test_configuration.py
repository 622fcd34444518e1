"""The text of what a run was asked to do."""

from training.configuration import flatten


def test_nested_fields_become_names_with_dots() -> None:
    """A recipe is one list of names and values."""
    assert dict(flatten({"a": {"b": 1, "c": {"d": 2}}, "e": [3]})) == {"a.b": 1, "a.c.d": 2, "e": [3]}
