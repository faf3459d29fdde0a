"""What is not collected here: the user's file of test_plugin.py, which the program has to load by its path alone."""

from __future__ import annotations

collect_ignore = ["side_runs.py"]
