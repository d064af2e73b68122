"""The whole fit repeated: bootstrap, nested cross-validation, other splits, learning curve, ablations, null outcomes.

It may fit as often as it likes, and hands on tables, never a model.
"""
