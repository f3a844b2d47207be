"""SVG: the pieces that the pictures share, written by hand, readable on light and on dark."""

from html import escape

_STYLE = """\
  text { font-family: ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
  .card { fill: #ffffff; stroke: #d8dee4 }
  .strong { fill: #1f2328 } .soft { fill: #59636e }
  .halo { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round }
  .grid { stroke: #e4e8ec } .hub { stroke: #bc4c00 } .hubtext { fill: #bc4c00 }
  .courier { fill: #4f46e5 } .node { fill: #8a97a6 } .nchan { fill: #c2cad3 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d }
    .strong { fill: #f0f6fc } .soft { fill: #9198a1 }
    .halo { stroke: #0d1117 }
    .grid { stroke: #21262d } .hub { stroke: #f0883e } .hubtext { fill: #f0883e }
    .courier { fill: #8b87ff } .node { fill: #6e7b8b } .nchan { fill: #454f5b }
  }
"""


def opening(width: int, height: int, label: str, more_style: str = "") -> list[str]:
    """The picture's first lines: its size, its style and the card that everything stands on."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img" aria-label="{escape(label)}">',
        f"<style>\n{_STYLE}{more_style}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10"/>',
    ]


def text(
    x: float, y: float, words: str, style: str, size: float, *, weight: int = 400, anchor: str = "start"
) -> str:
    """`words` in one line; `anchor` says which end of them stands at `x`."""
    return (
        f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" font-weight="{weight}"'
        f' text-anchor="{anchor}">{escape(words)}</text>'
    )
