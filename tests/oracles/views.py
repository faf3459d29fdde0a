"""What turns one view of the best levels into the next, from the definition: sets of prices."""

from __future__ import annotations

View = list[tuple[int, int]]  # (price, quantity), best first
Change = tuple[int, int, bool]  # price, new quantity, only the view changed


def changes_of_side(before: View, after: View, n_levels: int, sign: int) -> set[Change]:
    """``sign`` is +1 for bids (higher is better) and -1 for asks."""
    old, new = dict(before), dict(after)
    found: set[Change] = set()
    for price in old.keys() - new.keys():
        beyond = len(after) == n_levels and all(price * sign < p * sign for p in new)
        found.add((price, 0, beyond))
    for price in new.keys() - old.keys():
        beyond = len(before) == n_levels and all(price * sign < p * sign for p in old)
        found.add((price, new[price], beyond))
    for price in new.keys() & old.keys():
        if new[price] != old[price]:
            found.add((price, new[price], False))
    return found
