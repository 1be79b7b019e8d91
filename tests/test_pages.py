"""The built book, as a reader meets it: every page in headless Chromium, the network closed.

The book is built first (or found unchanged) by tools/book.py. Each page is opened once at each
width and theme; the tests then look at what was found there.
"""

from __future__ import annotations

import functools
import html.parser
import http.server
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
SIZES = {390: 844, 1280: 900}
SETTINGS = [(width, theme) for width in SIZES for theme in ("light", "dark")]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
SECONDS = 60_000  # per page, in milliseconds; only a page that never finishes comes near it

READY = """() => [...document.querySelectorAll("figure.labkit-figure .labkit-plot")].every(
  (plot) => plot.dataset.drawn === document.documentElement.dataset.theme
            || plot.querySelector(".labkit-failed"))"""
TYPESET = "() => window.MathJax ? MathJax.startup.promise.then(() => true) : true"

# What a page shows, as plain data. Contrast is that of WCAG 2.
FACTS = r"""() => {
  const rgb = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
  const light = (text) => {
    const [r, g, b] = rgb(text).map((v) => {
      const c = v / 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const ground = [document.body, document.documentElement]
    .map((e) => getComputedStyle(e).backgroundColor)
    .find((colour) => rgb(colour)[3] !== 0);
  // The numbers of a heatmap stand on its cells, whose colours lie between those of its scale.
  const hex = (c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)).join(",");
  const grounds = (e, plot) => !e.closest(".heatmap-label") ? [ground]
    : plot._fullData.find((t) => t.type === "heatmap").colorscale.map(
      ([, c]) => (c.startsWith("#") ? `rgb(${hex(c)})` : c));
  const figures = [...document.querySelectorAll("figure.labkit-figure")].map((figure) => {
    const plot = figure.querySelector(".labkit-plot");
    const svg = figure.querySelector("svg.main-svg");
    const box = svg?.getBoundingClientRect();
    const texts = [...figure.querySelectorAll("svg.main-svg text")].filter(
      (e) => e.textContent.trim() && !e.closest(".trace, .hoverlayer, .barlayer")
        && e.getBoundingClientRect().width > 0);
    return {
      id: figure.id,
      alt: plot.getAttribute("aria-label") ?? "",
      role: plot.getAttribute("role"),
      caption: figure.querySelector("figcaption")?.textContent.trim() ?? "",
      width: box?.width ?? 0,
      height: box?.height ?? 0,
      room: figure.parentElement.clientWidth,
      traces: (plot._fullData ?? []).filter((t) => t.visible === true).length,
      marks: figure.querySelectorAll(
        ".overplot path, .overplot image, .polarlayer path, .pielayer path, .gl-container canvas",
      ).length,
      fonts: texts.map((e) => ({
        text: e.textContent,
        contrast: Math.min(...grounds(e, plot).map(
          (colour) => contrast(getComputedStyle(e).fill, colour))),
        least: e.closest(".annotation") ? 3 : 4.5,
        size: parseFloat(getComputedStyle(e).fontSize),
      })),
      cut: texts.filter((e) => {
        const t = e.getBoundingClientRect();
        return t.left < box.left - 1.5 || t.right > box.right + 1.5
          || t.top < box.top - 1.5 || t.bottom > box.bottom + 1.5;
      }).map((e) => e.textContent),
    };
  });
  const math = [...document.querySelectorAll(".math")].filter(
    (e) => !e.parentElement.closest(".math"));
  return {
    theme: document.documentElement.dataset.theme,
    title: document.title,
    figures,
    math: math.length,
    untypeset: math.filter((e) => !e.querySelector("mjx-container")).map((e) => e.textContent),
    containers: document.querySelectorAll(".math mjx-container").length,
    mathErrors: [...document.querySelectorAll("mjx-merror, [data-mjx-error]")].map(
      (e) => e.getAttribute("data-mjx-error") ?? e.textContent),
    rawTex: [...document.querySelectorAll("p, li, td, th, h1, h2, h3, figcaption, nav")].filter(
      (e) => /\\\(|\\\[|\$\$/.test(e.textContent) && !e.closest(".highlight, pre, code")
        && !e.querySelector("code, pre, .math")).map((e) => e.textContent.slice(0, 80)),
    page: [document.documentElement.scrollWidth, document.body.scrollWidth, window.innerWidth],
    noAlt: [...document.querySelectorAll("img")].filter((e) => !e.getAttribute("alt"))
      .map((e) => e.src).concat(
        [...document.querySelectorAll("article svg")].filter(
          (e) => !e.closest("[role=img], [aria-hidden=true], mjx-container, button, a, summary")
            && !e.querySelector("title")).map((e) => e.outerHTML.slice(0, 80))),
    body: contrast(getComputedStyle(document.querySelector("article, main") ?? document.body).color,
                   ground),
  };
}"""


