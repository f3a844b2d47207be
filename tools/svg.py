"""Svg: lines that terminals printed, as one picture that plays them back. It needs no script, and follows the
reader's colour scheme; who asks for less motion sees the end."""

from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import NamedTuple

from rich.style import Style
from rich.text import Text

COLUMNS = 106
CHARACTER, ROW, MARGIN, HEAD = 8.43, 20, 18, 40
STILL_SECONDS = 5.0
"""How long the end stands before it begins again."""

COLOURS = {
    "page": ("#ffffff", "#131519"),
    "line": ("#d5d5dc", "#343842"),
    "text": ("#16171c", "#eceef2"),
    "quiet": ("#62646f", "#9da1ad"),
    "accent": ("#4c4cc2", "#a5a5fa"),
    "type": ("#a04bc9", "#d08bf0"),
    "warn": ("#8a5500", "#f4bd5e"),
}
"""Light and dark, those of the admin page."""


@dataclass(frozen=True)
class Pane:
    """One of the terminals, so many rows high."""

    title: str
    rows: int


class Line(NamedTuple):
    """What a terminal printed, and when, in seconds from the start; with ANSI escapes."""

    pane: Pane
    at: float
    text: str


def animation(lines: list[Line], title: str) -> str:
    """The picture, as the text of an SVG file; `title` says what it shows to those who cannot see it."""
    panes = list(dict.fromkeys(line.pane for line in lines))
    length = max(line.at for line in lines) + STILL_SECONDS
    width = round(COLUMNS * CHARACTER + 2 * MARGIN)
    body, moments, top = [], [], 0.0
    for pane in panes:
        shown = [line for line in lines if line.pane == pane][: pane.rows]
        height = HEAD + len(shown) * ROW + MARGIN
        body.append(
            f'<rect class="pane" x="0.5" y="{top + 0.5}" width="{width - 1}" height="{height - 1}" rx="10"/>'
            f'<text class="quiet" x="{MARGIN}" y="{top + 26}">{escape(pane.title)}</text>'
        )
        for row, line in enumerate(shown):
            moments.append(line.at)
            y = top + HEAD + 16 + row * ROW
            body.append(f'<g class="l m{len(moments)}">{_text(line.text, y)}</g>')
        top += height + 12
    rules = [_rule(number, at, length) for number, at in enumerate(moments, 1)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {round(top - 12)}" role="img"'
        f' aria-labelledby="title">\n<title id="title">{escape(title)}</title>\n'
        f"<style>{_style(length)}{''.join(rules)}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


def _style(length: float) -> str:
    schemes = [";".join(f"--{name}:{pair[scheme]}" for name, pair in COLOURS.items()) for scheme in (0, 1)]
    fills = "".join(f".{name}{{fill:var(--{name})}}" for name in COLOURS)
    return (
        f"svg{{{schemes[0]}}}@media(prefers-color-scheme:dark){{svg{{{schemes[1]}}}}}"
        "text{font:14px ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre;"
        f"fill:var(--text)}}{fills}.pane{{fill:var(--page);stroke:var(--line)}}"
        f".l{{animation:{length:.1f}s step-end infinite}}"
        "@media(prefers-reduced-motion:reduce){.l{animation:none!important}}"
    )


def _rule(number: int, at: float, length: float) -> str:
    """Hidden until its moment, then shown to the end."""
    frames = f"0%{{opacity:0}}{at / length:.2%}{{opacity:1}}"
    return f".m{number}{{animation-name:k{number}}}@keyframes k{number}{{{frames}}}"


def _text(ansi: str, y: float) -> str:
    text = Text.from_ansi(ansi)
    if len(text) > COLUMNS:
        text = text[: COLUMNS - 1] + Text("…")
    plain = text.plain
    classes = ["accent" if plain.startswith("$") else "warn" if _is_news(plain) else ""] * len(plain)
    for span in text.spans:
        for place in range(span.start, min(span.end, len(plain))):
            classes[place] = _class(span.style) or classes[place]
    parts = []
    place = 0
    for name, group in groupby(classes):
        size = len(list(group))
        part = escape(plain[place : place + size])
        parts.append(f'<tspan class="{name}">{part}</tspan>' if name else part)
        place += size
    return f'<text x="{MARGIN}" y="{y}" xml:space="preserve">{"".join(parts)}</text>'


def _is_news(text: str) -> bool:
    return text.startswith(("Gap", "Closed", "No node"))


def _class(style: Style | str) -> str:
    if not isinstance(style, Style):
        return ""
    if style.dim:
        return "quiet"
    return "type" if style.color else ""
