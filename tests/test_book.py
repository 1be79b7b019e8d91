"""tools/book.py and labkit/_sphinx.py, without building the book."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nbformat
import pandas as pd
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

from labkit import _sphinx as sphinx

ROOT = Path(__file__).parents[1]


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("book_tool", ROOT / "tools" / "book.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


book = _load()

LEDGER = {
    "key": "paper_2009",
    "title": "A paper",
    "source": "Author (2009), Table 2",
    "read": "paper",
    "chapter": "triangular_arbitrage",
    "quantity": "mean gain",
    "published": 1.00714497,
    "ours": 1.00714497,
    "se": float("nan"),
    "tolerance": 1e-8,
    "verdict": "matches",
    "reason": "",
}
SET = {
    "title": "Three markets",
    "kind": "recording",
    "provider": "Exchange",
    "origin": "https://example.org/a_b/c.csv",
    "licence": "CC0",
    "terms": "",
    "period": "2022",
    "time_zone": "UTC",
    "units": "USD",
    "checks": "",
    "defects": "gaps",
    "url": "https://example.org/a_b/c.csv",
    "place": "",
}
FRAGMENTS = dict.fromkeys(book.FRAGMENTS, "text\n")


def notebook(first: str = "# Title\n\nText.") -> nbformat.NotebookNode:
    cells = [nbformat.v4.new_markdown_cell(first), nbformat.v4.new_code_cell("1")]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in small: one page, one chapter, one executed copy of it."""
    for folder in ("book", "notebooks", "labkit", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "_config.yml").write_text("title: T\n")
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nparts:\n"
        "- caption: C\n  chapters:\n  - file: notebooks/one\n- chapters:\n  - file: book/data\n"
    )
    (tmp_path / "book" / "intro.md").write_text("# Intro\n")
    (tmp_path / "book" / "chapters.toml").write_text("[one]\nfee_bps = 5.0\n")
    (tmp_path / "labkit" / "__init__.py").write_text("")
    (tmp_path / "data" / "registry.toml").write_text("")
    (tmp_path / "notebooks" / "one.py").write_text("# %%\n1\n")
    nbformat.write(notebook(), tmp_path / "notebooks" / "one.ipynb")
    return tmp_path


def executed(project: Path, **given: object) -> object:
    facts = {"datasets": {"simulated": []}, "backend": "rust", "wall_seconds": 12.4}
    return book.Chapter("one", project / "notebooks" / "one.ipynb", facts, given, False)


# ------------------------------------------------------------------ what the book consists of


def test_chapters_are_the_notebooks_of_the_contents_in_order(project: Path) -> None:
    assert book.chapters(project / "_toc.yml") == ["one"]
    assert "triangular_arbitrage" in book.chapters(ROOT / "_toc.yml")


def test_parameters_of_a_chapter_that_is_not_there_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "chapters.toml"
    path.write_text("[one]\nseed = 3\n[two]\n")
    assert book.chapter_parameters(path, ["one", "two", "three"]) == {
        "one": {"seed": 3},
        "two": {},
        "three": {},
    }
    with pytest.raises(book.BookError, match="two is not a chapter"):
        book.chapter_parameters(path, ["one"])


def test_committed_parameters_belong_to_chapters() -> None:
    names = book.chapters(ROOT / "_toc.yml")
    assert set(book.chapter_parameters(ROOT / "book" / "chapters.toml", names)) == set(names)


@pytest.mark.parametrize("missing", ["real_2022", "trades_2022"])
def test_where_data_are_missing_a_chapter_runs_with_its_own_parameters(missing: str) -> None:
    """All of them: those of a recorded market do not fit a simulated one."""
    lines: list[str] = []
    given = {"dataset": "real_2022", "trades": "trades_2022", "market": "spot", "order_lots": 1000}
    at_hand = {"real_2022": True, "trades_2022": True, "other": False}
    assert book.with_data_at_hand("one", given, at_hand, lines.append) == given
    assert lines == []
    assert book.with_data_at_hand("one", given, at_hand | {missing: False}, lines.append) == {}
    assert len(lines) == 1
    assert f"labkit data fetch {missing}" in lines[0]


def test_a_data_set_that_is_not_registered_is_refused() -> None:
    with pytest.raises(ValueError, match="one: no data set 'typo'"):
        book.with_data_at_hand("one", {"dataset": "typo"}, {"real_2022": True}, print)


