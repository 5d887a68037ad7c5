"""Fill in what the pages take from declarations and results: ``python -m docs``."""

import sys

from docs.declared import DECLARED
from docs.filling import ROOT, FillError, Sources, Tables, filled, pages
from docs.measured import MEASURED


def main() -> int:
    """Write each page that has changed, and name it."""
    sources = Sources(Tables({**DECLARED, **MEASURED}))
    for page in pages():
        old = page.read_text(encoding="utf-8")
        try:
            new = filled(old, sources)
        except FillError as error:
            sys.stderr.write(f"{page.relative_to(ROOT)}: {error}\n")
            return 1
        if new != old:
            page.write_text(new, encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
