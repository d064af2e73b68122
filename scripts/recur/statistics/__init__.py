"""Statistics of arrays: survival, regression, discrimination, calibration, agreement.

A function takes arrays and gives numbers; it knows no study, no table and no file, and imports nothing of another room.
"""
