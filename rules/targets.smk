"""What a run ends in: the problems and the plan, tables over all analyses, checksums."""


localrules:
    check,
    collect,
    tables_checksum,


rule check:
    """All problems of the study file and the tables, and the plan; nothing is run."""
    input:
        series=only("public" in STUDY, f"{INPUT}/series.csv"),  # shows what would be fetched
        script="scripts/check.py",
    log:
        "logs/{study}/check.log".format(study=NAME),
    conda:
        "../envs/modelling.yaml"
    params:
        study=STUDY_FILE,
    shell:
        "python {input.script} --study {params.study:q} 2>&1 | tee {log} >&2"


rule collect:
    """One table of the study from those of its analyses."""
    input:
        tables=lambda wildcards: expand(
            "results/{study}/{floor}/{analysis}/{table}.csv",
            study=wildcards.study,
            floor=wildcards.floor,
            table=wildcards.table,
            analysis=SURVIVAL if wildcards.table in outputs.SURVIVAL_TABLES else ANALYSES,
        ),
        script="scripts/collect.py",
        package=imports("scripts/collect.py"),
    output:
        "results/{study}/{floor}/{table}.csv",
    log:
        "logs/{study}/collect/{floor}_{table}.log",
    wildcard_constraints:
        floor="models|validation|survival",
        table="coefficients|performance|comparisons|score_comparisons|scores|guards|km|logrank|rates",
    conda:
        "../envs/modelling.yaml"
    shell:
        "python {input.script} --tables {input.tables} --output {output} > {log} 2>&1"


rule tables_checksum:
    """Checksums of every table that a figure draws."""
    input:
        tables=figures.all_tables(STUDY),
    output:
        "results/{study}/tables.sha256",
    log:
        "logs/{study}/tables_checksum.log",
    conda:
        "../envs/modelling.yaml"
    params:
        names=[str(Path(path).relative_to(RESULTS)) for path in figures.all_tables(STUDY)],
    shell:
        "(cd results/{wildcards.study} && sha256sum {params.names}) > {output} 2> {log}"
