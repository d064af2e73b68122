"""What a run of a study makes: its files, its figures with their captions, the settings and options of its rules.

It knows the study file, the words of figures and the names of files; it opens no table and reads figure files without
running them. It stands above `study` and below every room that holds data.
"""
