"""The participant kit: handlers that are idempotent, and safe against an undo without a do and a do after its undo.

A participant binds handlers to the methods of its contract (:class:`Participant`) and hands itself to
:mod:`participants.kit.server`. ``docs/participants.md`` shows how, and what it means on the wire.
"""

from participants.kit.call import StepContext
from participants.kit.participant import Participant
from participants.kit.table import barrier_table
from participants.kit.verdicts import Busy, Rejected

__all__ = ["Busy", "Participant", "Rejected", "StepContext", "barrier_table"]
