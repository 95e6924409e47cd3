"""The JIT engine: an interpreter of dispatch records, compiled with LLVM for the host's CPU."""

from .bulk.session import BulkSession as BulkSession
from .engine import JitEngine as JitEngine
from .session import JitSession as JitSession
