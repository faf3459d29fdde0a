"""Make the features of a lake's days in a process that a test can kill: days_child.py LAKE OUT WORKERS CARRY."""

from __future__ import annotations

import sys
from pathlib import Path

from tapebook.research.many_days import Plan, plan_days, run_days


def main() -> None:
    lake, out, workers, carry = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "carry"
    plan = Plan(lake=lake, out=out, features="ofi,windows,hawkes", every="100ms", carry=carry, resume=True)
    report = run_days(plan, plan_days(plan), workers=workers)
    print(len(report.days), len(report.bad))


if __name__ == "__main__":
    main()
