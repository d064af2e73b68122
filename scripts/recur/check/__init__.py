"""What `snakemake check` says of a study before a run: it reads every table, fits nothing and writes nothing."""
