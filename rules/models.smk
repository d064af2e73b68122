"""Floor 6: Cox models before and after surgery, with their cut-points, frozen as JSON; training rows only."""


localrules:
    equations,


rule models:
    input:
        cohort="results/{study}/cohort/{analysis}/train.csv",
        features="results/{study}/features/{analysis}/train.parquet",
        repeats="results/{study}/features/{analysis}/train_repeats.parquet",
        settings="results/{study}/settings/{analysis}/models.json",
        scores=lambda wildcards: only(
            uses_features(wildcards.analysis),
            "results/{study}/signature/{analysis}/training_scores.parquet",
        ),
        script="scripts/models.py",
        package=imports("scripts/models.py"),
    output:
        models=directory("results/{study}/models/{analysis}/frozen"),
        coefficients="results/{study}/models/{analysis}/coefficients.csv",
        nomogram="results/{study}/models/{analysis}/nomogram.csv",
        sample_size="results/{study}/models/{analysis}/sample_size.csv",
    log:
        "logs/{study}/models/{analysis}.log",
    benchmark:
        "benchmarks/{study}/models/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    params:
        scores=lambda wildcards, input: ["--scores", *input.scores] if input.scores else [],
        labels=labels,
        seed=STUDY["seed"],
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " {params.scores} --settings {input.settings} --seed {params.seed} --labels {params.labels:q} --models {output.models}"
        " --coefficients {output.coefficients} --nomogram {output.nomogram} --sample-size {output.sample_size} > {log} 2>&1"


rule equations:
    input:
        models="results/{study}/models/{analysis}/frozen",
        script="scripts/equations.py",
        package=imports("scripts/equations.py"),
    output:
        "results/{study}/models/{analysis}/equations.csv",
    log:
        "logs/{study}/equations/{analysis}.log",
    conda:
        "../envs/modelling.yaml"
    params:
        labels=labels,
    shell:
        "python {input.script} --models {input.models} --labels {params.labels:q} --output {output} > {log} 2>&1"


rule diagnostics:
    input:
        cohort="results/{study}/cohort/{analysis}/train.csv",
        features="results/{study}/features/{analysis}/train.parquet",
        repeats="results/{study}/features/{analysis}/train_repeats.parquet",
        settings="results/{study}/settings/{analysis}/fit.json",
        models="results/{study}/models/{analysis}/frozen",
        scores=lambda wildcards: only(
            uses_features(wildcards.analysis),
            "results/{study}/signature/{analysis}/training_scores.parquet",
        ),
        script="scripts/diagnostics.py",
        package=imports("scripts/diagnostics.py"),
    output:
        table="results/{study}/models/{analysis}/diagnostics.csv",
        scan="results/{study}/models/{analysis}/cutpoint_scan.csv",
        univariable="results/{study}/signature/{analysis}/univariable.csv",
    log:
        "logs/{study}/diagnostics/{analysis}.log",
    benchmark:
        "benchmarks/{study}/diagnostics/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        seed=STUDY["seed"],
        scores=lambda wildcards, input: ["--scores", *input.scores] if input.scores else [],
        labels=labels,
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " {params.scores} --models {input.models} --settings {input.settings} --seed {params.seed}"
        " --labels {params.labels:q} --output {output.table} --cutpoint-scan {output.scan}"
        " --univariable {output.univariable} > {log} 2>&1"


rule score_models:
    input:
        cohort="results/{study}/cohort/{analysis}/train.csv",
        features="results/{study}/features/{analysis}/train.parquet",
        repeats="results/{study}/features/{analysis}/train_repeats.parquet",
        notes="results/{study}/cohort/score_notes.csv",
        settings="results/{study}/settings/{analysis}/models.json",
        script="scripts/score_models.py",
        package=imports("scripts/score_models.py"),
    output:
        models=directory("results/{study}/models/{analysis}/scores"),
        fit="results/{study}/models/{analysis}/score_fit.csv",
    log:
        "logs/{study}/score_models/{analysis}.log",
    benchmark:
        "benchmarks/{study}/score_models/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    params:
        seed=STUDY["seed"],
        labels=labels,
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " --notes {input.notes} --settings {input.settings} --seed {params.seed} --labels {params.labels:q}"
        " --models {output.models} --fit {output.fit} > {log} 2>&1"
