"""``tapebook demo``: the main job on a simulated session with planted episodes, end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from tapebook.cli.options import Json

EPISODES: Final = (
    "iceberg@240",
    "layering@420",
    "sweep@600:levels=5",
    "quote_stuffing@780",
    "liquidity_evaporation@960",
    "informed_flow@1080",
    "flash_crash@1320",
)
"""What is planted, by seconds after the open."""

SPEC: Final = f"sim:es?seed=7&duration_s=1800&episodes={','.join(EPISODES)}"
"""Half an hour of a simulated ES session."""

NEXT: Final = (
    ("tapebook analyze FILE", "the same for a recording of yours, of any format"),
    ("tapebook analyze 'sim:nq?seed=2&duration_s=600'", "another simulated market"),
    ("tapebook convert FILE --to lake", "into a Parquet lake (then: tapebook sql)"),
)
"""Commands to try, and what they do."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: tapebook demo --out demo-report")
    def demo(
        out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the report.")] = Path("reports/demo"),
        as_json: Json = False,
    ) -> None:
        """Simulate half an hour of ES with planted episodes, analyse it, and name the report and what to try next."""
        from tapebook.cli.analyze import run
        from tapebook.report.sources import open_any

        analysis = run(open_any(SPEC), out, "", as_json=as_json)
        if not as_json:
            typer.echo(f"\nopen {analysis.page.resolve()} in a browser\n\nThen try:")
            for command, what in NEXT:
                typer.echo(f"  {command:<50} {what}")
