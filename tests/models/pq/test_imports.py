"""What e3nn costs is paid where it is used alone."""

import subprocess
import sys


def test_the_program_and_the_package_start_without_e3nn():
    script = "import sys, shd, shd.cli.main; shd.read_scan; print('e3nn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\n"
