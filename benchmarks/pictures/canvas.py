"""A picture as one SVG file, drawn part by part."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

from tailgate.harness.report.drawing.markup import Element, tag

WIDTH = 760
STYLE = """
svg { background: #fff; font: 13px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; fill: #1b2129; }
.soft { fill: #5a6472; } .end { text-anchor: end; } .mid { text-anchor: middle; } .bold { font-weight: 600; }
.grid { stroke: #e1e5ea; } .limit { stroke: #b3261e; stroke-width: 2; stroke-dasharray: 6 4; } .limit-text { fill: #b3261e; }
.base { fill: #1268b3; stroke: #1268b3; } .head { fill: #d1560f; stroke: #d1560f; } .idle { fill: #d5dae0; }
.pass { fill: #0a7a55; stroke: #0a7a55; } .fail { fill: #c22d1e; stroke: #c22d1e; } .inconclusive { fill: #9a6700; stroke: #9a6700; }
text { stroke: none !important; } .range { stroke-width: 9; stroke-linecap: round; opacity: .4; } .dot { stroke: none; } .inside { fill: #fff; } .link { fill: #eceff3; }
@media (prefers-color-scheme: dark) {
  svg { background: #171c23; fill: #e6eaef; } .soft { fill: #9aa6b4; } .grid { stroke: #2b333d; } .idle { fill: #3b4552; } .link { fill: #232a33; } .inside { fill: #171c23; }
  .base { fill: #5eb0f7; stroke: #5eb0f7; } .head { fill: #ff9a57; stroke: #ff9a57; } .limit { stroke: #ff8a7d; } .limit-text { fill: #ff8a7d; }
  .pass { fill: #46c493; stroke: #46c493; } .fail { fill: #ff7b6b; stroke: #ff7b6b; } .inconclusive { fill: #e0b040; stroke: #e0b040; }
}
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, drawn part by part; places are pixels from the upper left corner."""

    height: int
    title: str
    parts: list[Element] = field(default_factory=list)

    def text(self, x: float, y: float, said: str, style: str = "") -> None:
        """Write a line of text; ``style`` is a list of classes."""
        self.parts.append(tag("text", said, x=_px(x), y=_px(y), class_=style or None))

    def line(self, ends: tuple[float, float, float, float], style: str) -> None:
        """Draw a line from ``ends[:2]`` to ``ends[2:]``."""
        self.parts.append(
            tag("path", d=f"M{_px(ends[0])} {_px(ends[1])}L{_px(ends[2])} {_px(ends[3])}", class_=style)
        )

    def box(self, x: float, y: float, width: float, height: float, style: str) -> None:
        """Draw a filled box."""
        if width > 0:
            size = {"x": _px(x), "y": _px(y), "width": _px(width), "height": _px(height)}
            self.parts.append(tag("rect", **size, class_=f"{style} dot"))

    def dot(self, x: float, y: float, style: str, radius: float = 2.5) -> None:
        """Draw a dot."""
        self.parts.append(tag("circle", cx=_px(x), cy=_px(y), r=_px(radius), class_=f"{style} dot"))

    def range(self, low: float, high: float, value: float, y: float, style: str) -> None:
        """Draw an interval with a mark at its value."""
        self.line((low, y, high, y), f"{style} range")
        self.box(value - 1.5, y - 9, 3, 18, style)

    def svg(self) -> str:
        """Return the file."""
        size = {"width": str(WIDTH), "height": str(self.height), "viewBox": f"0 0 {WIDTH} {self.height}"}
        whole = tag(
            "svg",
            tag("title", self.title),
            tag("style", STYLE),
            self.parts,
            xmlns="http://www.w3.org/2000/svg",
            role="img",
            **size,
        )
        return ET.tostring(whole, encoding="unicode") + "\n"


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
