#!/bin/bash
# Labels a generated street of 1024x2048 into build/demo/: labels, colours, overlay, and, where ffmpeg is installed, one
# picture of the street above its overlay at half size (street.jpg, which README shows).
#     scripts/demo.sh [SEED]     FASTSCNN_WEIGHTS: another model than the bundled one
set -euo pipefail
cd "$(dirname "$0")/.."

out=build/demo
command=build/bin/fastscnn
weights=()
[[ -z ${FASTSCNN_WEIGHTS:-} ]] || weights=(--weights "$FASTSCNN_WEIGHTS")
"$command" scene -o "$out" --seed "${1:-100003}" --quiet
"$command" segment "$out/images/0000.png" "${weights[@]}" --labels "$out/labels.png" --color "$out/color.png" \
    --overlay "$out/overlay.png"
if type ffmpeg >/dev/null 2>&1; then
    ffmpeg -v error -y -i "$out/images/0000.png" -i "$out/overlay.png" \
        -filter_complex "[0]scale=iw/2:-1:flags=area[a];[1]scale=iw/2:-1:flags=area[b];[a][b]vstack" \
        -frames:v 1 -update 1 -q:v 4 "$out/street.jpg"
    echo "look at $out/street.jpg"
else
    echo "look at $out/overlay.png (with ffmpeg installed: one picture of both, $out/street.jpg)"
fi
