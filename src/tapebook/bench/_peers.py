"""What peers take for the same work: run as a script in an interpreter that has them.

    python _peers.py JOB SAMPLE.npz

prints one JSON object: ``found``, seconds of processor time (best of several runs) by what, by library; ``failed``, why
a library that is installed could not be measured. A process of its own, so that a peer can neither disturb the program
nor be disturbed by it. Nothing of the program is imported here: the interpreter may be another one.

Work that a peer does in Python, value by value, is measured on a part and told for the whole sample.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

Sample = dict[str, Any]
Seconds = dict[str, float]

_PART = 20_000


def _best(function: Callable[[], Any], times: int = 5) -> float:
    function()
    took = []
    for _ in range(times):
        start = time.process_time()
        function()
        took.append(time.process_time() - start)
    return min(took)


# -- Hawkes: ``times``, ``horizon`` -----------------------------------------------------------------------------------


def _hawkeslib(s: Sample) -> Seconds:
    process = import_module("hawkeslib").UnivariateExpHawkesProcess
    t, horizon = s["times"], float(s["horizon"])
    return {
        "fit": _best(lambda: process().fit(t, horizon, method="gd"), 3),
        "likelihood": _best(lambda: process.log_likelihood_with_params(t, 1.0, 0.6, 2.0, horizon)),
    }


def _hawkespylib(s: Sample) -> Seconds:
    inference = import_module("HawkesPyLib.inference").ExpHawkesProcessInference
    return {"fit": _best(lambda: inference().estimate(s["times"], float(s["horizon"])), 2)}


def _tick(s: Sample) -> Seconds:
    likelihood = import_module("tick.hawkes").ModelHawkesExpKernLogLik

    def weigh_and_evaluate() -> None:
        # A new decay makes tick weigh all events again, as every step of a fit over the decay would.
        fresh = likelihood(2.0, n_threads=1)
        fresh.fit([s["times"]], end_times=float(s["horizon"]))
        fresh.loss_and_grad(np.array([1.0, 0.6]))

    return {"likelihood_gradient": _best(weigh_and_evaluate)}


# -- Fractional differencing: ``x``, ``order``, ``window``, ``threshold`` (of both windows) ---------------------------


def _fracdiff(s: Sample) -> Seconds:
    fdiff = import_module("fracdiff").fdiff
    x, order = s["x"], float(s["order"])
    return {f"K{n}": _best(lambda n=n: fdiff(x, order, window=n, mode="valid")) for n in s["window"].tolist()}  # type: ignore[misc] # bound in the loop


def _mlfinpy_fracdiff(s: Sample) -> Seconds:
    import_module("mlfinpy")
    ffd = import_module("mlfinpy.util.frac_diff").FractionalDifferentiation.frac_diff_ffd
    window, threshold = int(s["window"][0]), float(s["threshold"][0])
    frame = import_module("pandas").DataFrame({"x": s["x"][: _PART + window]})  # the first window gives no values
    taken = _best(lambda: ffd(frame, float(s["order"]), threshold), 1)
    return {f"K{window}": taken * s["x"].size / (len(frame) - window)}


# -- Indicators: ``x`` ------------------------------------------------------------------------------------------------


def _talib(s: Sample) -> Seconds:
    talib, x = import_module("talib"), s["x"]

    def bands() -> Any:
        upper, mean, lower = talib.BBANDS(x, 20)
        width = upper - lower
        with np.errstate(invalid="ignore", divide="ignore"):
            return (x - lower) / width, width / mean

    return {
        "rsi": _best(lambda: talib.RSI(x, 14)),
        "macd": _best(lambda: talib.MACD(x)),
        "bollinger": _best(bands),
        "bands": _best(lambda: talib.BBANDS(x, 20)),
    }


def _polars_technical(s: Sample) -> Seconds:
    pl = import_module("polars")
    frame, x = pl.DataFrame({"x": s["x"]}), pl.col("x")

    def ewm(expression: Any, length: float) -> Any:
        return expression.ewm_mean(alpha=length, adjust=False)

    gain, loss = x.diff().clip(lower_bound=0.0), (-x.diff()).clip(lower_bound=0.0)
    up, down = ewm(gain, 1 / 14), ewm(loss, 1 / 14)
    macd = ewm(x, 2 / 13) - ewm(x, 2 / 27)
    mean, sd = x.rolling_mean(20), x.rolling_std(20, ddof=0)
    bands = [mean.alias("mean"), (mean + 2 * sd).alias("upper"), (mean - 2 * sd).alias("lower")]
    asked = {
        "rsi": [(100.0 * up / (up + down)).alias("rsi")],
        "macd": [macd.alias("macd"), ewm(macd, 2 / 10).alias("signal")],
        "bollinger": [*bands, (0.5 + (x - mean) / (4 * sd)).alias("place"), (4 * sd / mean).alias("width")],
    }
    return {name: _best(lambda e=e: frame.select(e)) for name, e in asked.items()}  # type: ignore[misc] # bound in the loop


def _talipp(s: Sample) -> Seconds:
    indicators = import_module("talipp.indicators")
    part = s["x"][:_PART].tolist()
    made = {
        "rsi": lambda: indicators.RSI(14),
        "macd": lambda: indicators.MACD(12, 26, 9),
        "bands": lambda: indicators.BB(20, 2.0),
    }

    def feed(make: Callable[[], Any]) -> None:
        indicator = make()
        for value in part:
            indicator.add(value)

    return {name: _best(lambda m=m: feed(m), 2) * s["x"].size / len(part) for name, m in made.items()}  # type: ignore[misc] # bound in the loop


def _river(s: Sample) -> Seconds:
    stats, rolling = import_module("river.stats"), import_module("river.utils").Rolling
    part = s["x"][:_PART].tolist()

    def bands() -> float:
        mean, variance, last = rolling(stats.Mean(), 20), rolling(stats.Var(ddof=0), 20), 0.0
        for value in part:
            mean.update(value)
            variance.update(value)
            last = mean.get() + 2.0 * max(variance.get(), 0.0) ** 0.5
        return last

    return {"bands": _best(bands, 3) * s["x"].size / len(part)}


# -- Bars and footprints: ``ts_ns``, ``price`` (in 1e-9), ``lots``, ``side`` ------------------------------------------


def _polars_bars(s: Sample) -> Seconds:
    pl = import_module("polars")
    columns = {name: s[name] for name in ("ts_ns", "price", "lots", "side")}
    lazy = pl.DataFrame(columns).lazy().with_columns(minute=pl.col("ts_ns") // 60_000_000_000)
    price, lots = pl.col("price"), pl.col("lots")
    bought = lots.filter(pl.col("side") > 0).sum().alias("ask")
    sold = lots.filter(pl.col("side") < 0).sum().alias("bid")
    ends = [
        price.first().alias("open"),
        price.max().alias("high"),
        price.min().alias("low"),
        price.last().alias("close"),
    ]
    worth = (price * lots.cast(pl.Float64)).sum().alias("worth")

    def footprint() -> None:
        lazy.group_by("minute", "price").agg(bought, sold, pl.len()).sort("minute", "price").collect()
        lazy.group_by("minute").agg(*ends, bought, sold, worth, pl.len()).sort("minute").collect()

    return {"footprint": _best(footprint, 3)}


def _mlfinpy_bars(s: Sample) -> Seconds:
    import_module("mlfinpy")
    bars = import_module("mlfinpy.data_structure.standard_bars")
    pd = import_module("pandas")
    n = 10 * _PART
    frame = pd.DataFrame(
        {"date_time": pd.to_datetime(s["ts_ns"][:n]), "price": s["price"][:n] / 1e9, "volume": s["lots"][:n]}
    )
    return {
        "tick": _best(lambda: bars.get_tick_bars(frame, threshold=100, verbose=False), 1) * s["price"].size / len(frame)
    }


# -- Capture: ``frames`` (bytes), ``sizes`` of each, ----------------------------------------------------------------


def _project_x_py(s: Sample) -> Seconds:
    """Its own path from a frame to its order book: pysignalr's decoder, its event handlers, its frames of polars."""
    import_module("project_x_py")
    asyncio = import_module("asyncio")
    import_module("logging").disable(1000)
    client_of = import_module("project_x_py.realtime.core").ProjectXRealtimeClient
    book_of = import_module("project_x_py.orderbook").OrderBook
    bus_of = import_module("project_x_py.event_bus").EventBus
    decode = import_module("pysignalr.protocol.json").JSONProtocol().decode
    data, frames, at = s["frames"].tobytes(), [], 0
    for size in s["sizes"].tolist():
        frames.append(data[at : at + size])
        at += size
        if len(frames) * 16 >= _PART:
            break
    kinds = {"GatewayQuote": "quote_update", "GatewayTrade": "market_trade", "GatewayDepth": "market_depth"}
    told = {"records": 0, "updates": 0}

    async def play() -> None:
        client = client_of("token", "1")
        book = book_of("MNQ", bus_of())
        await book.realtime_handler.initialize(client)
        for frame in frames:
            for message in decode(frame):
                await client._forward_event_async(kinds[message.target], message.arguments)  # noqa: SLF001 - what its socket calls
                told["records"] += 1
        told["updates"] = book.level2_update_count

    start = time.process_time()
    asyncio.run(play())
    seconds = time.process_time() - start
    if not told["updates"]:
        raise RuntimeError("its book took nothing in")
    return {"record": seconds / told["records"]}


