"""How long programs are on machines that differ from the published one in one number.

    python bench/more_hardware.py                    # all numbers that change what there is to divide
    python bench/more_hardware.py planes streams     # some of them
    python bench/more_hardware.py --short            # two values of each, the small programs of the tests

Prints a row for every value, ascending. `+` marks a program that is longer than with the next smaller number, and a
program that is refused has its reason below the table. Exits with 1 if there are such marks for a number that counts
units on a machine with more of them than the published one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))
from machine_cases import FULL, MORE, OTHERS, RESOURCES, SMALL, chip_with
from tspc.dialects.errors import TspError
from tspc.dialects.machine.target import DEFAULT_SYSTEM
from tspc.passes.plans import COUNTS


def main() -> int:
    parser = argparse.ArgumentParser(description="programs on machines that differ in one number")
    parser.add_argument("fields", nargs="*", choices=[[], *MORE], help="the numbers; without any, all")
    parser.add_argument("--short", action="store_true", help="few values and small programs")
    args = parser.parse_args()
    values = {**RESOURCES, **OTHERS} if args.short else MORE
    programs = {name: make() for name, make in (SMALL if args.short else FULL).items()}
    print(f"{'':24}", *(f"{name:>14}" for name in programs), flush=True)
    refused: list[str] = []
    longer = 0
    for field in args.fields or values:
        before: dict[str, int] = {}
        for value in values.get(field, MORE[field]):
            row: list[str] = []
            for name, program in programs.items():
                try:
                    cycles = program.cycles(chip_with(field, value))
                except TspError as e:
                    row.append("refused")
                    refused.append(f"{field} = {value}, {name}: {e}")
                    continue
                more = cycles > before.get(name, cycles)
                longer += more and field in COUNTS and value > getattr(DEFAULT_SYSTEM.chip, field)
                row.append(f"{'+' if more else ''}{cycles}")
                before[name] = cycles
            print(f"{f'{field} = {value}':24}", *(f"{text:>14}" for text in row), flush=True)
    print(*refused, sep="\n")
    return longer > 0


if __name__ == "__main__":
    sys.exit(main())
