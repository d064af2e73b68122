"""Floor 7 of binary endpoints: the tables that the rules of the survival floors make otherwise."""


rule binary_performance:
    input:
        risks="results/{study}/validation/{analysis}/risks.csv",
        nested="results/{study}/validation/{analysis}/nested_cv.csv",
        script="scripts/binary_performance.py",
        package=imports("scripts/binary_performance.py"),
    output:
        multiext(
            "results/{study}/validation/{analysis}/",
            "heldout_and_apparent.csv",
            "roc.csv",
            "calibration.csv",
            "net_benefit.csv",
            "comparisons.csv",
        ),
    log:
        "logs/{study}/binary_performance/{analysis}.log",
    benchmark:
        "benchmarks/{study}/binary_performance/{analysis}.tsv"
    wildcard_constraints:
        analysis=one_of(BINARY),
    conda:
        "../envs/modelling.yaml"
    params:
        thresholds=THRESHOLDS,
        labels=labels,
        seed=STUDY["seed"],
        folder=lambda wildcards: f"{RESULTS}/validation/{wildcards.analysis}",
    shell:
        "python {input.script} --risks {input.risks} --nested {input.nested} --thresholds {params.thresholds}"
        " --seed {params.seed} --labels {params.labels:q} --validation {params.folder} > {log} 2>&1"
