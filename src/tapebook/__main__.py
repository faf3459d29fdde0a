"""``python -m tapebook``."""

from tapebook.cli.main import run

run()
