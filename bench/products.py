"""Products of few rows or columns and many passes: all compile, and give numpy's bits.

    python bench/products.py                    # all sizes, elements, weights and epilogues: 13,552 products
    python bench/products.py --programs 500     # some of them, drawn by --seed
    python bench/products.py --machines         # the same on the machines of test/machines.py in turn
    python bench/products.py --short            # 60 of them, for CI

Prints those that are refused or differ, and what they took; exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))
from product_cases import beyond, cases, check, sample


def main() -> int:
    parser = argparse.ArgumentParser(description="products of few rows or columns and many passes")
    parser.add_argument("--programs", type=int, default=0, help="how many, drawn by the seed; 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="draws them, and whether a map makes the activations")
    parser.add_argument("--machines", action="store_true", help="on other machines too")
    parser.add_argument("--short", action="store_true", help="60 of them")
    args = parser.parse_args()
    count = 60 if args.short else args.programs or sum(1 for _ in cases())
    failed, skipped, cycles, began = 0, 0, 0, time.monotonic()
    for case in sample(args.seed, count, args.machines):
        if beyond(case):
            skipped += 1
            continue
        try:
            cycles += check(case)
        except Exception as e:
            failed += 1
            print(f"{case}: {type(e).__name__}: {e}", flush=True)
    seconds = time.monotonic() - began
    print(f"{count - skipped} products, {cycles} cycles, in {seconds:.0f} s: {failed} refused or different")
    if skipped:
        print(f"{skipped} skipped: the machine has no pair of planes in a hemisphere for f16")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