@dataclass
class Visit:
    """One page at one width in one theme."""

    page: str
    facts: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def pages(book: Path) -> list[str]:
    found = sorted(p.relative_to(book).as_posix() for p in book.rglob("*.html"))
    # Two snippets that the theme leaves in its assets, and the one-line redirect to the first page.
    return [p for p in found if not p.startswith("_static/") and p != "index.html"]


@pytest.fixture(scope="session")
def origin(book: Path) -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(book))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def browser(in_ci: bool) -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        why = f"no Chromium on this machine (looked for {', '.join(names)})"
        if in_ci:
            pytest.fail(f"{why}; CI must have one")
        pytest.skip(why)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


def watched(context: Any, visit: Visit) -> Any:
    """A new tab whose console errors and requests are kept in `visit`."""
    tab = context.new_page()
    tab.set_default_timeout(SECONDS)
    tab.on("console", lambda m: visit.errors.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda error: visit.errors.append(str(error)))
    tab.on("request", lambda request: visit.requests.append(request.url))
    tab.on("requestfailed", lambda request: visit.failed.append(request.url))
    tab.on("response", lambda r: visit.failed.append(r.url) if r.status >= 400 else None)
    return tab


def look(tab: Any, address: str) -> dict[str, Any]:
    tab.goto(address)
    tab.evaluate("() => document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    tab.wait_for_function(READY)
    tab.evaluate(TYPESET)
    return tab.evaluate(FACTS)


@pytest.fixture(scope="session", params=SETTINGS, ids=lambda s: f"{s[0]}px-{s[1]}")
def visits(
    request: pytest.FixtureRequest, browser: Any, origin: str, pages: list[str]
) -> tuple[int, str, list[Visit]]:
    width, theme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": SIZES[width]}, color_scheme=theme
    )
    context.add_init_script(f"localStorage.setItem('mode', '{theme}')")
    found = []
    for page in pages:
        visit = Visit(page)
        tab = watched(context, visit)
        visit.facts = look(tab, origin + page)
        tab.close()
        found.append(visit)
    context.close()
    return width, theme, found


def figures(visits: tuple[int, str, list[Visit]]) -> list[tuple[str, dict[str, Any]]]:
    found = [(f"{v.page}#{f['id']}", f) for v in visits[2] for f in v.facts["figures"]]
    assert found, "the book has no figure at all"
    return found


browser_test = pytest.mark.browser


@browser_test
def test_every_page_opens_without_an_error(visits: tuple[int, str, list[Visit]]) -> None:
    _, theme, found = visits
    assert len(found) > 5
    assert {v.page: v.errors for v in found if v.errors} == {}
    assert {v.page: v.failed for v in found if v.failed} == {}
    assert {v.page for v in found if v.facts["theme"] != theme or not v.facts["title"]} == set()


@browser_test
def test_no_request_leaves_the_book(visits: tuple[int, str, list[Visit]], origin: str) -> None:
    own = (origin, "data:", "blob:")
    asked = {v.page: [u for u in v.requests if not u.startswith(own)] for v in visits[2]}
    assert {page: urls for page, urls in asked.items() if urls} == {}


@browser_test
def test_plotly_is_loaded_only_where_there_are_figures(
    visits: tuple[int, str, list[Visit]],
) -> None:
    for visit in visits[2]:
        loads = sum("plotly.min.js" in url for url in visit.requests)
        assert loads == (1 if visit.facts["figures"] else 0), visit.page


@browser_test
def test_every_figure_is_drawn(visits: tuple[int, str, list[Visit]]) -> None:
    for name, figure in figures(visits):
        assert figure["traces"] > 0, name
        assert figure["marks"] > 0, name
        assert figure["height"] > 150, name
        assert 0.9 * figure["room"] <= figure["width"] <= figure["room"] + 1, name


