"""What must start fast does not import what is slow. Who may import whom is checked by `make contracts`."""

import subprocess
import sys


def test_the_command_line_and_the_settings_start_without_the_heavy_packages() -> None:
    code = "import sys, resight.cli, resight.settings; print(sorted({'torch', 'cv2', 'prefect', 'kornia', 'distributed'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
