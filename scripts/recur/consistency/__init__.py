"""Printed numbers checked by arithmetic, those of a paper and those of the study's own tables; no patient, no model."""
