"""Clients that nobody here wrote: what they hear is what our own client hears, record for record.

They run in a process of their own, with the interpreter (or the folder of node modules) that the environment names:
some of them need versions of libraries that do not go with ours. ``docs/gateway.md`` says how to set that up.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tapebook.gateway.play import End
from tapebook.gateway.server import Gateway
from tapebook.gateway.source import Source
from tapebook.simulator import simulate
from tests.gateway.play import Ears, play, settings

HERE = Path(__file__).parent / "foreign"
PYTHONS = [one for one in os.environ.get("TAPEBOOK_FOREIGN_PYTHON", "").split(os.pathsep) if one]
NODE_MODULES = os.environ.get("TAPEBOOK_FOREIGN_NODE", "")
MODULES = {"pysignalr_client": "pysignalr", "topstep_client": "topstep", "projectx_sdk_client": "projectx_sdk"}


def python_with(module: str) -> str:
    """Return the first interpreter that has a module, or skip."""
    for one in (sys.executable, *PYTHONS):
        if subprocess.run([one, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0:
            return one
    pytest.skip(f"{module} is not installed (TAPEBOOK_FOREIGN_PYTHON names interpreters that have it)")


def node() -> list[str]:
    """Return node with its modules, or skip."""
    if not NODE_MODULES or shutil.which("node") is None:
        pytest.skip("no node with @microsoft/signalr (TAPEBOOK_FOREIGN_NODE names the folder that has node_modules)")
    return ["node", str(HERE / "signalr_client.mjs"), NODE_MODULES]


def command_of(client: str) -> list[str]:
    if client.startswith("signalr"):
        return node()
    return [python_with(MODULES[client]), str(HERE / f"{client}.py")]


def side_by_side(client: str, path: Path, **environment: str) -> tuple[list[Any], list[Any]]:
    """Play a market to our client and another one at once; return what each heard."""
    command = command_of(client)
    source = Source(simulate("es", seed=6, duration_s=20))
    count = sum(len(chunk) for chunk in source.chunks())
    ours: list[Any] = []

    async def scene(gateway: Gateway) -> None:
        ears = Ears(gateway)
        hearing = asyncio.create_task(ears.listen(lambda _: False))
        contract = source.listings[0].id
        process = await asyncio.create_subprocess_exec(
            *command,
            *(gateway.url, "me", "key", contract, str(count), str(path)),
            env=os.environ | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
        assert gateway.play.ended
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        for part in b"".join(ears.frames).split(b"\x1e"):
            told = json.loads(part or b"{}")
            if told.get("type") == 1:
                ours.append([told["target"], *told["arguments"]])

    play(source, settings(play={"clients": 2, "end": End.SILENT}), scene, 120)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()], ours[:count]


@pytest.mark.slow
@pytest.mark.parametrize("client", [*MODULES, "signalr_client", "signalr_client-skip"])
def test_another_client_hears_what_ours_hears(client: str, tmp_path: Path) -> None:
    skip = {"SKIP_NEGOTIATION": "1"} if client.endswith("-skip") else {}
    theirs, ours = side_by_side(client.removesuffix("-skip"), tmp_path / "heard.jsonl", **skip)
    assert len(ours) > 1000
    assert theirs == ours
