#!/usr/bin/env python3
"""The first trained model on CamVid's test pictures scores what PyTorch's independent run gave: camvid.py FASTSCNN

Needs the shared data (FASTSCNN_TEST_DATA, else ../shared beside the checkout); skips (77) without it.
"""
import json
import os
import pathlib
import subprocess
import sys

# fp32 PyTorch over the same 147 pictures, rounded as recorded.
MIOU, ACCURACY = 0.4847, 0.8146
IOU = {"sky": .892, "building": .645, "pole": .150, "road": .852, "pavement": .547, "tree": .663, "sign": .253,
       "fence": .143, "car": .606, "pedestrian": .239, "bicyclist": .342}


def evaluate(program, data, precision):
    ran = subprocess.run([program, "eval", "--images", data / "data/camvid/test/images", "--truth",
                          data / "data/camvid/test/labels", "--weights", data / "weights/camvid11.safetensors",
                          "--backend", "cpu", "--precision", precision, "--json", "-", "-q"], capture_output=True,
                         text=True, timeout=280, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    data = pathlib.Path(os.environ.get("FASTSCNN_TEST_DATA", root.parent / "shared")).resolve()
    if not (data / "weights/camvid11.safetensors").is_file() or not (data / "data/camvid/test/images").is_dir():
        print(f"SKIP: no CamVid pictures and model under {data} (set FASTSCNN_TEST_DATA)", file=sys.stderr)
        return 77
    result = evaluate(sys.argv[1], data, "fp32")
    assert result["images"] == 147 and not result["partial"], result
    # The recorded values have four and three digits, so half of the last is open.
    assert abs(result["miou"] - MIOU) <= 0.0001, result["miou"]
    assert abs(result["pixel_accuracy"] - ACCURACY) <= 0.0001, result["pixel_accuracy"]
    assert list(result["iou"]) == list(IOU), result["iou"]
    for name, value in IOU.items():
        assert abs(result["iou"][name] - value) <= 0.001, (name, result["iou"][name], value)
    print(f"fp32: mIoU {result['miou']:.6f}, pixel accuracy {result['pixel_accuracy']:.6f}")
    half = evaluate(sys.argv[1], data, "bf16")
    assert abs(half["miou"] - result["miou"]) <= 0.001, (half["miou"], result["miou"])
    print(f"bf16: mIoU {half['miou']:.6f}, pixel accuracy {half['pixel_accuracy']:.6f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
