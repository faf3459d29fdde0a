"""Synthetic markets with planted episodes and their ground truth."""

from tapebook.simulator.preset import Preset
from tapebook.simulator.preset_file import load_preset
from tapebook.simulator.presets import BTC, ES, ES_THIN, NQ, PRESETS, preset
from tapebook.simulator.spec import is_spec, parse_spec, preset_named
from tapebook.simulator.tape import SimulatedTape, simulate

__all__ = [
    "BTC",
    "ES",
    "ES_THIN",
    "NQ",
    "PRESETS",
    "Preset",
    "SimulatedTape",
    "is_spec",
    "load_preset",
    "parse_spec",
    "preset",
    "preset_named",
    "simulate",
]