@pytest.mark.parametrize(
    "changed",
    [
        "_config.yml",
        "_toc.yml",
        "book/intro.md",
        "notebooks/one.py",
        "labkit/__init__.py",
        "data/registry.toml",
    ],
)
def test_key_changes_with_every_input(project: Path, changed: str) -> None:
    places = book.Places(project)
    before = book.input_key(places, {"a": "cache"})
    assert book.input_key(places, {"a": "cache"}) == before
    (project / changed).write_text("something else")
    assert book.input_key(places, {"a": "cache"}) != before


def test_key_changes_with_new_files_data_and_backend(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LABKIT_BACKEND", raising=False)
    places = book.Places(project)
    keys = [book.input_key(places, {"a": ""}), book.input_key(places, {"a": "mirror"})]
    (project / "book" / "benchmarks.json").write_text("{}")
    keys.append(book.input_key(places, {"a": "mirror"}))
    monkeypatch.setenv("LABKIT_BACKEND", "reference")
    keys.append(book.input_key(places, {"a": "mirror"}))
    assert len(set(keys)) == len(keys)
    (project / "labkit" / "__pycache__").mkdir()
    (project / "labkit" / "__pycache__" / "a.pyc").write_text("1")
    assert book.input_key(places, {"a": "mirror"}) == keys[-1]


def test_unchanged_book_is_not_built_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from labkit import data, published

    places, rendered, lines = book.Places(project), [], []

    def render(places: object, say: object) -> Path:
        rendered.append(1)
        places.html.mkdir(parents=True, exist_ok=True)
        (places.html / "index.html").write_text("x")
        if "broken" in (project / "book" / "intro.md").read_text():
            raise book.BookError("broken page")
        return places.html / "index.html"

    monkeypatch.setattr(data, "catalogue", lambda: pd.DataFrame({"set": SET}).T)
    monkeypatch.setattr(published, "ledger", lambda paths: pd.DataFrame([LEDGER]))
    monkeypatch.setattr(book, "stage_vendor", lambda places, say: None)
    monkeypatch.setattr(book, "run_chapters", lambda *given: [executed(project)])
    monkeypatch.setattr(book, "render", render)

    index = book.build(places, lines.append)
    assert index.is_file()
    assert len(rendered) == 1
    assert book.build(places, lines.append) == index
    assert len(rendered) == 1
    assert "nothing has changed" in lines[-1]
    book.build(places, lines.append, force=True)
    assert len(rendered) == 2
    (project / "book" / "intro.md").write_text("# broken\n")
    for count in (3, 4):  # a failure is never taken for a success, also not the second time
        with pytest.raises(book.BookError, match="broken page"):
            book.build(places, lines.append)
        assert len(rendered) == count


# ------------------------------------------------------------------ vendored assets


def tarball(path: Path, files: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def test_an_archive_with_another_hash_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(b"content")
    good = base64.b64encode(hashlib.sha512(b"content").digest()).decode()
    book.check_integrity(path, f"sha512-{good}")
    path.write_bytes(b"Content")
    with pytest.raises(book.BookError, match="sha512 is"):
        book.check_integrity(path, f"sha512-{good}")


def test_only_the_named_parts_are_unpacked(tmp_path: Path) -> None:
    files = {"package/es5/a.js": "a", "package/es5/fonts/x": "x", "package/es5/b.js": "b"}
    archive = tarball(tmp_path / "a.tgz", files)
    book.unpack_parts(archive, "package/es5/", ("a.js", "fonts/"), tmp_path / "out")
    found = sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert found == ["a.js", "x"]
    with pytest.raises(book.BookError, match=r"does not hold c\.js"):
        book.unpack_parts(archive, "package/es5/", ("c.js",), tmp_path / "out")


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    archive = tarball(tmp_path / "a.tgz", {"package/es5/fonts/../../evil": "x"})
    with pytest.raises(book.BookError, match="leave its folder"):
        book.unpack_parts(archive, "package/es5/", ("fonts/",), tmp_path / "out")
    assert not (tmp_path / "evil").exists()


# ------------------------------------------------------------------ generated parts


def book_parser() -> MarkdownIt:
    """The parser of the book's pages, with the extensions of _config.yml."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    extensions = config["parse"]["myst_enable_extensions"]
    return create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" ")))
@example("- item")
@example("2009. was a year")
@example("$x$ {{y}} {role}`z` https://example.org <b> &amp; :::")
def test_escaped_text_is_never_markup(text: str) -> None:
    tokens = book_parser().parse(book.md(text))
    assert {t.type for t in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    children = [child for t in tokens if t.type == "inline" for child in t.children]
    assert {child.type for child in children} <= {"text"}
    assert "".join(child.content for child in children) == " ".join(text.split())


def test_a_bar_does_not_split_a_table_cell() -> None:
    from markdown_it import MarkdownIt

    page = (
        MarkdownIt("commonmark")
        .enable("table")
        .render(book.table(["a", "b"], [[book.md("x | y"), "2"]], "lr"))
    )
    assert page.count("<td") == 2
    assert "x | y" in page


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1007.14497, 10, "1007.14497"),
        (84.0, 6, "84"),
        (1e-8, 2, "1e-08"),
        (float("nan"), 6, ""),
        (None, 6, ""),
        (True, 6, "True"),
        ("a*", 6, r"a\*"),
    ],
)
def test_numbers(value: object, digits: int, text: str) -> None:
    assert book.number(value, digits) == text


def test_ledger_counts_verdicts_and_keeps_reasons() -> None:
    other = {**LEDGER, "quantity": "count", "verdict": "differs", "reason": "rule *unknown*"}
    page = book.ledger_markdown(pd.DataFrame([LEDGER, other]))
    assert "2 published results: **1** matches · **1** differs · **0** cannot be checked" in page
    assert page.count("## ") == 1
    assert "| differs (1) |" in page
    assert r"1. rule \*unknown\*" in page
    assert "{doc}`/notebooks/triangular_arbitrage`" in page
    assert "Std. error" not in page
    assert "| Std. error |" in book.ledger_markdown(pd.DataFrame([{**LEDGER, "se": 0.1}]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no executed chapter"),
        ([{**LEDGER, "verdict": "nearly"}], "nearly is no verdict"),
        ([{**LEDGER, "verdict": "differs"}], "gives no reason"),
    ],
)
def test_a_ledger_that_says_nothing_is_an_error(rows: list[dict], message: str) -> None:
    with pytest.raises(book.BookError, match=message):
        book.ledger_markdown(pd.DataFrame(rows, columns=list(LEDGER)))


def test_catalogue_has_a_section_for_each_set() -> None:
    made = {**SET, "kind": "simulated", "place": "project", "url": ""}
    sets = pd.DataFrame({"real": SET, "made": made}).T
    page = book.catalogue_markdown(sets)
    assert page.count("\n## ") == 2
    assert "labkit data fetch real" in page
    assert "labkit data fetch made" not in page
    assert ":Here: not at hand when this page was built" in page
    assert r"[example.org/a\_b/c.csv](<https://example.org/a_b/c.csv>)" in page
    assert ":Terms:" not in page
    with pytest.raises(book.BookError, match="no data set"):
        book.catalogue_markdown(sets.head(0))


def test_execution_has_a_row_for_each_chapter(project: Path) -> None:
    page = book.execution_markdown([executed(project, fee_bps=5.0, dataset="simulated")])
    row = page.splitlines()[-1]
    assert "dataset" not in row
    for text in ("/notebooks/one", "`simulated`", "rust", "12 s", "`fee_bps = 5.0`", "run |"):
        assert text in row
    with pytest.raises(book.BookError, match="no chapter"):
        book.execution_markdown([])


def test_benchmarks_not_run_is_said(tmp_path: Path) -> None:
    assert "`make bench` has not been run" in book.benchmarks_markdown(tmp_path / "none.json")


def test_benchmarks_show_ratios_and_refuse_gaps(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.json"
    row = {
        "kernel": "best_cycle", "workload": "100 nodes", "peer": "networkx", "ratio": 0.51234,
        "spread": [0.48, 0.555], "target": 0.6, "reached": True, "agree": True,
    }  # fmt: skip
    meta = {"threads": 1, "versions": {"numpy": "2.4", "numba": "0.68"}}
    path.write_text(json.dumps({"meta": meta, "rows": [row]}))
    page = book.benchmarks_markdown(path)
    assert "## Best\\_cycle\n\n**100 nodes.**" in page
    assert "| **0.512** | networkx | 0.48 to 0.555 | 0.6, reached | yes |" in page
    assert ":threads: 1\n:versions: numpy 2.4, numba 0.68" in page
    path.write_text(json.dumps({"rows": [row | {"ratio": 0.7, "reached": False}]}))
    assert "| **0.7** | networkx | 0.48 to 0.555 | 0.6, missed | yes |" in book.benchmarks_markdown(
        path
    )
    del row["agree"]
    path.write_text(json.dumps({"rows": [row]}))
    with pytest.raises(book.BookError, match="no agree"):
        book.benchmarks_markdown(path)
    path.write_text(json.dumps({"rows": []}))
    with pytest.raises(book.BookError, match="has no rows"):
        book.benchmarks_markdown(path)


# ------------------------------------------------------------------ staging


def test_downloads_are_offered_under_the_title() -> None:
    before = notebook("(label)=\n# Title\n\nText.")
    page = book.offer_downloads(before, "one")
    lines = page.cells[0].source.splitlines()
    title = lines.index("# Title")
    offered = "\n".join(lines[title : lines.index("Text.")])
    assert "{download}`notebook (.ipynb) <../downloads/one.ipynb>`" in offered
    assert "{download}`script (.py) <../downloads/one.py>`" in offered
    assert before.cells[0].source == "(label)=\n# Title\n\nText."


@pytest.mark.parametrize(
    ("first", "message"), [("Text.", "no title"), ("# A $x$\n\nText", "no formula in the title")]
)
def test_a_chapter_without_a_plain_title_is_refused(first: str, message: str) -> None:
    with pytest.raises(book.BookError, match=message):
        book.offer_downloads(notebook(first), "one")
    with pytest.raises(book.BookError, match="first cell must be Markdown"):
        book.offer_downloads(nbformat.v4.new_notebook(), "one")


def test_staging_copies_pages_chapters_and_downloads(project: Path) -> None:
    places = book.Places(project)
    book.stage(places, [executed(project)], FRAGMENTS)
    source = places.source
    assert (source / "book" / "intro.md").read_text() == "# Intro\n"
    assert (source / "book" / "_generated" / "ledger.md").read_text() == "text\n"
    for suffix in (".py", ".ipynb"):
        original = project / "notebooks" / f"one{suffix}"
        assert (source / "downloads" / f"one{suffix}").read_bytes() == original.read_bytes()
    assert "{download}" in (source / "notebooks" / "one.ipynb").read_text()
    assert not (project / "book" / "_generated").exists()


def test_staging_refuses_an_empty_part_and_a_missing_script(project: Path) -> None:
    places = book.Places(project)
    with pytest.raises(book.BookError, match="ledger is empty"):
        book.stage(places, [executed(project)], {**FRAGMENTS, "ledger": " \n"})
    (project / "notebooks" / "one.py").unlink()
    with pytest.raises(book.BookError, match=r"one\.py, which the page offers"):
        book.stage(places, [executed(project)], FRAGMENTS)


def test_reasons_are_the_warnings_of_the_log() -> None:
    log = ["reading", "a.md:3: WARNING: bad link", "a.md:3: WARNING: bad link", "done"]
    assert book.reasons(log) == ["a.md:3: WARNING: bad link"]
    assert book.reasons(["reading", "", "killed"]) == ["reading", "killed"]


# ------------------------------------------------------------------ labkit/_sphinx.py


FIGURE = {
    "data": [{"type": "scatter", "y": [1, 2], "name": "</script><b>"}],
    "layout": {"meta": {"alt": 'a "b" <c>', "caption": r"Gain $g<1$ of `x`, *not* <b>\$5</b>"}},
}


def html(figure: dict) -> str:
    return "".join(node.astext() for node in sphinx.figure_nodes(figure, "3-0"))


def test_figure_is_labelled_inert_and_escaped() -> None:
    page = html(FIGURE)
    assert 'role="img" aria-label="a &quot;b&quot; &lt;c&gt;"' in page
    assert "<noscript><p>This figure needs JavaScript. It shows: a &quot;b&quot;" in page
    assert page.count("</script>") == 1
    data = page.split('class="labkit-data">')[1].split("</script>")[0]
    assert json.loads(data) == FIGURE
    assert page.count("<figure") == page.count("</figure>") == 1


@given(
    st.recursive(st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_inert_json_keeps_the_value_and_cannot_end_the_script(value: object) -> None:
    text = sphinx.inert_json(value)
    assert "<" not in text
    assert json.loads(text) == value


def test_caption_has_math_code_and_emphasis_and_no_html() -> None:
    found = sphinx.caption_nodes(FIGURE["layout"]["meta"]["caption"])
    assert [(type(n).__name__, n.astext()) for n in found] == [
        ("Text", "Gain "),
        ("math", "g<1"),
        ("Text", " of "),
        ("literal", "x"),
        ("Text", ", "),
        ("emphasis", "not"),
        ("Text", " <b>$5</b>"),
    ]


@pytest.mark.parametrize("caption", ["from $5 to $6", "a * b * c", "plain"])
def test_caption_leaves_prices_and_products_alone(caption: str) -> None:
    (only,) = sphinx.caption_nodes(caption)
    assert only.astext() == caption


@pytest.mark.parametrize("missing", ["alt", "caption"])
def test_a_figure_needs_alternative_text_and_caption(missing: str) -> None:
    meta = {**FIGURE["layout"]["meta"], missing: " "}
    for layout in ({"meta": meta}, {"meta": None}, {}):
        with pytest.raises(ValueError, match=r"layout\.meta\.(alt|caption)"):
            sphinx.figure_nodes({"data": [], "layout": layout}, "0-0")
    with pytest.raises(ValueError, match=rf"layout\.meta\.{missing}"):
        sphinx.figure_nodes({"data": [], "layout": {"meta": meta}}, "0-0")


class Renderer:
    """Stands for myst-nb's renderer: remembers warnings and scripts."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.scripts: list[str] = []
        self.logger = SimpleNamespace(warning=lambda text, **more: self.warnings.append(text))

    def add_js_file(self, key: str, uri: str, more: dict) -> None:
        self.scripts.append(uri)


def handled(mime: str, content: object, *, inline: bool = False) -> tuple:
    renderer = Renderer()
    data = SimpleNamespace(mime_type=mime, content=content, cell_index=3, output_index=0, line=1)
    return sphinx.FigureRenderer.handle_mime(renderer, data, inline), renderer


def test_renderer_draws_plotly_figures_and_loads_the_script() -> None:
    nodes, renderer = handled(sphinx.PLOTLY_MIME, FIGURE)
    assert "labkit-figure-3-0" in nodes[0].astext()
    assert renderer.scripts == ["labkit-figures.js"]
    assert renderer.warnings == []


def test_renderer_warns_of_a_figure_without_text() -> None:
    nodes, renderer = handled(sphinx.PLOTLY_MIME, {"data": [], "layout": {}})
    assert nodes == []
    assert renderer.scripts == []
    assert "layout.meta.alt" in renderer.warnings[0]


def test_renderer_leaves_other_types_to_myst_nb() -> None:
    assert handled("text/html", "<p>")[0] is None
    assert handled(sphinx.PLOTLY_MIME, FIGURE, inline=True)[0] is None
    assert handled("application/vnd.labkit.ledger+json", {})[0] == []


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("is |a - b| <= c", r"is \|a - b\| <= c"),
        ("|a| is small", r"\|a\| is small"),
        (r"already \|a\|", r"already \|a\|"),
        ("code `a | b` and ``c | d``", "code `a | b` and ``c | d``"),
        ("| a line block", "| a line block"),
        ("+---+", "+---+"),
        (">>> a | b", ">>> a | b"),
    ],
)
def test_bars_in_docstrings_are_absolute_values(line: str, read: str) -> None:
    assert sphinx.plain_bars([line]) == [read]


def test_importing_labkit_does_not_import_sphinx() -> None:
    code = (
        "import sys, labkit, labkit.data, labkit.experiments, labkit.published;"
        "sys.exit('sphinx' in sys.modules or 'docutils' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_pages_load_no_script_that_names_another_host() -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]
    assert "sphinx_thebe" not in config["extensions"]
    assert "://" not in config["mathjax_path"]
    for path in (ROOT / "book" / "_static").glob("*.js"):
        assert "://" not in path.read_text()