@browser_test
def test_every_figure_has_alternative_text_and_a_caption(
    visits: tuple[int, str, list[Visit]],
) -> None:
    for name, figure in figures(visits):
        assert figure["role"] == "img", name
        assert len(figure["alt"]) > 20, name
        assert len(figure["caption"]) > 20, name
    assert {v.page: v.facts["noAlt"] for v in visits[2] if v.facts["noAlt"]} == {}


@browser_test
def test_text_in_figures_can_be_read(visits: tuple[int, str, list[Visit]]) -> None:
    for name, figure in figures(visits):
        assert figure["fonts"], name
        faint = [f for f in figure["fonts"] if f["contrast"] < f["least"]]
        assert faint == [], name
        assert [f for f in figure["fonts"] if f["size"] < 9] == [], name
        assert figure["cut"] == [], f"{name}: text runs out of the figure"
    assert {v.page for v in visits[2] if v.facts["body"] < 7} == set()


@browser_test
def test_every_formula_is_typeset(visits: tuple[int, str, list[Visit]]) -> None:
    for visit in visits[2]:
        facts = visit.facts
        assert facts["untypeset"] == [], visit.page
        assert facts["containers"] == facts["math"], visit.page
        assert facts["mathErrors"] == [], visit.page
        assert facts["rawTex"] == [], visit.page
    assert sum(v.facts["math"] for v in visits[2]) > 0


@browser_test
def test_no_page_is_wider_than_the_screen(visits: tuple[int, str, list[Visit]]) -> None:
    wide = {v.page: v.facts["page"] for v in visits[2] if max(v.facts["page"]) > visits[0]}
    assert wide == {}


def first_with_figures(pages: list[str]) -> str:
    return next(page for page in pages if page.startswith("notebooks/"))


@browser_test
def test_figures_follow_the_theme(browser: Any, origin: str, pages: list[str]) -> None:
    fill = "() => getComputedStyle(document.querySelector('.labkit-plot .xtick text')).fill"
    colours = (
        "() => [...document.querySelectorAll('.labkit-plot')].map((p) => "
        "p._fullData.map((t) => t.line?.color ?? t.marker?.color))"
    )
    visit = Visit("theme")
    context = browser.new_context(color_scheme="dark")
    tab = watched(context, visit)
    assert look(tab, origin + first_with_figures(pages))["theme"] == "dark"
    in_dark, traces = tab.evaluate(fill), tab.evaluate(colours)
    tab.emulate_media(color_scheme="light")  # nothing was chosen, so the page follows the system
    tab.wait_for_function("() => document.documentElement.dataset.theme === 'light'")
    tab.wait_for_function(READY)
    in_light = tab.evaluate(fill)
    assert in_light != in_dark
    assert tab.evaluate(colours) == traces
    seen = set()
    for _ in range(3):  # auto, light and dark come in turn
        tab.locator(".theme-switch-button:visible").first.click()
        tab.wait_for_function(READY)
        seen.add((tab.evaluate("() => document.documentElement.dataset.theme"), tab.evaluate(fill)))
    assert seen == {("light", in_light), ("dark", in_dark)}
    assert visit.errors == []
    context.close()


@browser_test
def test_figures_follow_the_width(browser: Any, origin: str, pages: list[str]) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    visit = Visit("width")
    tab = watched(context, visit)
    look(tab, origin + first_with_figures(pages))
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.wait_for_function(
        "() => [...document.querySelectorAll('.labkit-plot')].every((p) => "
        "p.querySelector('svg.main-svg').getBoundingClientRect().width <= 390)"
    )
    tab.wait_for_function(
        "() => [...document.querySelectorAll('.labkit-plot')].every((p) => "
        "!p._fullLayout.showlegend || p._fullLayout.legend.orientation === 'h')"
    )
    assert max(tab.evaluate(FACTS)["page"]) <= 390
    assert visit.errors == []
    context.close()


