"""Files as a repository wants them: text ends with one newline and has no conflict marks, nothing is over 1 MB.

Text is corrected in place, the rest is named; called by pre-commit with the files of a commit.
"""

import sys
from pathlib import Path

LARGEST_BYTES = 1_000_000
CONFLICT_MARKS = (b"<<<<<<< ", b">>>>>>> ")


def complaint(file: Path) -> str | None:
    """What is wrong with a file, or was until now."""
    content = file.read_bytes()
    if len(content) > LARGEST_BYTES:
        return f"{len(content):,} bytes; large files do not belong into the repository"
    if b"\0" in content:
        return None
    lines = content.splitlines()
    if any(line.startswith(CONFLICT_MARKS) for line in lines):
        return "a conflict of a merge is left in it"
    clean = b"\n".join(line.rstrip() for line in lines).rstrip(b"\n") + b"\n" if lines else b""
    if clean == content:
        return None
    file.write_bytes(clean)
    return "spaces at the ends of lines, or the last line; corrected, add it again"


def main(names: list[str]) -> int:
    """Print a line per file with a complaint; the exit status is 1 if there is any."""
    complaints = {name: problem for name in names if (problem := complaint(Path(name)))}
    print("\n".join(f"{name}: {problem}" for name, problem in complaints.items()))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
