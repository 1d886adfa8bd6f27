"""All tests, several files at a time: most of them wait for time to pass, and each has servers of its own.

`python side_by_side.py [files at a time]`; what a file says is printed when it is through.
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

HERE = Path(__file__).parent
AT_ONCE = 3
#: What takes longest begins first.
LONGEST = ("test_bad_network", "test_talk", "test_slow", "test_endings", "test_attacks", "test_messages")


def modules() -> list[str]:
    names = sorted(path.stem for path in HERE.glob("test_*.py"))
    return sorted(names, key=lambda name: LONGEST.index(name) if name in LONGEST else len(LONGEST))


def run(module: str) -> tuple[str, float, subprocess.CompletedProcess]:
    began = time.monotonic()
    command = [sys.executable, "-m", "unittest", module]
    done = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return module, time.monotonic() - began, done


def main() -> int:
    at_once = int(sys.argv[1]) if len(sys.argv) > 1 else AT_ONCE
    began, failed = time.monotonic(), []
    with ThreadPoolExecutor(at_once) as pool:
        for job in as_completed([pool.submit(run, module) for module in modules()]):
            module, took, done = job.result()
            print(f"--- {module}, {took:.0f} s\n{done.stdout}", flush=True)
            if done.returncode != 0:
                failed.append(module)
    print(f"{len(modules())} files in {time.monotonic() - began:.0f} s; failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
