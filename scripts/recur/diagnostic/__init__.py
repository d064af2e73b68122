"""A diagnostic study: index tests against a reference standard, readers, groups of patients.

Cut-points that are not declared, and one combination of tests, are learnt from training rows; nothing else is.
"""
