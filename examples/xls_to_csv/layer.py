"""Builds the layer with pandas and xlrd for one Python runtime; kept in a cache folder, keyed by what it is made of.

Prints progress to stderr, and the path of the zip to stdout.
"""

import argparse
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGES = ("pandas", "xlrd")
#: What the runtime's boto3 needs of a package that pandas brings too; a layer comes before the runtime on sys.path.
CONSTRAINTS = ("python-dateutil<3",)
#: Parts of the packages that a function never reads; a layer may have 250 MB together with the function.
LEFT_OUT = ("tests", "__pycache__")


def build(runtime, cache_dir, say=lambda text: print(text, file=sys.stderr, flush=True)):
    """The path of the layer's zip for `runtime` ("python3.11"), built unless the cache has it."""
    python_version = runtime.removeprefix("python")
    recipe = hashlib.sha256(pathlib.Path(__file__).read_bytes() + runtime.encode()).hexdigest()[:12]
    archive = pathlib.Path(cache_dir) / f"pandas-xlrd-{runtime}-{recipe}.zip"
    if archive.exists():
        say(f"Layer: using {archive.name} from the cache")
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as work:
        site_packages = pathlib.Path(work) / "python" / "lib" / runtime / "site-packages"
        say(f"Layer: installing {' and '.join(PACKAGES)} for {runtime} (once; kept for the next time) ...")
        pip_install(python_version, site_packages)
        say("Layer: packing ...")
        unfinished = pathlib.Path(work) / archive.name  # renamed when whole, so that the cache has no half layer
        pack(pathlib.Path(work), unfinished)
        unfinished.replace(archive)
    say(f"Layer: {archive.stat().st_size / 2**20:.0f} MB in {archive.name}")
    return archive


def pip_install(python_version, target):
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--root-user-action", "ignore", "--target", str(target), "--only-binary=:all:"]
    command += ["--implementation", "cp", "--python-version", python_version]
    installed = subprocess.run([*command, *PACKAGES, *CONSTRAINTS], stdout=sys.stderr)
    if installed.returncode != 0:
        raise SystemExit(f"The layer's packages ({', '.join(PACKAGES)}) could not be installed for Python {python_version}.")


def pack(folder, archive):
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle:
        for path in sorted((folder / "python").rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and not set(LEFT_OUT) & set(inside.parts):
                bundle.write(path, inside)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", default=f"python{sys.version_info.major}.{sys.version_info.minor}")
    parser.add_argument("--cache-dir", default=".cache/layers")
    arguments = parser.parse_args()
    print(build(arguments.runtime, arguments.cache_dir))
