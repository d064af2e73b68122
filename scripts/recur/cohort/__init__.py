"""Who is in a study, with which values, in which cohort, and the rows that an analysis may train on.

It reads tables and decides about patients, from what was known at the index treatment; it learns nothing from outcomes.
"""
