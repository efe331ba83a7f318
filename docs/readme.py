"""Run what README.md shows and write the real output behind it.

A block of Python or of shell that is followed by a line `<!-- example:NAME -->` is run, and the
text block behind that line is replaced by what it printed. Run it after a change that users see.

    python docs/readme.py
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
EXAMPLE = re.compile(
    r"```(?P<kind>python|sh)\n(?P<code>[^`]*?)```\n\n<!-- example:(?P<name>\w+) -->\n"
    r"```text\n(?P<output>[^`]*?)```"
)
LINES_MAX = 32
HEADER = "from concur import MultiPaxos, Simulation\n"


def output(kind: str, code: str, folder: str) -> str:
    if kind == "python":
        command = [sys.executable, "-c", HEADER + code]
    else:
        program = Path(sys.executable).with_name("concur")
        command = ["sh", "-ec", code.replace("concur ", f"{program} ", 1)]
    wide = os.environ | {"COLUMNS": "100"}
    done = subprocess.run(command, cwd=folder, env=wide, text=True, capture_output=True, check=True)
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    if len(lines) > LINES_MAX:
        lines = [*lines[: LINES_MAX - 6], "...", *lines[-5:]]
    return "\n".join(lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:

        def run(found: re.Match[str]) -> str:
            print(f"running {found['name']} ...", file=sys.stderr)
            text = output(found["kind"], found["code"], folder)
            head = found.group(0)[: found.start("output") - found.start()]
            return f"{head}{text}\n```"

        README.write_text(EXAMPLE.sub(run, README.read_text()))


if __name__ == "__main__":
    main()