JOBS: dict[str, dict[str, Callable[[Sample], Seconds]]] = {
    "hawkes": {"hawkeslib": _hawkeslib, "HawkesPyLib": _hawkespylib, "tick": _tick},
    "fracdiff": {"fracdiff": _fracdiff, "mlfinpy": _mlfinpy_fracdiff},
    "technical": {"TA-Lib": _talib, "polars": _polars_technical, "talipp": _talipp, "river": _river},
    "bars": {"polars": _polars_bars, "mlfinpy": _mlfinpy_bars},
    "capture": {"project_x_py": _project_x_py},
}


def main() -> None:
    """Measure and print."""
    # Benchmarks here have the names of libraries.
    home = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - as the interpreter writes it
    sys.path[:] = [place for place in sys.path if os.path.abspath(place or ".") != home]  # noqa: PTH100 - as above
    with np.load(sys.argv[2]) as file:
        sample = dict(file)
    told: dict[str, dict[str, Any]] = {"found": {}, "failed": {}}
    for name, measure in JOBS[sys.argv[1]].items():
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                told["found"][name] = measure(sample)
            except ModuleNotFoundError as error:
                if (error.name or "").lower() != name.lower().replace("-", ""):  # it is here, but lacks another
                    told["failed"][name] = str(error)
            except Exception as error:  # noqa: BLE001 - whatever a peer does, the others are measured
                told["failed"][name] = f"{type(error).__name__}: {error}"
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
