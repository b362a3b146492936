"""Off-line clearing: batch files that stations write, and their way through verification and rules into the journal."""

from cardapi.clearing.file import BatchContent, BatchWriter, fragments, scan

__all__ = ["BatchContent", "BatchWriter", "fragments", "scan"]
