"""Build the compiled core: one extension for each .pyx file, found where it stands.

CARDCORE_DEBUG=1 turns on bounds checks, wraparound checks and line tracing in every module.
"""

import os
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent
SOURCE = Path("src")
DEBUG = os.environ.get("CARDCORE_DEBUG") == "1"


def extension(pyx: Path) -> Extension:
    """The extension of one .pyx; C files named by a sibling `kernels/` folder belong to the module beside it."""
    name = ".".join(pyx.relative_to(SOURCE).with_suffix("").parts)
    return Extension(
        name,
        [str(pyx)],
        include_dirs=[numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=["-O0", "-g"] if DEBUG else ["-O3", "-g0", "-fno-strict-aliasing"],
    )


os.chdir(ROOT)
setup(
    ext_modules=cythonize(
        [extension(pyx) for pyx in sorted(SOURCE.rglob("*.pyx"))],
        include_path=[str(SOURCE)],
        compiler_directives={
            "language_level": 3,
            "embedsignature": True,
            "binding": True,
            # Money and parser code: typed integers wrap in silence otherwise (invariants, section 5).
            "overflowcheck": True,
            "boundscheck": True,
            "wraparound": DEBUG,
            "cdivision": True,
            "initializedcheck": False,
            "linetrace": DEBUG,
        },
        nthreads=0,
    ),
)
