"""Printed numbers checked by arithmetic: those of the study's own tables, and those of a paper."""

if ANALYSES:

    localrules:
        table_consistency,

    rule table_consistency:
        """The study's own tables checked by arithmetic before anybody reads them."""
        input:
            performance="results/{study}/validation/performance.csv",
            coefficients="results/{study}/models/coefficients.csv",
            comparisons="results/{study}/validation/comparisons.csv",
            rates=[f"{RESULTS}/survival/rates.csv"] if SURVIVAL else [],
            table1=[f"{RESULTS}/cohort/{analysis}/table1.csv" for analysis in ANALYSES],
            script="scripts/table_consistency.py",
            package=imports("scripts/table_consistency.py"),
        output:
            "results/{study}/validation/consistency.csv",
        log:
            "logs/{study}/table_consistency.log",
        conda:
            "../envs/modelling.yaml"
        shell:
            "python {input.script} --performance {input.performance} --coefficients {input.coefficients}"
            " --comparisons {input.comparisons} --rates {input.rates} --table1 {input.table1} --output {output}"
            " > {log} 2>&1"


if "reported" in STUDY:

    localrules:
        consistency,

    rule consistency:
        """What a paper prints, checked and reproduced as far as it can be."""
        input:
            statements="results/{study}/study.resolved.yaml",
            schemas=["schemas/reported.schema.yaml", "schemas/study.schema.yaml"],
            script="scripts/consistency.py",
            package=imports("scripts/consistency.py"),
        output:
            "results/{study}/diagnostic/consistency.csv",
        log:
            "logs/{study}/consistency.log",
        conda:
            "../envs/modelling.yaml"
        shell:
            "python {input.script} --input {input.statements} --output {output} > {log} 2>&1"
