"""How Sphinx makes the site (`make docs`). Theme, fonts, scripts and the search index come from packages, none from the network."""

from tailgate import __version__

project = "tailgate"
release = __version__
extensions = ["myst_parser"]
# Links to sections, as in `page.md#a-section`.
myst_heading_anchors = 4
exclude_patterns = ["**/__pycache__"]
suppress_warnings = ["toc.empty_glob"]
highlight_language = "none"

html_theme = "furo"
html_title = "tailgate"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
