"""Floor 6: Cox models before and after surgery, with their cut-points, frozen as JSON; training rows only."""


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
    log:
        "logs/{study}/models/{analysis}.log",
    conda:
        "../envs/modelling.yaml"
    params:
        scores=lambda wildcards, input: ["--scores", *input.scores] if input.scores else [],
        labels=labels,
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " {params.scores} --settings {input.settings} --labels {params.labels:q} --models {output.models}"
        " --coefficients {output.coefficients} --nomogram {output.nomogram} > {log} 2>&1"
