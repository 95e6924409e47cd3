"""Fuzzing: random programs that must do the same everywhere, mutated ones that all must judge alike, and damaged bytes.

    python bench/fuzz.py --programs 100000 --seed 0 --jobs 2 --kind all

A case is a kind and a seed: the cases of a campaign with seed S are S, S + 1, ... of every kind, so each can be run
alone. Exits with 1 if one fails. docs/fuzzing.md says what holds of each kind.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))
from fuzzing.campaign import CASES, MOST_SECONDS, SLOW, Hang, run

PATIENCE = 2 * MOST_SECONDS * max(SLOW.values())
"""Seconds without an answer after which a process is ended: its case hangs where Python cannot stop it."""

Case = tuple[str, int]
"""Kind and seed."""


def work(cases: Sequence[Case], answers: Queue[tuple[Case, bool, str]]) -> None:
    """Runs cases; for each an answer: whether it holds, and what happened."""
    for kind, seed in cases:
        try:
            answers.put(((kind, seed), True, run(kind, seed)))
        except (Exception, Hang) as e:
            answers.put(((kind, seed), False, f"{type(e).__name__}: {e}"))


@dataclass
class Worker:
    """A process, the cases that it still has to answer, and when it last did."""

    cases: list[Case]
    process: SpawnProcess
    answers: Queue[tuple[Case, bool, str]]
    heard: float = field(default_factory=time.monotonic)

    @staticmethod
    def of(cases: list[Case]) -> Worker:
        context = multiprocessing.get_context("spawn")
        answers: Queue[tuple[Case, bool, str]] = context.Queue()
        process = context.Process(target=work, args=(cases, answers), daemon=True)
        process.start()
        return Worker(list(cases), process, answers)

    def results(self) -> Iterator[tuple[Case, bool, str]]:
        """What has been answered by now. A case in which the process dies or hangs is answered for it, and the others
        are left to a new process."""
        alive = self.process.is_alive()
        try:
            while True:
                answer = self.answers.get(timeout=0.05)
                self.cases.remove(answer[0])
                self.heard = time.monotonic()
                yield answer
        except Empty:
            pass
        if not self.cases or (alive and time.monotonic() - self.heard < PATIENCE):
            return
        what = f"no answer within {PATIENCE} s" if alive else f"the process died: exit code {self.process.exitcode}"
        self.process.kill()
        case, *rest = self.cases
        again = Worker.of(rest)
        self.cases, self.process, self.answers, self.heard = again.cases, again.process, again.answers, again.heard
        yield case, False, what


def campaign(cases: Sequence[Case], jobs: int, progress: Progress) -> Iterator[tuple[Case, bool, str]]:
    """The answers to all cases."""
    task = progress.add_task("fuzzing", total=len(cases))
    workers = [Worker.of([*cases[i::jobs]]) for i in range(jobs)]
    while any(w.cases for w in workers):
        for worker in workers:
            for answer in worker.results():
                progress.advance(task)
                yield answer


def main(args: argparse.Namespace) -> int:
    console = Console()
    kinds = [kind for kind in CASES if kind not in SLOW] if args.kind == "all" else [args.kind]
    cases = [(kinds[i % len(kinds)], args.seed + i // len(kinds)) for i in range(args.programs)]
    seen: Counter[tuple[str, str]] = Counter()
    failed: list[tuple[Case, str]] = []
    began = time.monotonic()
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as p:
        for case, holds, what in campaign(cases, args.jobs, p):
            seen[case[0], what if holds else "FAILED"] += 1
            if not p.console.is_terminal and seen.total() % 5000 == 0:
                print(f"{seen.total()} cases, {len(failed)} disagreements", flush=True)
            if not holds:
                failed.append((case, what))
                p.console.print(f"{case[0]} {case[1]}: {what}", markup=False, soft_wrap=True)
    table = Table("kind", "what happened", "cases")
    for (kind, what), number in sorted(seen.items(), key=lambda item: (item[0][0], -item[1])):
        table.add_row(kind, what, str(number))
    console.print(table)
    seconds = time.monotonic() - began
    console.print(f"{len(cases)} programs from seed {args.seed} on in {seconds:.0f} s: {len(failed)} disagreements")
    for (kind, seed), _ in failed[:20]:
        console.print(f"  python bench/fuzz.py --kind {kind} --seed {seed} --programs 1", soft_wrap=True)
    return 1 if failed else 0


def arguments() -> Any:
    parser = argparse.ArgumentParser(description="random, mutated and damaged programs; see docs/fuzzing.md")
    parser.add_argument("--programs", type=int, default=100_000, help="cases to run")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--kind", choices=[*CASES, "all"], default="all", help="all are the quick ones")
    parser.add_argument("--short", action="store_true", help="600 cases, for CI")
    args = parser.parse_args()
    if args.short:
        args.programs = 600
    return args


if __name__ == "__main__":
    sys.exit(main(arguments()))