@browser_test
def test_a_page_works_from_the_disk(browser: Any, book: Path, pages: list[str]) -> None:
    visit = Visit("file")
    context = browser.new_context()
    tab = watched(context, visit)
    facts = look(tab, (book / first_with_figures(pages)).as_uri())
    assert facts["figures"]
    assert all(f["traces"] and f["marks"] and f["width"] for f in facts["figures"])
    assert facts["math"] > 0
    assert facts["untypeset"] == []
    assert visit.errors == []
    assert visit.failed == []
    assert [u for u in visit.requests if not u.startswith(("file:", "data:", "blob:"))] == []
    context.close()


@browser_test
def test_without_javascript_a_figure_says_what_it_shows(
    browser: Any, origin: str, pages: list[str]
) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(origin + first_with_figures(pages))
    notes = tab.locator("figure.labkit-figure noscript p")
    assert notes.count() == tab.locator("figure.labkit-figure").count() > 0
    assert notes.first.is_visible()
    assert "needs JavaScript" in notes.first.inner_text()
    context.close()


@browser_test
def test_a_figure_that_cannot_be_drawn_says_so(browser: Any, origin: str, pages: list[str]) -> None:
    context = browser.new_context()
    context.route("**/plotly.min.js", lambda route: route.abort())
    tab = context.new_page()
    tab.goto(origin + first_with_figures(pages))
    tab.wait_for_function(READY)
    notes = tab.locator("figure.labkit-figure .labkit-failed")
    assert notes.count() == tab.locator("figure.labkit-figure").count() > 0
    assert "could not be drawn" in notes.first.inner_text()
    context.close()


# ------------------------------------------------------------------ files, without a browser


class Links(html.parser.HTMLParser):
    """Addresses and ids of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.ids: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("id", "name") and value:
                self.ids.add(value)
            if name in ("href", "src") and value:
                self.links.append((tag, value))


@pytest.fixture(scope="session")
def parsed(book: Path, pages: list[str]) -> dict[str, Links]:
    return {page: Links(book / page) for page in [*pages, "index.html"]}


@pytest.mark.book
def test_an_unchanged_book_is_not_built_again(book: Path) -> None:
    index = (book / "index.html").stat().st_mtime_ns
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "book.py")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing has changed" in done.stdout
    assert Path(done.stdout.strip().splitlines()[-1]) == book / "index.html"
    assert (book / "index.html").stat().st_mtime_ns == index


@pytest.mark.book
def test_every_internal_link_leads_somewhere(book: Path, parsed: dict[str, Links]) -> None:
    broken = []
    for page, found in parsed.items():
        for _, link in found.links:
            address, fragment = urldefrag(urljoin(f"book:///{page}", link))
            parts = urlsplit(address)
            if parts.scheme != "book":
                continue
            target = unquote(parts.path).lstrip("/")
            ids = parsed[target].ids if fragment and target in parsed else {unquote(fragment)}
            if not (book / target).is_file() or unquote(fragment) not in ids:
                broken.append((page, link))
    assert broken == []


@pytest.mark.book
def test_pages_load_nothing_from_another_host(parsed: dict[str, Links]) -> None:
    loading = {"script", "link", "img", "iframe", "source", "video", "audio", "embed"}
    outside = [
        (page, link)
        for page, found in parsed.items()
        for tag, link in found.links
        if tag in loading and urlsplit(link).netloc
    ]
    assert outside == []


@pytest.mark.book
def test_every_chapter_offers_its_notebook_and_script(book: Path, parsed: dict[str, Links]) -> None:
    chapters = [page for page in parsed if page.startswith("notebooks/")]
    assert chapters
    for page in chapters:
        for suffix in (".ipynb", ".py"):
            original = (ROOT / page).with_suffix(suffix)
            offered = [
                link
                for _, link in parsed[page].links
                if Path(urlsplit(link).path).name == original.name
            ]
            assert offered, f"{page} does not offer {original.name}"
            copy = book / Path(page).parent / unquote(offered[0])
            assert copy.resolve().read_bytes() == original.read_bytes()


@pytest.mark.book
def test_no_page_names_a_folder_of_the_machine_that_built_it(book: Path) -> None:
    named = [
        path.relative_to(book).as_posix()
        for path in book.rglob("*")
        if path.suffix in (".html", ".js", ".ipynb", ".md") and str(ROOT) in path.read_text("utf-8")
    ]
    assert named == []
