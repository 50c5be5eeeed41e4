"""The page itself: one HTML file that needs nothing else, neither network nor scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cmodel._version import __version__
from cmodel.report.markup import Content, Markup, join, tag
from cmodel.report.palette import chart_css, variables

# Nothing may be loaded or run, whatever a name of a layer looks like.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_CSS = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
 font:15px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;
 font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
main{max-width:1040px;margin:0 auto;padding:40px 24px 56px}
h1{font-size:28px;line-height:1.2;letter-spacing:-.01em;margin:0 0 4px;font-weight:650}
h2{font-size:18px;line-height:1.3;margin:48px 0 6px;font-weight:650}
h3{font-size:14px;margin:0;font-weight:600}
p{margin:0 0 12px;max-width:72ch}
.soft,figcaption,caption{color:var(--soft)}
.note{color:var(--soft);font-size:13px;max-width:100ch}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:1px;
 margin:28px 0 0;background:var(--rule);border:1px solid var(--rule);border-radius:10px;
 overflow:hidden}
.tile{background:var(--paper);padding:14px 18px 16px}
.tile b{display:block;font-size:26px;line-height:1.25;font-weight:600;letter-spacing:-.01em;
 white-space:nowrap}
.tile span{color:var(--soft);font-size:13px}
figure{margin:16px 0 0}
figcaption{font-size:13px;margin-top:4px}
svg{display:block;max-width:100%;overflow:visible}
figure>svg{width:100%;height:auto}
.narrow{display:none!important}
table{border-collapse:collapse;width:100%;margin:12px 0 0;font-size:14px}
th,td{padding:6px 12px 6px 0;text-align:right;border-bottom:1px solid var(--rule);
 vertical-align:baseline}
th{font-weight:500;color:var(--soft);font-size:13px}
th:last-child,td:last-child{padding-right:0}
.text{text-align:left}
td.num{white-space:nowrap}
.key svg{display:inline-block;vertical-align:-1px;margin-right:8px}
.swatch{display:inline-block;width:11px;height:11px;margin-right:8px;vertical-align:-1px}
.hero{margin-top:16px}.hero svg,.scale svg{width:100%}
.scale{display:grid;grid-template-columns:auto minmax(0,1fr) auto;gap:4px 14px;font-size:13px;
 align-items:center;margin-top:18px;color:var(--soft)}
.scale .num{text-align:right}
.rows{display:grid;gap:7px 14px;align-items:center;font-size:14px;margin-top:14px}
.six{grid-template-columns:minmax(80px,auto) minmax(0,2fr) auto minmax(0,5fr) auto auto}
.five{grid-template-columns:minmax(80px,auto) minmax(0,1fr) auto auto auto}
.three{grid-template-columns:minmax(80px,auto) minmax(0,1fr) auto}
.below{margin-top:12px}
svg .level{stroke:var(--c);stroke-width:1.1}
.rows>*{min-width:0}
.rows .head{color:var(--soft);font-size:13px}
.rows .num{text-align:right;white-space:nowrap}
.rows svg{width:100%;height:16px}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(320px,1fr));gap:16px;
 margin-top:16px}
.card{border:1px solid var(--rule);border-radius:10px;padding:14px 16px 12px;
 break-inside:avoid}
.card .pair{display:grid;grid-template-columns:minmax(0,1fr) 112px;gap:16px;align-items:start;
 margin-top:10px}
.card svg{width:100%;height:auto}
.card img{display:block;width:112px;height:112px;image-rendering:pixelated;
 border:1px solid var(--rule)}
.card .note{margin:8px 0 0;font-size:12.5px;line-height:1.45}
.card .shape{color:var(--soft);font-weight:400;margin-left:8px}
pre{background:var(--panel);border-radius:8px;padding:14px 16px;margin:12px 0 0;font-size:13px;
 line-height:1.5;white-space:pre-wrap;font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,
 'DejaVu Sans Mono',monospace}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;
 font-size:.92em}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:4px 20px;margin:12px 0 0;
 font-size:14px}
dt{color:var(--soft)}dd{margin:0}
details{margin-top:14px}summary{cursor:pointer;color:var(--soft)}
.tag{display:inline-block;border:1px solid var(--rule);border-radius:99px;padding:0 9px;
 font-size:12.5px;color:var(--soft);margin-left:8px;vertical-align:2px;font-weight:500;
 letter-spacing:0}
footer{margin-top:56px;padding-top:14px;border-top:1px solid var(--rule);color:var(--soft);
 font-size:13px}
@media(max-width:640px){
 main{padding:24px 16px 40px}h1{font-size:24px}h2{margin-top:38px}
 .wide{display:none!important}.narrow{display:block!important}
 .tiles{grid-template-columns:1fr 1fr}.tile{padding:12px 14px}.tile b{font-size:21px}
 .optional{display:none}th,td{padding-right:8px}
 .rows{gap:2px 12px;grid-auto-flow:row dense}
 .six,.five{grid-template-columns:minmax(0,1fr) auto auto}
 .three{grid-template-columns:minmax(0,1fr) auto}
 .rows .head,.rows .off{display:none}
 .rows .full{grid-column:1/-1;margin-bottom:8px}.rows .axis-labels{margin:0}
 .cards{grid-template-columns:1fr}
 dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}}
@media print{
 body{font-size:11pt}main{max-width:none;padding:0}h2{break-after:avoid}
 .tile,.card,figure,tr{break-inside:avoid}.tiles{grid-template-columns:repeat(4,1fr)}
 .cards{grid-template-columns:1fr 1fr}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


def page(title: str, body: Markup) -> str:
    """Return a whole HTML document."""
    style = (
        f":root{{color-scheme:light dark;{variables(False)}}}"
        # Paper is white, whatever the screen was.
        f"@media screen and (prefers-color-scheme:dark){{:root{{{variables(True)}}}}}"
        f"{chart_css()}{_CSS}"
    )
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=f"cmodel {__version__}"),
        # An empty icon, so that no browser asks a server for one.
        Markup('<link rel="icon" href="data:,">'),
        tag("title", title),
        Markup(f"<style>{style}</style>"),
    )
    main = tag("main", body, tag("footer", f"Made by cmodel {__version__}."))
    return f"<!DOCTYPE html>\n{tag('html', tag('head', head), tag('body', main), lang='en')}\n"


def tiles(entries: Iterable[tuple[str, str]]) -> Markup:
    """Return the headline: a few large figures, each with what it is."""
    shown = (
        tag("div", tag("b", value), tag("span", what), class_="tile") for value, what in entries
    )
    return tag("div", *shown, class_="tiles")


def section(title: Content, *content: Content) -> Markup:
    """Return a section with its heading."""
    return tag("section", tag("h2", title), *content)


def note(text: Content) -> Markup:
    """Return a paragraph beside the point."""
    return tag("p", text, class_="note")


def facts_list(entries: Iterable[tuple[str, Content]]) -> Markup:
    """Return names and values."""
    return tag("dl", *(join(tag("dt", name), tag("dd", value)) for name, value in entries))


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[Content]],
    *,
    text: int = 1,
    optional: frozenset[int] = frozenset(),
) -> Markup:
    """Return a table: the first `text` columns flush left, `optional` ones not on a phone."""

    def style(column: int) -> str:
        kind = "text" if column < text else "num"
        return f"{kind} optional" if column in optional else kind

    head = tag("tr", *(tag("th", name, class_=style(i)) for i, name in enumerate(header)))
    body = (
        tag("tr", *(tag("td", cell, class_=style(i)) for i, cell in enumerate(row))) for row in rows
    )
    return tag("table", tag("thead", head), tag("tbody", *body))
