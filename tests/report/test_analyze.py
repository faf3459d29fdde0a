from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tapebook.features.ofi import make as make_ofi
from tapebook.market.errors import ConfigurationError, MalformedRecord, ReaderError
from tapebook.market.events import Events, Flag, Kind, SideSource, empty_events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Origin, Tape
from tapebook.report.analyze import Analysis, analyze
from tapebook.report.page import SECTIONS
from tapebook.report.sources import open_any
from tests.features.histories import UNIT, random_history

Recording = Callable[[str], Path]
SIM = "sim:es?seed=3&duration_s=90&episodes=sweep@30"
X = Instrument(symbol="X", venue="Y", tick_e9=UNIT)


def tape_of(events: Events, instruments: dict[int, Instrument] | None = None, **more: Any) -> Tape:
    def read(n: int) -> Iterator[Events]:
        for start in range(0, events.size, n):
            yield events[start : start + n]

    table = InstrumentTable(instruments or {1: X})
    return Tape(origin=Origin(name="made.csv", format="test"), read=read, instruments=table, **more)


class Page(HTMLParser):
    """What a browser would load, and whether tags close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.anchors: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            value = named.get(name)
            if value and not value.startswith(("#", "data:")):
                self.loads.append(f"{tag} {name}={value}")
        if tag == "svg":
            self.images.append(named)
        if tag == "a" and named.get("href"):
            self.anchors.append(str(named["href"]))
        if tag == "section" and named.get("id"):
            self.ids.append(str(named["id"]))
        if tag not in ("meta", "link", "br", "img", "path", "use", "image"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()


def check(analysis: Analysis) -> str:
    """What holds for every report; returns the page."""
    html = analysis.page.read_text(encoding="utf-8")
    assert len(html.encode()) < 2_000_000
    page = Page(html)
    assert page.loads == [], "the page loads something"
    assert "url(http" not in html
    assert "<script" not in html
    assert page.open == [], "tags that do not close"
    for image in page.images:
        assert image["role"] == "img"
        assert len(image["aria-label"] or "") > 10
    assert set(page.anchors) <= {f"#{i}" for i in page.ids}
    assert html.count("<figure>") == len(page.images)
    assert len(re.findall(r'</figure><p class="caption">[^<]{30,}', html)) == len(page.images)
    numbers = analysis.numbers.read_text(encoding="utf-8")
    document = json.loads(numbers, parse_constant=lambda x: pytest.fail(f"{x} in JSON"))
    assert document["schema"] == 1
    assert document == analysis.document
    assert not list(analysis.folder.glob("*.part"))
    for name, rows in analysis.tables.items():
        assert pq.read_metadata(analysis.folder / name).num_rows == rows
    return html


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analyze(open_any(SIM), tmp_path_factory.mktemp("report"))


def test_the_page_of_a_session_stands_by_itself_and_has_every_section(simulated: Analysis) -> None:
    html = check(simulated)
    assert simulated.document["missing"] == {}
    for title in SECTIONS.values():
        assert f"<h2>{title}</h2>" in html
    assert html.count("<svg") == len(SECTIONS)


def test_every_headline_and_sentence_of_the_page_stands_in_the_numbers(simulated: Analysis) -> None:
    html = simulated.page.read_text(encoding="utf-8")
    for tile in simulated.document["headline"]:
        assert f">{tile['value']}</b>" in html
    for sentence in simulated.document["captions"].values():
        assert len(sentence) > 40
        assert "nan" not in sentence.lower()


def test_spreads_add_up_in_every_row(simulated: Analysis) -> None:
    rows = simulated.document["spreads"]["realised"]
    assert [r["horizon_s"] for r in rows] == [0.1, 1, 5, 15, 30, 60]  # the session is shorter than the longest one
    for row in rows:
        if row["prints"]:
            assert row["effective"] == pytest.approx(row["realised"] + row["impact"], abs=1e-9)
    waiting = simulated.document["spreads"]["realised_rows_beyond_the_end"]
    told = sum(r["prints"] + r["prints_undefined"] for r in rows)
    assert told + waiting == 7 * simulated.document["spreads"]["effective"]["prints_defined"]


def test_tables_profile_and_delta_hold_the_same_lots(simulated: Analysis) -> None:
    folder, trades = simulated.folder, simulated.document["trades"]
    seconds, prints, profile = (pq.read_table(folder / f"{n}.parquet") for n in ("seconds", "trades", "profile"))
    for name in ("volume", "bought", "sold", "side_unknown"):
        total = trades[name]
        assert sum(seconds[name].to_pylist()) == total
        assert sum(profile[name].to_pylist()) == total
    assert sum(prints["qty"].to_pylist()) == trades["volume"]
    assert prints["cum_delta"].to_pylist()[-1] == trades["delta"] == seconds["cum_delta"].to_pylist()[-1]


def test_the_flow_of_the_seconds_is_the_flow_of_the_feature(simulated: Analysis) -> None:
    tape = open_any(SIM)
    assert isinstance(tape, Tape)
    key, instrument = next(iter(tape.instruments.items()))
    events = tape.events()
    rows = make_ofi(instrument, key).advance(events)
    seconds = pq.read_table(simulated.folder / "seconds.parquet")
    assert sum(seconds["ofi"].to_pylist()) == np.nansum(rows["ofi_lots"])


def test_the_same_tape_gives_the_same_report_in_blocks_of_any_size(simulated: Analysis, tmp_path: Path) -> None:
    tape = open_any(SIM)
    assert isinstance(tape, Tape)
    whole = tape.read
    tape.read = lambda _: whole(777)
    again = analyze(tape, tmp_path)
    left, right = ({k: v for k, v in a.document.items() if k not in ("drawn", "captions")} for a in (simulated, again))
    assert left == right
    for name in simulated.tables:
        assert pq.read_table(simulated.folder / name).equals(pq.read_table(tmp_path / name)), name


def test_planted_episodes_are_told(simulated: Analysis) -> None:
    assert [p["kind"] for p in simulated.document["planted"]] == ["sweep"]
    assert "Planted episodes" in simulated.page.read_text(encoding="utf-8")


def test_a_tape_of_trades_says_what_is_missing_and_why(tmp_path: Path) -> None:
    events, _ = random_history(1, 400)
    analysis = analyze(tape_of(events[events["kind"] == Kind.TRADE]), tmp_path)
    html = check(analysis)
    assert set(analysis.document["missing"]) == {"spread", "cost", "depth", "flow", "imbalance", "impact"}
    assert html.count("Not shown: this tape holds trades only") == 5
    assert "Trades by time and price" in html
    assert analysis.document["spreads"]["quoted"]["mean_by_time"] is None


def test_a_tape_of_quotes_says_what_is_missing_and_why(tmp_path: Path) -> None:
    events, _ = random_history(1, 400)
    analysis = analyze(tape_of(events[events["kind"] == Kind.QUOTE]), tmp_path)
    check(analysis)
    assert analysis.document["missing"]["delta"] == "this tape holds no trades"
    assert analysis.document["missing"]["depth"].startswith("this tape holds the best bid and ask only")
    assert analysis.document["price"]["basis"] == "mid"


def test_trades_without_aggressors_are_never_given_one(tmp_path: Path) -> None:
    events, _ = random_history(1, 300)
    events["side"][events["kind"] == Kind.TRADE] = 0
    events["side_source"] = SideSource.NONE
    analysis = analyze(tape_of(events), tmp_path)
    check(analysis)
    assert analysis.document["sides"]["source"] == "none"
    assert {"cost", "delta"} <= set(analysis.document["missing"])
    assert analysis.document["trades"]["delta"] == 0
    assert analysis.document["trades"]["side_unknown"] == analysis.document["trades"]["volume"]


@pytest.mark.parametrize("kind", [Kind.TRADE, Kind.QUOTE, Kind.STATUS, Kind.CLEAR])
def test_a_single_event_makes_a_report(kind: Kind, tmp_path: Path) -> None:
    e = empty_events(1)
    e["instrument_id"], e["kind"], e["side"], e["price"], e["qty_lots"], e["flags"] = 1, kind, 1, UNIT, 3, Flag.LAST
    e["ts_event_ns"] = 1_700_000_000_000_000_000
    check(analyze(tape_of(e), tmp_path))


def test_events_without_any_time_make_a_report(tmp_path: Path) -> None:
    events, _ = random_history(1, 50)
    events["ts_event_ns"] = np.iinfo(np.int64).min
    analysis = analyze(tape_of(events), tmp_path)
    check(analysis)
    assert analysis.document["span"]["first_ns"] is None


def test_a_tape_without_events_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match="holds no events"):
        analyze(tape_of(empty_events(0)), tmp_path)


def busy_and_quiet() -> Events:
    events, _ = random_history(1, 300)
    quiet = events[:40].copy()
    quiet["instrument_id"] = 2
    both = np.concatenate([events, quiet])
    ordered: Events = both[np.argsort(both["ts_event_ns"], kind="stable")]
    return ordered


TWO = {1: X, 2: Instrument(symbol="Q", venue="Y", tick_e9=UNIT)}


def test_of_several_instruments_the_most_traded_is_chosen_and_the_rest_listed(tmp_path: Path) -> None:
    analysis = analyze(tape_of(busy_and_quiet(), TWO), tmp_path)
    html = check(analysis)
    assert analysis.document["instrument"]["symbol"] == "X"
    assert [o["symbol"] for o in analysis.document["others"]] == ["Q"]
    assert "Other instruments (1)" in html


@pytest.mark.parametrize("name", ["Q", "q", "Y:Q", "#2"])
def test_an_instrument_can_be_named(name: str, tmp_path: Path) -> None:
    assert analyze(tape_of(busy_and_quiet(), TWO), tmp_path, instrument=name).document["instrument"]["symbol"] == "Q"


def test_a_name_that_is_not_on_the_tape_is_an_error_that_lists_what_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        analyze(tape_of(busy_and_quiet(), TWO), tmp_path, instrument="ESH4")
    assert raised.value.expected == "Q, X"


def test_a_busier_instrument_that_comes_late_is_the_one_that_is_analysed(tmp_path: Path) -> None:
    quiet = busy_and_quiet()
    events = np.concatenate([quiet[quiet["instrument_id"] == 2], quiet[quiet["instrument_id"] == 1]])
    tape = tape_of(events)
    tape.instruments = InstrumentTable()  # as of a reader that learns its instruments while it reads
    tape.read = lambda _: (events[i : i + 20] for i in range(0, events.size, 20))
    assert analyze(tape, tmp_path).document["instrument"]["symbol"] == "#1"


def test_names_from_a_file_cannot_become_markup(tmp_path: Path) -> None:
    evil = Instrument(symbol="<script>alert(1)</script>", venue='"><img src=x>', tick_e9=UNIT)
    events, _ = random_history(1, 100)
    tape = tape_of(events, {1: evil})
    tape.origin = Origin(name="<b>a</b>&.csv", format="test", details={"<i>": "<u>"})
    tape.quarantine.add("<s>bad</s>", raw=b"<script>x</script>")
    whole = tape.read

    def read(n: int) -> Iterator[Events]:
        tape.quarantine.add("<s>bad</s>", found="<em>", raw=b"<script>x</script>")
        tape.notes["<q>"] = 1
        yield from whole(n)

    tape.read = read
    html = check(analyze(tape, tmp_path))
    for raw in ("<script>", "<img", "<b>a", "<i>", "<u>", "<s>", "<em>", "<q>"):
        assert raw not in html
    assert "&lt;script&gt;x" in html


def test_what_could_not_be_read_is_shown_with_its_place(tmp_path: Path) -> None:
    events, _ = random_history(1, 100)
    tape = tape_of(events)

    def read(_: int) -> Iterator[Events]:
        for i in range(12):
            tape.quarantine.add("bad price", expected="a number", found=f"'x{i}'", where=f"line {i}", raw=b"1,x,2")
        tape.notes["gaps"] = 4
        yield events

    tape.read = read
    analysis = analyze(tape, tmp_path)
    html = check(analysis)
    assert analysis.document["quality"]["quarantined"] == 12
    assert "Quarantine: 12 records" in html
    assert "and 4 more" in html
    assert "line 3" in html
    assert analysis.document["quality"]["notes"] == {"gaps": 4}


def test_strict_stops_at_the_first_bad_record_and_leaves_no_report(tmp_path: Path) -> None:
    events, _ = random_history(1, 100)
    tape = tape_of(events, quarantine=Quarantine(strict=True))

    def read(_: int) -> Iterator[Events]:
        yield events[:50]
        tape.quarantine.add("bad price")

    tape.read = read
    with pytest.raises(MalformedRecord):
        analyze(tape, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_report_in_the_folder_is_replaced_whole(tmp_path: Path) -> None:
    events, _ = random_history(1, 300)
    analyze(tape_of(events), tmp_path)
    assert (tmp_path / "trades.parquet").exists()
    analysis = analyze(tape_of(events[events["kind"] == Kind.QUOTE]), tmp_path)
    check(analysis)
    assert not (tmp_path / "trades.parquet").exists()


def test_a_calendar_whose_hours_do_not_fit_is_set_aside_and_that_is_told(tmp_path: Path) -> None:
    events, _ = random_history(1, 300)
    noon = int(np.datetime64("2024-03-09T12:00", "ns").astype(np.int64))  # a Saturday
    events["ts_event_ns"] += noon - int(events["ts_event_ns"][0])
    saturday = Instrument(symbol="ESH4", venue="CME", tick_e9=UNIT, calendar="CME")
    analysis = analyze(tape_of(events, {1: saturday}), tmp_path)
    html = check(analysis)
    assert analysis.document["hours"] == "set aside"
    assert "its hours do not fit this tape" in html
    assert analysis.document["spreads"]["quoted"]["mean_by_time"] is not None


def test_an_unknown_tick_is_taken_from_the_prices_and_said_so(tmp_path: Path) -> None:
    events, _ = random_history(1, 300)
    analysis = analyze(tape_of(events, {1: Instrument(symbol="N", venue="Y")}), tmp_path)
    assert analysis.document["instrument"]["tick"] == 1.0
    assert analysis.document["instrument"]["tick_from"] == "seen"
    assert "as seen in the prices" in check(analysis)


def test_a_wild_stamp_does_not_stretch_the_page(tmp_path: Path) -> None:
    events, _ = random_history(1, 300)
    sound = analyze(tape_of(events.copy()), tmp_path).document["span"]
    for wild in (1 << 62, -5, int(events["ts_event_ns"][0]) + 400 * 86_400 * UNIT):
        events["ts_event_ns"][150] = wild
        assert analyze(tape_of(events), tmp_path).document["span"]["seconds"] == pytest.approx(sound["seconds"], abs=2)


@pytest.mark.recording
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst", {}),
        ("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip", {}),
        ("binance/spot_btcusdt_20240808.gz", {}),
        ("binance/cm_btcusd_perp_20240808.gz", {}),
        ("tardis/trades.csv", {}),
        ("tardis/quotes.csv", {}),
        ("topstepx/ES_ticks_combined_20251104.csv.gz", {}),
        ("b3/PETR4_05032025.csv", {}),
        ("databento_csv_arl/mbo.csv", {}),
        ("sierra/tbt.txt", {"zone": "America/New_York"}),
        ("sierra/ESH24-CME.scid_BarData__5m.txt", {"zone": "America/Chicago"}),
        ("b3/winfut_five_minute.csv", {"zone": "America/Sao_Paulo"}),
        ("databento/test_data.ohlcv-1m.v3.dbn.zst", {}),
    ],
)
def test_recordings_of_every_sort_make_a_sound_page(
    recording: Recording, name: str, options: dict[str, str], tmp_path: Path
) -> None:
    from zoneinfo import ZoneInfo

    opened: dict[str, Any] = {k: ZoneInfo(v) for k, v in options.items()}
    analysis = analyze(open_any(recording(name), **opened), tmp_path)
    html = check(analysis)
    assert not re.search(r"\bnan\b", re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL))


@pytest.mark.recording
@pytest.mark.slow
def test_the_es_holiday_evening_is_told_as_it_was(recording: Recording, tmp_path: Path) -> None:
    d = analyze(open_any(recording("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst")), tmp_path).document
    assert (d["trades"]["prints"], d["trades"]["volume"]) == (2_973, 9_892)
    assert d["span"]["first_local"] == "2023-12-25 16:00:00"
    # An hour of pre-open, an hour of trading: only the second one counts as quoted.
    assert 3_500 < d["spreads"]["quoted"]["quoted_s"] <= 3_600
    assert 1.0 <= d["spreads"]["quoted"]["mean_by_time_ticks"] < 1.2
    assert d["flow"][1]["interval_s"] == 10
    assert 0.3 < d["flow"][1]["ofi"]["r2"] < 0.7


@pytest.mark.recording
@pytest.mark.slow
def test_order_flow_explains_a_nasdaq_day_as_much_as_is_known(recording: Recording, tmp_path: Path) -> None:
    # 0.312 over 10 s for the best level of AMZN on 2012-06-21, by an independent computation.
    d = analyze(open_any(recording("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip")), tmp_path).document
    assert d["flow"][1]["ofi"]["r2"] == pytest.approx(0.312, abs=0.01)
