import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from labkit import published
from labkit._paths import project_root

GOOD = {
    "final_usd": 1007.14497,
    "simple_cycles": 84,
    "profitable_cycles": 30,
    "best_product": 1.00714497,
}


@pytest.mark.parametrize("key", published.keys())
def test_every_publication_reads_and_its_chapter_exists(key):
    source = published.publication(key)
    assert (project_root() / "notebooks" / f"{source.chapter}.py").is_file()


@pytest.mark.parametrize("key", published.keys())
def test_every_publication_is_checked_by_its_chapter(key):
    chapter = project_root() / "notebooks" / f"{published.publication(key).chapter}.py"
    assert f'"{key}"' in chapter.read_text(encoding="utf-8")


@pytest.mark.parametrize("key", published.keys())
def test_every_citation_is_in_the_bibliography(key):
    citation = published.publication(key).citation
    bibliography = (project_root() / "book" / "references.bib").read_text(encoding="utf-8")
    assert not citation or f"{{{citation}," in bibliography


def test_changing_the_inputs_changes_nothing_for_others():
    published.inputs("sedgewick_wayne_rates")["rates"][0][1] = 99.0
    assert published.inputs("sedgewick_wayne_rates")["rates"][0][1] == 0.741


def test_equal_values_match():
    checked = published.check("sedgewick_wayne_rates", **GOOD)
    assert checked.matches
    assert set(checked.table["verdict"]) == {"matches"}


def test_a_value_outside_the_tolerance_differs():
    checked = published.check("sedgewick_wayne_rates", **GOOD | {"profitable_cycles": 31})
    assert not checked.matches
    row = checked.table.set_index("quantity").loc["of these, with product above 1"]
    assert row["verdict"] == "differs"
    assert row["difference"] == 1


def test_a_value_that_cannot_be_computed_says_why():
    checked = published.check("sedgewick_wayne_rates", **GOOD | {"final_usd": "no rates here"})
    assert checked.matches
    assert checked.table["verdict"].iloc[0] == "cannot be checked"
    assert checked.table["reason"].iloc[0] == "no rates here"


def test_standard_errors_widen_only_as_the_file_allows(monkeypatch):
    source = published.publication("sedgewick_wayne_rates")
    noisy = source.quantities["final_usd"].model_copy(update={"standard_errors": 3.0})
    changed = source.model_copy(update={"quantities": source.quantities | {"final_usd": noisy}})
    values = GOOD | {"final_usd": (1007.2, 0.02)}
    assert not published.check("sedgewick_wayne_rates", **values).matches
    monkeypatch.setattr(published, "publication", lambda key: changed)
    assert published.check("sedgewick_wayne_rates", **values).matches
    assert not published.check(
        "sedgewick_wayne_rates", **values | {"final_usd": (1007.3, 0.02)}
    ).matches


def test_a_known_difference_keeps_its_row_and_reason(monkeypatch):
    source = published.publication("sedgewick_wayne_rates")
    known = source.quantities["final_usd"].model_copy(update={"reason": "misprint"})
    changed = source.model_copy(update={"quantities": source.quantities | {"final_usd": known}})
    monkeypatch.setattr(published, "publication", lambda key: changed)
    checked = published.check("sedgewick_wayne_rates", **GOOD | {"final_usd": 1.0})
    assert checked.matches
    assert checked.table[["verdict", "reason"]].iloc[0].to_list() == ["differs", "misprint"]
    bundle = checked._repr_mimebundle_()
    description = source.quantities["final_usd"].description
    assert bundle["text/plain"].splitlines()[-1] == f"{description}: misprint"
    assert f"<ul><li>{description}: misprint</li></ul>" in bundle["text/html"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"final_usd": 1.0}, "has the quantities"),
        (GOOD | {"extra": 1.0}, "has the quantities"),
        (GOOD | {"final_usd": float("nan")}, "final_usd: must be finite"),
        (GOOD | {"final_usd": (1.0, -1.0)}, "final_usd: must be finite with a finite se >= 0"),
        (GOOD | {"final_usd": (1.0, float("inf"))}, "final_usd: must be finite with a finite se"),
        (GOOD | {"final_usd": " "}, "final_usd: the reason why it cannot be checked"),
    ],
)
def test_bad_measurements_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        published.check("sedgewick_wayne_rates", **values)


def test_an_unknown_key_is_refused_and_the_known_ones_named():
    with pytest.raises(ValueError, match=r"'nope'; there are .*sedgewick_wayne_rates"):
        published.check("nope", value=1.0)


def test_the_ledger_has_a_row_for_each_quantity_of_executed_notebooks(tmp_path):
    checked = published.check("sedgewick_wayne_rates", **GOOD)
    output = new_output("execute_result", checked._repr_mimebundle_(), execution_count=1)
    path = tmp_path / "executed.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("check", outputs=[output])]), path)
    table = published.ledger([path])
    assert len(table) == 4
    assert set(table["verdict"]) == {"matches"}
    assert set(table["chapter"]) == {"triangular_arbitrage"}
    assert table["published"].iloc[0] == 1007.14497
