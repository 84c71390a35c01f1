"""Whether a model fits: what is guessed, what is promised to whom, and who is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.control.memory import WORKER_BYTES, Memory, Need
from argosy.errors import ArgosyError, ErrorCode

MB = 2**20


def test_a_model_that_does_not_fit_is_refused_with_the_figures() -> None:
    """And leaves nothing promised."""
    memory = Memory(1.0, lambda: 0)
    with pytest.raises(ArgosyError, match=r"Model m needs about 30 MB of memory to load, of which 20 MB are free") as caught:
        memory.reserved("m", Need(30 * MB, 20 * MB)).__enter__()
    assert caught.value.code is ErrorCode.OUT_OF_MEMORY
    assert repr(memory) == "<Memory 0 bytes promised>"


def test_models_that_load_at_the_same_time_share_what_is_free() -> None:
    """The second one is refused while the first one loads, and fits afterwards; whatever ends the first one."""
    memory = Memory(1.0, lambda: 0)
    need = Need(30 * MB, 50 * MB)
    first = memory.reserved("first", need)
    first.__enter__()
    assert repr(memory) == f"<Memory {30 * MB} bytes promised>"
    with pytest.raises(ArgosyError, match="of which 20 MB are free"):
        memory.reserved("second", need).__enter__()
    failure = RuntimeError("the load failed")
    assert not first.__exit__(RuntimeError, failure, None)
    with memory.reserved("second", need):
        pass


def test_what_a_model_needs(tmp_path: Path) -> None:
    """Its files, also in folders, times what the operator knows, for each copy; and the processes."""
    (tmp_path / "layers").mkdir()
    (tmp_path / "weights").write_bytes(bytes(MB))
    (tmp_path / "layers" / "first").write_bytes(bytes(MB))
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert Memory(1.0, lambda: 7).measure(tmp_path, 1) == Need(2 * MB + WORKER_BYTES, 7)
    assert Memory(2.5, lambda: 7).measure(tmp_path, 3) == Need(15 * MB + 3 * WORKER_BYTES, 7)
    assert Memory(1.0, lambda: 7).measure(tmp_path / "nowhere", 1) == Need(WORKER_BYTES, 7)


def test_what_fits_exactly_is_loaded() -> None:
    """All of the free memory may be promised, and once; when the load is over it is free again."""
    memory = Memory(1.0, lambda: 7)
    for _ in range(2):
        with memory.reserved("m", Need(7 * MB, 7 * MB)), pytest.raises(ArgosyError, match="of which 0 MB are free"):
            memory.reserved("n", Need(1, 7 * MB)).__enter__()


def test_without_a_factor_everything_is_tried(tmp_path: Path) -> None:
    """Nobody knows what the models take."""
    memory = Memory(0.0, lambda: 0)
    with memory.reserved("m", memory.measure(tmp_path, 1)):
        pass
