from __future__ import annotations

from pathlib import Path

import pytest

from tapebook.market.errors import ConfigurationError, ReaderError
from tapebook.market.tape import Tape
from tapebook.report.sources import open_any
from tapebook.store.lake import Lake


def test_a_spec_a_lake_and_a_part_of_it_give_the_same_events(tmp_path: Path) -> None:
    simulated = open_any("sim:es?duration_s=5")
    assert isinstance(simulated, Tape)
    Lake(tmp_path / "lake").ingest(simulated)
    partition = next((tmp_path / "lake").glob("venue=*/symbol=*/date=*"))
    for path in (tmp_path / "lake", partition, partition.parent):
        stored = open_any(path)
        assert isinstance(stored, Tape)
        assert stored.events().tobytes() == simulated.events().tobytes()


def test_a_folder_that_is_no_lake_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="name a file in it"):
        open_any(tmp_path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match="no such file"):
        open_any(tmp_path / "nothing.csv")


@pytest.mark.parametrize("told", [{"format": "dbn"}, {"zone": "UTC"}, {"symbol": "ESH4"}])
def test_what_a_simulated_session_knows_itself_is_not_told_to_it(told: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="knows its own"):
        open_any("sim:es?duration_s=5", **told)
