"""A machine with a GPU and TensorRT, made up: scripts that answer as nvidia-smi and trtexec do.

No GPU can be had where the tests run, so what these two print and take is written after their manuals; everything
else in the tests that use them is real.
"""

from pathlib import Path

import pytest

GPU, DRIVER, TENSORRT = ("NVIDIA A100-SXM4-40GB", "8.0"), "570.86.15", "101303"

# Like the real one it names its version first, ends with PASSED or FAILED, and writes engine and timing cache.
_TRTEXEC = """#!/bin/sh
echo "&&&& RUNNING TensorRT.trtexec [TensorRT v{version}] [b9] # $0 $*"
[ "$1" = --help ] && exit 0
echo "$@" > "{folder}/arguments"
for option; do
  case $option in
    --onnx=*) [ -s "${{option#*=}}" ] || exit 2 ;;
    --saveEngine=*) engine=${{option#*=}} ;;
    --timingCacheFile=*) cache=${{option#*=}} ;;
  esac
done
{fails}
printf 'engine' > "$engine"
printf 'timings' > "$cache"
echo "&&&& PASSED TensorRT.trtexec [TensorRT v{version}] [b9]"
"""


_NVIDIA_SMI = """#!/bin/sh
lines='{lines}'
for option; do case $option in --id=*) ids=${{option#*=}} ;; esac; done
[ -z "$ids" ] && printf %s "$lines" && exit
for id in $(echo "$ids" | tr , ' '); do
  line=$(printf %s "$lines" | sed -n "$((id + 1))p")
  [ -n "$line" ] || {{ echo "No devices were found"; exit 6; }}
  echo "$line"
done
"""


def set_up_gpus(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    gpus: tuple[tuple[str, str], ...] = (GPU,),
    driver: str = DRIVER,
) -> None:
    """Puts an nvidia-smi on the PATH that knows these GPUs, each a name and a compute capability, by their numbers."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    lines = "".join(f"{name}, {capability}, {driver}\n" for name, capability in gpus)
    _put(folder, "nvidia-smi", _NVIDIA_SMI.format(lines=lines), monkeypatch)


def set_up_trtexec(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str = TENSORRT, fails: bool = False) -> Path:
    """Puts a trtexec on the PATH; what it was called with stands in the file `arguments` of the folder."""
    lines = "\n".join(f'echo "[E] line {number}"' for number in range(30))
    failing = f'{lines}\necho "[E] Error[9]: no kernel for Conv_7"\nexit 1' if fails else ""
    script = _TRTEXEC.format(version=version, folder=folder, fails=failing)
    return _put(folder, "trtexec", script, monkeypatch)


def _put(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(script)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return path
