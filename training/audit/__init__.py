"""The audit before the hours: what two facesets hold, what they lack, and what to do about it."""

from .auditing import AuditDone, audit
from .measure import FaceAudited
from .verdict import Finding, Judgement, Limits

__all__ = ["AuditDone", "FaceAudited", "Finding", "Judgement", "Limits", "audit"]
