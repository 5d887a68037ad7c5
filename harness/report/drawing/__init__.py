"""Charts and pages as HTML and SVG, drawn here and by nothing else: no script, no font, no outside address."""
