"""Attacks every target with inputs that coverage guides, by atheris: `python guided.py SECONDS FOLDER`.

Each target runs in a process of its own, so that the slow part, instrumenting what is imported, is done once. `FOLDER/<target>.log` has what was
found. The exit status is the number of targets that broke a promise.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

ATTACKED = ["argosy.wire", "argosy.store", "argosy.properties", "argosy.config", "argosy.protocols.forms", "argosy.frontend"]


def main() -> int:
    """Attack one after the other."""
    seconds, folder = sys.argv[1], Path(sys.argv[2])
    with atheris.instrument_imports(include=ATTACKED):
        from fuzz.targets import TARGETS
    broken = 0
    for name, target in TARGETS.items():
        child = os.fork()
        if not child:
            _attack(target.attack, target.seeds, seconds, folder / name)
        broken += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
    return broken


def _attack(attack: Callable[[bytes], None], seeds: tuple[bytes, ...], seconds: str, corpus: Path) -> None:
    """Seed the corpus and run; ends the process."""
    corpus.mkdir(parents=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    log = os.open(corpus.with_name(f"{corpus.name}.log"), os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=1500", "-seed=1", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={corpus}-found-", str(corpus)], attack)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
