#!/usr/bin/env python3
"""Makes the packages, unpacks them into a folder, and uses them as a stranger would: package.py BUILD CMAKE CPACK CC.

The .deb packages are unpacked, not installed, so that the machine stays as it is. Exit status 77: no dpkg here.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from install import ROOT, consumers, expect, run  # noqa: E402

PLUGIN = "gstreamer-1.0/libgstfastscnn.so"
TOOLS = ("dpkg-deb", "dpkg-shlibdeps", "file")


def files_of(root: str) -> set[str]:
    return {os.path.relpath(os.path.join(where, name), root) for where, _, names in os.walk(root) for name in names}


def use(root: str, cmake: str, cc: str, folder: str) -> None:
    """Builds consumers against an unpacked tree, and runs its command."""
    os.makedirs(folder)
    pc = next((os.path.join(root, name) for name in files_of(root) if name.endswith("/pkgconfig/fastscnn.pc")), "")
    expect(pc != "", f"no fastscnn.pc in {root}")
    version = consumers(root, pc, cmake, cc, folder)
    command = os.path.join(root, "bin", "fastscnn")
    expect(run(command, "--version").startswith(f"fastscnn {version}"), "the packaged command has another version")
    library = re.findall(r"libfastscnn\S* => (.*) \(0x", run("ldd", command))
    expect(library != [] and os.path.realpath(library[0]).startswith(root + os.sep), f"the command runs on {library}")
    expect("cpu" in run(command, "doctor"), "the packaged command's doctor knows no CPU")
    run(command, "bench", "--weights", "random:1", "--size", "64x64", "--warmup", "0", "--duration", "0.1", "--quiet",
        "--backend", "cpu")
    models = os.path.join(ROOT, "weights", "models")
    for name in os.listdir(models) if os.path.isdir(models) else ():
        expect(os.path.isfile(os.path.join(root, "share", "fastscnn", name)), f"the model {name} is not packaged")


def use_element(root: str, deb: bool) -> None:
    """Runs the GStreamer element of an unpacked tree, if it is there, with that tree's library. It finds that by itself
    unless it lies in Debian's folder."""
    plugin = next((os.path.join(root, name) for name in files_of(root) if name.endswith(PLUGIN)), None)
    if plugin is None or shutil.which("gst-launch-1.0") is None:
        print("package: no GStreamer element, or no gst-launch-1.0: not run")
        return
    words = {"GST_PLUGIN_PATH_1_0": os.path.dirname(plugin), "GST_REGISTRY": os.path.join(root, "registry"),
             "LD_LIBRARY_PATH": os.path.join(root, "lib") if deb else ""}
    said = run("gst-launch-1.0", "-m", *"videotestsrc num-buffers=1 ! fastscnn size=64x64 ! fakesink".split(), **words)
    os.remove(words["GST_REGISTRY"])
    expect("pixels=" in said, f"the packaged element posted no message: {said}")
    said = run("ldd", plugin, LD_LIBRARY_PATH=words["LD_LIBRARY_PATH"])
    library = re.findall(r"libfastscnn\S* => (.*) \(0x", said)
    expect(library != [] and os.path.realpath(library[0]).startswith(root + os.sep), f"the element runs on {library}")


def field(package: str, name: str) -> str:
    return run("dpkg-deb", "-f", package, name)


