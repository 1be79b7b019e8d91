"""How the book shows labkit's results: a Sphinx extension and a myst-nb renderer.

Only Sphinx imports this module; `import labkit` does not. A Plotly figure becomes a `<figure>`
with its alternative text, its data as inert JSON and its caption; `book/_static/labkit-figures.js`
draws it with the one local copy of plotly.js. Nothing on a page comes from another host.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from docutils import nodes
from sphinx.errors import ExtensionError

if TYPE_CHECKING:
    from myst_nb.core.render import MimeData, NbElementRenderer
    from sphinx.application import Sphinx
    from sphinx.config import Config

__all__ = ["FigureRenderer", "caption_nodes", "figure_nodes", "inert_json", "plain_bars", "setup"]

PLOTLY_MIME = "application/vnd.plotly.v1+json"
LABKIT_MIME = re.compile(r"application/vnd\.labkit\.[a-z]+\+json")
FONT_PRELOAD = re.compile(r'<link rel="preload" as="font"[^>]*>\n?')
DEFAULT_HEIGHT = 450  # plotly.js draws a figure without a height this high, in pixels

# The theme asks for a stored light/dark mode before it has one and then logs an error;
# this runs before the theme's script, and before the first paint.
THEME_MODE = """(d => {
  if (d.mode) return;
  d.mode = "auto";
  d.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
})(document.documentElement.dataset);"""

_INLINE = re.compile(
    r"(?<![\\$])\$(?P<math>[^\s$](?:[^$]*[^\s$\\])?)\$(?!\d)|`(?P<code>[^`]+)`"
    r"|\*(?P<emphasis>[^\s*](?:[^*]*[^\s*])?)\*"
)


def inert_json(value: Any) -> str:
    """JSON that may stand inside a `<script>`: no character in it can end the element.

    Examples
    --------
    >>> inert_json({"name": "</script>"})
    '{"name":"\\\\u003c/script>"}'
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def caption_nodes(caption: str) -> list[nodes.Node]:
    """Inline nodes of a caption: text, `$math$`, `` `code` `` and `*emphasis*`; nothing is HTML."""
    found: list[nodes.Node] = []
    end = 0
    for match in _INLINE.finditer(caption):
        if match.start() > end:
            found.append(nodes.Text(caption[end : match.start()].replace(r"\$", "$")))
        text = match[match.lastgroup]
        kind = {"math": nodes.math, "code": nodes.literal, "emphasis": nodes.emphasis}
        found.append(kind[match.lastgroup](text, text))
        end = match.end()
    if end < len(caption):
        found.append(nodes.Text(caption[end:].replace(r"\$", "$")))
    return found


def figure_nodes(figure: dict[str, Any], key: str) -> list[nodes.Node]:
    """Docutils nodes of one Plotly figure.

    Parameters
    ----------
    figure : dict
        The figure as Plotly's JSON: `data`, `layout`, perhaps `frames` and `config`.
        `layout.meta` holds `alt` and `caption`.
    key : str
        Makes the element's id unique on its page.

    Raises
    ------
    ValueError
        The alternative text or the caption is missing or empty.
    """
    layout = figure.get("layout", {})
    meta = layout.get("meta")
    text = {}
    for name in ("alt", "caption"):
        value = meta.get(name) if isinstance(meta, dict) else None
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"layout.meta.{name}: a figure in the book needs one")
        text[name] = value.strip()
    alt = html.escape(text["alt"])
    height = int(layout.get("height") or DEFAULT_HEIGHT)
    drawn = {name: figure[name] for name in ("data", "layout", "frames") if name in figure}
    opening = (
        f'<figure class="labkit-figure" id="labkit-figure-{html.escape(key)}">\n'
        f'<div class="labkit-plot" role="img" aria-label="{alt}" style="min-height:{height}px">'
        "</div>\n"
        f'<script type="application/json" class="labkit-data">{inert_json(drawn)}</script>\n'
        f"<noscript><p>This figure needs JavaScript. It shows: {alt}</p></noscript>\n"
        "<figcaption>"
    )
    return [
        nodes.raw("", opening, format="html"),
        *caption_nodes(text["caption"]),
        nodes.raw("", "</figcaption>\n</figure>\n", format="html"),
    ]


class FigureRenderer:
    """myst-nb plug-in (entry point `labkit-figures`): draws Plotly's JSON as a `<figure>`."""

    mime_priority_overrides: ClassVar[list[tuple[str, str, int]]] = [("html", PLOTLY_MIME, 1)]

    @staticmethod
    def handle_mime(
        renderer: NbElementRenderer, data: MimeData, inline: bool
    ) -> list[nodes.Node] | None:
        """Nodes for Plotly figures; none for labkit's own records; None for all other types."""
        if LABKIT_MIME.fullmatch(data.mime_type):
            return []  # read by programs; the table beside it is what the page shows
        if data.mime_type != PLOTLY_MIME or inline:
            return None
        key = f"{data.cell_index}-{data.output_index}"
        try:
            found = figure_nodes(dict(data.content), key)
        except ValueError as error:
            renderer.logger.warning(f"figure: {error}", subtype="figure", line=data.line)
            return []
        renderer.add_js_file("labkit-figures", "labkit-figures.js", {"defer": "defer"})
        return found


def _static_folders(app: Sphinx, config: Config) -> None:
    # Not under `_static` at the root: Jupyter Book links every script it finds below that
    # folder on every page, and plotly.js is 5 MB.
    for name in ("labkit_static", "labkit_vendor"):
        folder = (Path(app.srcdir) / config[name]).resolve()
        if not folder.is_dir():
            raise ExtensionError(f"{name}: there is no folder {config[name]}; run tools/book.py")
        config.html_static_path.append(str(folder))


def plain_bars(lines: list[str]) -> list[str]:
    """Docstring lines in which `|x|` is an absolute value, as a reader takes it.

    reStructuredText would look for a substitution of that name. Tables, line blocks, doctests and
    code keep their bars.

    Examples
    --------
    >>> plain_bars(["|ours - published| <= ``a | b``", ">>> 1 | 2"])
    ['\\\\|ours - published\\\\| <= ``a | b``', '>>> 1 | 2']
    """
    found = []
    for line in lines:
        if not line.lstrip().startswith(("|", "+", ">>>", "...")) or re.match(r"\s*\|\S", line):
            parts = re.split(r"(`+[^`]*`+)", line)
            parts[::2] = [re.sub(r"(?<!\\)\|", r"\\|", part) for part in parts[::2]]
            line = "".join(parts)
        found.append(line)
    return found


def _docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = plain_bars(lines)


def _no_font_preload(app: Sphinx, error: Exception | None) -> None:
    # The theme preloads icon fonts across origins, which a browser refuses for a page opened from
    # the disk and reports as an error. Icons come from the theme's script and need no preload.
    if error is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(FONT_PRELOAD.sub("", text), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the static folders, the style sheet and the start of the light/dark mode."""
    app.add_config_value("labkit_static", "book/_static", "html", types=(str,))
    app.add_config_value("labkit_vendor", "../vendor/static", "html", types=(str,))
    app.connect("config-inited", _static_folders)
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("build-finished", _no_font_preload)
    app.add_css_file("labkit.css", priority=900)
    app.add_js_file(None, body=THEME_MODE, priority=1)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
