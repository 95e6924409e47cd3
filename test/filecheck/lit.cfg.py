"""How `lit` runs the `.mlir` tests: with the tools that stand beside the Python that runs lit."""

import os
import sys
import tempfile

import lit.formats

config.name = "tspc"  # noqa: F821 (lit gives this file `config` and `lit_config`)
config.test_format = lit.formats.ShTest()  # noqa: F821
config.suffixes = [".mlir"]  # noqa: F821
config.test_source_root = os.path.dirname(__file__)  # noqa: F821
scratch = lit_config.params.get("scratch") or os.path.join(tempfile.gettempdir(), "tspc-filecheck")  # noqa: F821
config.test_exec_root = scratch  # noqa: F821
tools = os.path.dirname(sys.executable)
config.environment["PATH"] = os.pathsep.join([tools, os.environ.get("PATH", "")])  # noqa: F821
