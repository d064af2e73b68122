"""How much the result depends on one phase, one region, the number of patients, the way of analysing."""


rule learning_fits:
    input:
        cohort="results/{study}/cohort/{analysis}/train.csv",
        features="results/{study}/features/{analysis}/train.parquet",
        repeats="results/{study}/features/{analysis}/train_repeats.parquet",
        settings="results/{study}/settings/{analysis}/fit.json",
        script="scripts/learning_fits.py",
        package=imports("scripts/learning_fits.py"),
    output:
        "results/{study}/validation/{analysis}/learning/{chunk}.csv",
    log:
        "logs/{study}/learning_fits/{analysis}/{chunk}.log",
    benchmark:
        "benchmarks/{study}/learning_fits/{analysis}/{chunk}.tsv"
    conda:
        "../envs/modelling.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        seed=STUDY["seed"],
        size=LEARNING_CHUNK,
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " --settings {input.settings} --seed {params.seed} --chunk {wildcards.chunk} --size {params.size}"
        " --output {output} 2>&1 | tee {log} >&2"


rule learning_curve:
    input:
        runs=lambda wildcards: expand(
            "results/{study}/validation/{analysis}/learning/{chunk}.csv",
            study=wildcards.study,
            analysis=wildcards.analysis,
            chunk=learning_chunks(wildcards.analysis),
        ),
        script="scripts/learning_curve.py",
        package=imports("scripts/learning_curve.py"),
    output:
        "results/{study}/validation/{analysis}/learning_curve.csv",
    log:
        "logs/{study}/learning_curve/{analysis}.log",
    benchmark:
        "benchmarks/{study}/learning_curve/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    params:
        labels=labels,
    shell:
        "python {input.script} --runs {input.runs} --labels {params.labels:q} --output {output} > {log} 2>&1"


rule ablation_fits:
    input:
        cohort="results/{study}/cohort/{analysis}/train.csv",
        features="results/{study}/features/{analysis}/train.parquet",
        repeats="results/{study}/features/{analysis}/train_repeats.parquet",
        settings="results/{study}/settings/{analysis}/fit.json",
        script="scripts/ablation_fits.py",
        package=imports("scripts/ablation_fits.py"),
    output:
        frozen=directory("results/{study}/models/{analysis}/ablations"),
        nested="results/{study}/validation/{analysis}/ablations_nested_cv.csv",
    log:
        "logs/{study}/ablation_fits/{analysis}.log",
    benchmark:
        "benchmarks/{study}/ablation_fits/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        seed=STUDY["seed"],
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " --settings {input.settings} --seed {params.seed} --frozen {output.frozen} --nested {output.nested}"
        " 2>&1 | tee {log} >&2"


rule ablations:
    input:
        frozen="results/{study}/models/{analysis}/ablations",
        nested="results/{study}/validation/{analysis}/ablations_nested_cv.csv",
        train_cohort="results/{study}/cohort/{analysis}/train.csv",
        train_features="results/{study}/features/{analysis}/train.parquet",
        heldout_cohort="results/{study}/cohort/{analysis}/heldout.csv",
        heldout_features="results/{study}/features/{analysis}/heldout.parquet",
        script="scripts/ablations.py",
        package=imports("scripts/ablations.py"),
    output:
        "results/{study}/validation/{analysis}/ablations.csv",
    log:
        "logs/{study}/ablations/{analysis}.log",
    benchmark:
        "benchmarks/{study}/ablations/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    params:
        seed=STUDY["seed"],
        labels=labels,
    shell:
        "python {input.script} --frozen {input.frozen} --nested {input.nested}"
        " --cohorts {input.train_cohort} {input.heldout_cohort}"
        " --features {input.train_features} {input.heldout_features}"
        " --seed {params.seed} --labels {params.labels:q} --output {output} > {log} 2>&1"


localrules:
    contrast,


rule contrast:
    input:
        risks=expand("results/{{study}}/validation/{analysis}/risks.csv", analysis=ANALYSES),
        assigned="results/{study}/cohort/assigned.csv",
        script="scripts/contrast.py",
        package=imports("scripts/contrast.py"),
    output:
        "results/{study}/validation/contrast.csv",
    log:
        "logs/{study}/contrast.log",
    conda:
        "../envs/modelling.yaml"
    shell:
        "python {input.script} --risks {input.risks} --assigned {input.assigned} --output {output} > {log} 2>&1"
