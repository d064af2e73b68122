"""Floor 4: which features two readers agree on; training patients only."""


rule stability:
    input:
        cohort="results/{study}/cohort/{analysis}/train.csv",
        features="results/{study}/features/{analysis}/train.parquet",
        repeats="results/{study}/features/{analysis}/train_repeats.parquet",
        settings="results/{study}/settings/{analysis}/stability.json",
        script="scripts/stability.py",
        package=imports("scripts/stability.py"),
    output:
        "results/{study}/signature/{analysis}/icc.csv",
    log:
        "logs/{study}/stability/{analysis}.log",
    benchmark:
        "benchmarks/{study}/stability/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    params:
        labels=labels,
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " --settings {input.settings} --labels {params.labels:q} --icc {output} > {log} 2>&1"
