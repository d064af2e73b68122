"""Pure functions of the recurrence study; the programs in scripts/ call them, no Snakemake needed."""
