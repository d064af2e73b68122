"""The study file: what it may say, its defaults and presets, its endpoints, its codings; it knows no patient."""
