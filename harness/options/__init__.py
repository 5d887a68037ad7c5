"""What the user said: every option, declared once, and the settings of one run."""
