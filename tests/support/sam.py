"""AWS's SAM command line client."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.server import Server
from support.tool_environment import tool_command


def sam(server: Server, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [tool_command("aws-sam-cli", "1.170.0", "sam"), *arguments]
    environment = {**server.environment(), "SAM_CLI_TELEMETRY": "0", "HOME": str(folder)}
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
