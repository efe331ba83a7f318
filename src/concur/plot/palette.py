"""Colours that stay apart for colour-blind readers, on light and on dark paper.

Charts are drawn with stand-in colours, which become CSS variables of the page: one SVG serves both
themes. The six hues were searched for the greatest least distance (CIE76: 29 on light, 24 on dark)
with normal vision, protanopia, deuteranopia and tritanopia (Machado et al. 2009), at a contrast of
at least 3.3 to the paper. After six protocols, hues come again with another dash.
"""

from importlib.resources import files
from typing import Literal

INK, MUTED, GRID, PAPER, FAULT = "#0a0b0c", "#0a0b0d", "#0a0b0e", "#0a0b0f", "#0a0b10"
BASELINE = "#0a0b11"
HUES = tuple(f"#0a0c0{i}" for i in range(6))
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2))
MARKERS = ("o", "s", "^", "D")

VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    FAULT: "--fault",
    BASELINE: "--baseline",
    **{hue: f"--hue{i}" for i, hue in enumerate(HUES)},
}
"""What each stand-in becomes; `palette.css` gives the values for both themes."""


def style_of(name: str) -> str:
    """A style sheet of ours, with the colours of both themes before it."""
    folder = files("concur.plot")
    return "".join((folder / file).read_text("utf-8") for file in ("palette.css", name))


class Look:
    """How one protocol looks in every chart."""

    def __init__(self, place: int | None) -> None:
        if place is None:
            self.colour, self.dash, self.marker = BASELINE, DASHES[1], "X"
        else:
            turn = place // len(HUES)
            self.colour = HUES[place % len(HUES)]
            self.dash = DASHES[turn % len(DASHES)]
            self.marker = MARKERS[turn % len(MARKERS)]

    @property
    def variable(self) -> str:
        return VARIABLES[self.colour]

    @property
    def line(self) -> "Literal['-'] | tuple[float, tuple[float, ...]]":
        """The dash as matplotlib takes it."""
        return (0, self.dash) if self.dash else "-"


def looks(baselines: "list[bool]") -> "list[Look]":
    """One look for each protocol, in order: what is only a baseline is grey."""
    found, place = [], 0
    for baseline in baselines:
        found.append(Look(None if baseline else place))
        place += not baseline
    return found
