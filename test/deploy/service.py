"""The unit that the package brings: what systemd thinks of it, and what it may not lose."""
import re
import subprocess


def verify(unit):
    """What systemd-analyze complains about; the program's path is that of the machine it will be installed on."""
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60, check=False)
    return [line for line in done.stderr.splitlines() if "mesh.service" in line and "/usr/bin/mesh is not executable" not in line and "Command /usr/bin/mesh" not in line]


def exposure(unit):
    """0 (nothing) to 10 (everything): what an intruder in the broker could reach."""
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True, timeout=60, check=False)
    return float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout).group(1))
