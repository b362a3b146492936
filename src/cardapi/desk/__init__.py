"""The one path of every verb: look up the key, read, decide, fold, chain, commit, answer.

Idempotency, batching, PIN policy and card state live here, once. The desk owns the writer thread; callers hand in
`Request`s and get `Entry`s (or a `Problem`) after the fsync, never before (O3). Start at `Desk`.
"""

from cardapi.desk.pipeline import Pipeline
from cardapi.desk.request import Problem, Request
from cardapi.desk.writer import Desk, Parts
from cardapi.store.fold import Step, is_settlement, unpack_facts, unpack_step

__all__ = ["Desk", "Parts", "Pipeline", "Problem", "Request", "Step", "is_settlement", "unpack_facts", "unpack_step"]
