"""Frozen models judged in any cohort, and the guards: discrimination, calibration, benefit, transport, comparisons.

Nothing here changes a risk. It never imports fit or resampling: what judges a model cannot have made it.
"""
