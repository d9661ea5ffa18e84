"""The one table of names: rows by a line at their class, in order, and unknown names refused with the known ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from homunculus.bridge.errors import ModelError, PlanError
from homunculus.bridge.registry import Registry


def test_a_class_stays_what_it_is_and_its_row_is_made_where_asked() -> None:
    classes: Registry[type] = Registry("backend", PlanError)
    made: Registry[object] = Registry("allocator", PlanError, make=True)

    @classes.register("one")
    @made.register("one")
    class One:
        pass

    assert classes["one"] is One
    assert isinstance(made["one"], One)
    other = One()
    assert made.register("other")(other) is other
    assert made["other"] is other
    assert made.register("function")(len) is len
    assert made["function"] is len
    assert list(made) == ["one", "other", "function"]
    assert len(made) == 3
    assert isinstance(made, Mapping)
    assert made.register("one")(other) is made["one"]
    assert next(iter(made)) == "one"


@pytest.mark.parametrize("name", ["three", "", None, 3, ["one"]])
def test_an_unknown_name_is_refused_with_the_known_ones_and_a_remedy(name: object) -> None:
    rows: Registry[int] = Registry("method", ModelError, "give an object with `encode`")
    rows.register("one")(1)
    rows.register("two")(2)
    assert rows.get("two") == 2
    with pytest.raises(ModelError) as refused:
        rows.get(name)
    assert str(refused.value) == (
        f"method {name!r} is unknown; choose one of one, two, or give an object with `encode`"
    )


def test_a_file_in_the_folder_is_all_that_a_row_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "rows_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "table.py").write_text(
        "from homunculus.bridge.errors import PlanError\n"
        "from homunculus.bridge.registry import Registry\n"
        "registry = Registry('row', PlanError)\n"
    )
    (package / "mine.py").write_text(
        "from rows_of_a_test.table import registry\n\n@registry.register('mine')\ndef mine():\n    return 7\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from rows_of_a_test.table import registry  # type: ignore[import-not-found]

    assert "mine" not in registry
    registry.discover("rows_of_a_test")
    assert registry.get("mine")() == 7
