"""Frozen models and signatures, applied: from their JSON and a patient's cells to a linear predictor and a risk.

It learns nothing and never imports fit: what it gives a new patient is what the study gave its own.
"""
