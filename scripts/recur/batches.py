"""Which batch a patient belongs to: the DAG has one job a batch, never one a patient."""

from __future__ import annotations

import hashlib


def batch_of(patient_id: str, batches: int) -> int:
    """Batch number in [0, batches) from a hash of the id, so that adding a patient touches one batch only."""
    return int(hashlib.sha256(patient_id.encode()).hexdigest(), 16) % batches
