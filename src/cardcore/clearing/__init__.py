"""Off-line purchases on their way back: the batch file, its records, and the rules by which they are cleared. Pure."""

from __future__ import annotations

from cardcore.clearing.layout import BLOCK, DESFIRE, PURSE, Header, InvalidBatch, PurseRecord, Record, Seal, ValueRecord
from cardcore.clearing.parse import Fragment, parse

__all__ = ["BLOCK", "DESFIRE", "PURSE", "Fragment", "Header", "InvalidBatch", "PurseRecord", "Record", "Seal", "ValueRecord", "parse"]
