"""HTML of the pages: one style, pictures inside the page or beside it, tables. Every text is escaped here."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

__all__ = ["PAGE_END", "code", "items", "link", "page_start", "picture", "rows", "section", "table", "text"]

PAGE_END = "</body></html>\n"

_STYLE = (
    "body{font-family:sans-serif;max-width:75em;margin:2em auto;padding:0 1em;color:#222;line-height:1.4}"
    "img{max-width:100%}figure{margin:1em 0}figcaption{color:#555;font-size:90%;max-width:60em}"
    "table{border-collapse:collapse;margin:.5em 0}td,th{padding:.2em 1em .2em 0;vertical-align:top;text-align:left}"
    "th{border-bottom:1px solid #ccc}table.rows td:first-child{color:#666;white-space:nowrap}"
    "code,pre{font-size:90%}pre{background:#f4f4f4;padding:.6em;overflow-x:auto}"
    "section{border-top:1px solid #ccc;margin-top:2em}.far{background:#ffd9a8;font-weight:bold}"
    ".concern{color:#a33500}.path{color:#666;font-size:90%}"
)


def page_start(title: str) -> str:
    """Return a page's begin, with its title as heading; `PAGE_END` ends it."""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n"
    )


def section(title: str, content: Iterable[str], anchor: str = "") -> str:
    """Return a part of the page under a heading. anchor: by which `link` finds it."""
    place = f' id="{escape(anchor)}"' if anchor else ""
    return f"<section{place}><h2>{escape(title)}</h2>\n" + "\n".join(content) + "\n</section>\n"


def text(words: str, kind: str = "") -> str:
    """Return a paragraph. kind: `path` or `concern`, of the style."""
    return f"<p{_kind(kind)}>{escape(words)}</p>"


def items(lines: Iterable[str], kind: str = "") -> str:
    """Return a list of lines."""
    return "<ul>\n" + "\n".join(f"<li{_kind(kind)}>{escape(line)}</li>" for line in lines) + "\n</ul>"


def rows(pairs: Mapping[str, str]) -> str:
    """Return a table of two columns: what, and what of it."""
    body = "\n".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in pairs.items())
    return f'<table class="rows">\n{body}\n</table>'


def table(head: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    """Return a table. cells: rows of HTML, such as `link` gives, whose texts are escaped already."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in cells)
    return f"<table>\n<tr>{top}</tr>\n{body}\n</table>"


def link(words: str, anchor: str) -> str:
    """Return a link to a section of the page."""
    return f'<a href="#{escape(anchor)}">{escape(words)}</a>'


def code(lines: Iterable[str]) -> str:
    """Return commands to copy."""
    return "<pre>" + escape("\n".join(lines)) + "</pre>"


def picture(source: str | bytes, shows: str, caption: str = "") -> str:
    """Return a picture. source: a path as the page sees it, or the bytes of a PNG, which are then part of the page.

    shows: what those read who cannot see it.
    """
    if isinstance(source, bytes):
        source = f"data:image/png;base64,{base64.b64encode(source).decode('ascii')}"
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img src="{escape(source)}" alt="{escape(shows)}">{below}</figure>'


def _kind(kind: str) -> str:
    return f' class="{escape(kind)}"' if kind else ""
