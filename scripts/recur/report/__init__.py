"""What people read: report, model card, calculator, checklists, tables of a manuscript, pages.

It words and lays out what tables hold; it computes no estimate of its own and never imports fit or resampling.
"""
