"""Build the compiled core: one extension for each .pyx file, found where it stands; and list what is packaged.

CARDCORE_DEBUG=1 turns on bounds checks, wraparound checks and line tracing in every module.
CARDCORE_LINK_ONLY=1 compiles nothing: an editable install beside extensions that `build_ext --inplace` has made.
"""

import os
import platform
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, find_namespace_packages, find_packages, setup

ROOT = Path(__file__).parent
SOURCE = Path("src")
DEBUG = os.environ.get("CARDCORE_DEBUG") == "1"
LINK_ONLY = os.environ.get("CARDCORE_LINK_ONLY") == "1"
# C sources that belong to a module. Each names the instruction set it needs itself, so all are compiled with the same flags.
KERNELS = {"cardcore.crypto.kernel": SOURCE / "cardcore/crypto/kernels"}

# Scheduling only, no instructions beyond the baseline: the generic choice clears small records with `rep stos`, which costs more
# than the decision's arithmetic.
TUNED = ["-mtune=haswell", "-fno-tree-loop-distribute-patterns"] if platform.machine() == "x86_64" else []


def extension(pyx: Path) -> Extension:
    """The extension of one .pyx, with the C kernels that belong to it."""
    name = ".".join(pyx.relative_to(SOURCE).with_suffix("").parts)
    kernels = KERNELS.get(name)
    return Extension(
        name,
        [str(pyx), *(sorted(map(str, kernels.glob("*.c"))) if kernels else ())],
        depends=sorted(map(str, kernels.glob("*.h"))) if kernels else [],
        include_dirs=[numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=["-O0", "-g"] if DEBUG else ["-O3", "-g0", "-fno-strict-aliasing", *TUNED],
    )


def compiled() -> list[Extension]:
    """Every extension, its .pyx turned into C where that is out of date."""
    return cythonize(
        [extension(pyx) for pyx in sorted(SOURCE.rglob("*.pyx"))],
        include_path=[str(SOURCE)],
        compiler_directives={
            "language_level": 3,
            "embedsignature": True,
            "binding": True,
            # Money and parser code: typed integers wrap in silence otherwise (docs/invariants.md, M2).
            "overflowcheck": True,
            "boundscheck": True,
            "wraparound": DEBUG,
            "cdivision": True,
            "initializedcheck": False,
            "linetrace": DEBUG,
        },
        nthreads=0,
        quiet=True,
    )


os.chdir(ROOT)
# The packs stand at the top, where shop people look for them; installed they are the data of cardapi.schemes,
# and so are the law packs, of cardapi.lawpacks.
INSIDE = [name for name in find_namespace_packages("src") if "__pycache__" not in name]
SIMULATOR = find_packages(include=["firmware_sim*"])
OUTSIDE = {"cardapi.schemes": "schemes", "cardapi.lawpacks": "laws", **{name: name.replace(".", "/") for name in SIMULATOR}}

setup(
    packages=[*INSIDE, *OUTSIDE],
    package_dir={"": "src", **OUTSIDE},
    package_data={"": ["*.pyi", "*.pxd", "py.typed"]},
    exclude_package_data={"": ["*.c", "*.h", "*.pyx", "*.pxi"]},
    ext_modules=[] if LINK_ONLY else compiled(),
)
