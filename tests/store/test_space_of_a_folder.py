"""What the benchmarks say a workspace takes: a file that several runs share is on the disk once."""

import os
from pathlib import Path

from space import space


def test_a_file_with_several_names_counts_once_and_links_do_not(tmp_path: Path) -> None:
    for run in ("r1", "r2"):
        (tmp_path / run).mkdir()
    (tmp_path / "r1" / "part").write_bytes(b"12345")
    (tmp_path / "r2" / "own").write_bytes(b"678")
    os.link(tmp_path / "r1" / "part", tmp_path / "r2" / "part")
    (tmp_path / "current").symlink_to("r2")
    (tmp_path / "page").symlink_to("r2/own")
    assert space(tmp_path) == (2, 8)
    assert space(tmp_path / "r2") == (2, 8)
    assert space(tmp_path / "none") == (0, 0)
