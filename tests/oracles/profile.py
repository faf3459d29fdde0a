"""Point of control and value area from their rules, on a plain list of volumes by row."""

from __future__ import annotations

from fractions import Fraction


def point_of_control(volume: list[int]) -> int:
    """Most volume; ties: nearest the middle of the traded range, then the heavier half, then the lower."""
    traded = [i for i, v in enumerate(volume) if v]
    low, high = traded[0], traded[-1]
    middle = Fraction(low + high, 2)
    most = max(volume)
    tied = [i for i in traded if volume[i] == most]
    nearest = min(abs(i - middle) for i in tied)
    tied = [i for i in tied if abs(i - middle) == nearest]
    if len(tied) == 1:
        return tied[0]
    below = sum(v for i, v in enumerate(volume) if i < middle)
    above = sum(v for i, v in enumerate(volume) if i > middle)
    return tied[1] if above > below else tied[0]


def value_area(volume: list[int], poc: int, share: Fraction, step: int) -> tuple[int, int]:
    """Lowest and highest row: the larger of the next rows above and below, ties up, until the share is inside."""
    traded = [i for i, v in enumerate(volume) if v]
    low, high = traded[0], traded[-1]
    bottom = top = poc
    while sum(volume[bottom : top + 1]) < share * sum(volume):
        above = volume[top + 1 : min(top + step, high) + 1]
        below = volume[max(bottom - step, low) : bottom]
        if above and (not below or sum(above) >= sum(below)):
            top += len(above)
        else:
            bottom -= len(below)
    return bottom, top