def check_debs(packages: dict[str, str], cuda: bool, gstreamer: bool) -> None:
    """Names, dependencies and contents of the .deb packages, by name."""
    names = {"libfastscnn0", "libfastscnn-dev", "fastscnn"} | ({"libfastscnn0-cuda"} if cuda else set())
    if gstreamer:
        names.add("gstreamer1.0-fastscnn")
        depends = field(packages["gstreamer1.0-fastscnn"], "Depends")
        expect("libgstreamer1.0-0" in depends, f"the plugin depends on {depends} only")
    expect(set(packages) == names, f"packages {sorted(packages)}, not {sorted(names)}")
    version = field(packages["libfastscnn0"], "Version")
    for name in names - {"libfastscnn0"}:
        expect(f"libfastscnn0 (= {version})" in field(packages[name], "Depends"), f"{name} goes with any library")
    expect("libc6" in field(packages["libfastscnn0"], "Depends"), "the library depends on no C library")
    depends = field(packages["fastscnn"], "Depends")
    expect("libpng" in depends and "libturbojpeg" in depends, f"the command depends on {depends} only")
    contents = {name: run("dpkg-deb", "-c", path) for name, path in packages.items()}
    for name, part in (("libfastscnn0", "/libfastscnn.so.0"), ("libfastscnn-dev", "/fastscnn.h"),
                       ("libfastscnn-dev", "/libfastscnn.so "), ("fastscnn", "/bin/fastscnn"),
                       ("fastscnn", "/convert.py"), ("libfastscnn0-cuda", "/libfastscnn-cuda.so"),
                       ("gstreamer1.0-fastscnn", f"/{PLUGIN}")):
        holders = {other for other, text in contents.items() if part in text + " "}
        expect(name not in names or holders == {name}, f"{part} is in {sorted(holders)}, not in {name}")
    expect(field(packages["libfastscnn0"], "Maintainer") != "", "no maintainer")
    expect(field(packages["fastscnn"], "Recommends") == "ffmpeg", "the command does not recommend ffmpeg")
    for name, text in contents.items():
        expect(f"/share/doc/{name}/copyright" in text, f"{name} has no licence in it")


def check(build: str, cmake: str, cpack: str, cc: str, folder: str) -> None:
    made = os.path.join(folder, "made")
    run(cpack, "--config", os.path.join(build, "CPackConfig.cmake"), "-B", made)
    plain = os.path.join(folder, "plain")
    run(cmake, "--install", build, "--prefix", plain)
    installed = files_of(plain)

    archives = glob.glob(os.path.join(made, "*.tar.gz"))
    expect(len(archives) == 1, f"{len(archives)} archives")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(os.path.join(folder, "archive"))
    (top,) = os.listdir(os.path.join(folder, "archive"))
    expect(os.path.basename(archives[0]) == f"{top}.tar.gz", f"the archive holds {top}")
    unpacked = os.path.join(folder, "archive", top)
    expect(files_of(unpacked) == installed, f"archive and install differ: {files_of(unpacked) ^ installed}")
    use(unpacked, cmake, cc, os.path.join(folder, "by-archive"))
    use_element(unpacked, False)

    packages = {field(path, "Package"): path for path in glob.glob(os.path.join(made, "*.deb"))}
    plain_names = {re.sub(r"^lib/[^/]*-linux-gnu/", "lib/", x) for x in installed}
    check_debs(packages, "lib/libfastscnn-cuda.so" in plain_names, f"lib/{PLUGIN}" in plain_names)
    root = os.path.join(folder, "root")
    for path in packages.values():
        run("dpkg-deb", "-x", path, root)
    usr = os.path.join(root, "usr")
    # Debian's GStreamer looks in the folder of its architecture alone.
    expected = {f"lib/{os.uname().machine}-linux-gnu/{PLUGIN}" if x.endswith(PLUGIN) else x for x in installed}
    expected |= {f"share/doc/{name}/copyright" for name in packages}
    expect(files_of(usr) == expected, f"packages and install differ: {files_of(usr) ^ expected}")
    use(usr, cmake, cc, os.path.join(folder, "by-deb"))
    use_element(usr, True)
    symbols = subprocess.run(["readelf", "-S", "-W", os.path.join(usr, "bin", "fastscnn")], capture_output=True,
                             text=True, check=True).stdout
    expect(".debug_info" not in symbols and ".symtab" not in symbols, "the packaged command is not stripped")


def main() -> int:
    build, cmake, cpack, cc = sys.argv[1:]
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        print(f"package: {', '.join(missing)} not installed (packages dpkg-dev and file): skipped")
        return 77
    folder = os.path.realpath(tempfile.mkdtemp(prefix="fastscnn-package-"))
    try:
        check(build, cmake, cpack, cc, folder)
    finally:
        shutil.rmtree(folder)
    print("package: fine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
