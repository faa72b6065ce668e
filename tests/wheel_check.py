"""Build the wheel, install it in clean environments (base, [torch], [all]), and classify there, outside the source tree.

Run by `make wheel-check`; it installs packages, so it is no part of `make test`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {"": "builtin", "[torch]": "minilm", "[all]": "minilm"}


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def check(wheel: Path, extra: str, auto: str, folder: Path) -> None:
    """One clean environment: install, classify with what `auto` takes there, see that the right columns come out."""
    venv.create(folder / "env", with_pip=True)
    bin_ = folder / "env" / "bin"
    run(bin_ / "python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", f"{wheel}{extra}", cwd=folder)
    (folder / "in.csv").write_text("id,text\n007,I was charged twice\n008,the app crashes\n", "utf-8")
    run(
        bin_ / "rung",
        "classify",
        "in.csv",
        "--labels",
        "billing,bug report",
        "--out",
        "out.csv",
        "--no-cache",
        cwd=folder,
    )
    lines = (folder / "out.csv").read_text("utf-8").splitlines()
    assert lines[0] == "id,text,label,probability,error", lines
    assert [line.split(",")[2] for line in lines[1:]] == ["billing", "bug report"], lines
    assert f"takes {auto} here" in run(bin_ / "rung", "doctor", cwd=folder)
    shipped = run("unzip", "-l", wheel, cwd=folder)
    for needed in (
        "LICENSE",
        "NOTICE",
        "py.typed",
        "background.txt",
        "sentiment-en.yaml",
        "catalog.toml",
        "record.json",
    ):
        assert needed in shipped, f"{needed} is not in the wheel"
    print(f"rung{extra or ' (base)'}: installs and classifies, auto takes {auto}")


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", place, ROOT, cwd=place)
        wheel = next(place.glob("*.whl"))
        for number, (extra, auto) in enumerate(EXTRAS.items()):
            folder = place / str(number)
            folder.mkdir()
            check(wheel, extra, auto, folder)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
