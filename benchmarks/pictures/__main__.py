"""Draw the pictures of the documents, from results that are kept and from simulations with a fixed seed.

    python -m benchmarks.pictures

A picture is one SVG file in ``docs/pictures``, in light and in dark. The same numbers give the same file, byte for byte.
"""

from collections.abc import Callable, Mapping

from benchmarks.environments import ROOT
from benchmarks.pictures.canvas import Picture
from benchmarks.pictures.comparison import blocks, power, timeline
from benchmarks.pictures.load import intervals, open_loop

FOLDER = ROOT / "docs" / "pictures"
PICTURES: Mapping[str, Callable[[], Picture]] = {
    "open-loop": open_loop,
    "intervals": intervals,
    "timeline": timeline,
    "blocks": blocks,
    "power": power,
}


def main() -> None:
    """Write every picture."""
    for name, draw in PICTURES.items():
        path = FOLDER / f"{name}.svg"
        path.write_text(draw().svg(), encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
