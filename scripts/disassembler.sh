#!/bin/bash
# Fetches NVIDIA's cuobjdump and nvdisasm (5 MB, from PyPI) into a folder and prints where they are: disassembler.sh
# FOLDER. The gate that reads the kernels' machine code (tests/house/kernels.py) needs them; toolkits often lack them.
set -euo pipefail

folder=${1:?usage: disassembler.sh FOLDER}
if ! compgen -G "$folder/nvidia/*/bin/cuobjdump" >/dev/null; then
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder" \
        nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm >&2
fi
cd "$folder"/nvidia/*/bin && pwd
