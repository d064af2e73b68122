"""Diagnostic accuracy, readers and groups on the cohort floor; printed numbers checked by arithmetic."""


localrules:
    table_consistency,


rule table_consistency:
    """The study's own tables checked by arithmetic before anybody reads them."""
    input:
        performance="results/{study}/validation/performance.csv",
        coefficients="results/{study}/models/coefficients.csv",
        comparisons="results/{study}/validation/comparisons.csv",
        rates="results/{study}/survival/rates.csv",
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
        " --comparisons {input.comparisons} --rates {input.rates} --table1 {input.table1} --output {output} > {log} 2>&1"
