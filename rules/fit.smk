"""Floors 4 to 6: stable features, the signature, the models and their cut-points, frozen as JSON; training rows only."""


localrules:
    equations,


rule stability:
    """Which features the readings agree on; training patients only."""
    input:
        unpack(training_rows),
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


rule signature:
    """Ranking and the elastic-net signature, frozen as JSON; training rows only."""
    input:
        unpack(training_rows),
        settings="results/{study}/settings/{analysis}/signature.json",
        icc="results/{study}/signature/{analysis}/icc.csv",
        script="scripts/signature.py",
        package=imports("scripts/signature.py"),
    output:
        signature="results/{study}/signature/{analysis}/signature.json",
        scores="results/{study}/signature/{analysis}/training_scores.parquet",
        trace=multiext(
            "results/{study}/signature/{analysis}/",
            "ranking.csv",
            "lasso_path.csv",
            "cv_deviance.csv",
            "weights.csv",
        ),
    log:
        "logs/{study}/signature/{analysis}.log",
    benchmark:
        "benchmarks/{study}/signature/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        seed=STUDY["seed"],
        labels=labels,
        trace=lambda wildcards, output: os.path.dirname(output.signature),
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " --icc {input.icc} --settings {input.settings} --seed {params.seed} --labels {params.labels:q}"
        " --signature {output.signature} --trace {params.trace} --scores {output.scores} > {log} 2>&1"


rule models:
    """Models before and after surgery with their cut-points, frozen as JSON; training rows only."""
    input:
        unpack(training_rows),
        settings="results/{study}/settings/{analysis}/models.json",
        scores=training_scores,
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
        scores=option("scores"),
        labels=labels,
        seed=STUDY["seed"],
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " {params.scores} --settings {input.settings} --seed {params.seed} --labels {params.labels:q} --models {output.models}"
        " --coefficients {output.coefficients} --nomogram {output.nomogram} --sample-size {output.sample_size} > {log} 2>&1"


rule diagnostics:
    """What the fitted models assume, checked on the training rows."""
    input:
        unpack(training_rows),
        settings="results/{study}/settings/{analysis}/fit.json",
        models="results/{study}/models/{analysis}/frozen",
        scores=training_scores,
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
        scores=option("scores"),
        labels=labels,
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " {params.scores} --models {input.models} --settings {input.settings} --seed {params.seed}"
        " --labels {params.labels:q} --output {output.table} --cutpoint-scan {output.scan}"
        " --univariable {output.univariable} > {log} 2>&1"


rule score_models:
    """Published scores calibrated on the training rows, frozen as JSON."""
    input:
        unpack(training_rows),
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


rule category_models:
    """Models of ordinal and categorical endpoints, frozen as JSON; training rows only."""
    input:
        unpack(training_rows),
        settings="results/{study}/settings/{analysis}/fit.json",
        script="scripts/category_models.py",
        package=imports("scripts/category_models.py"),
    output:
        models=directory("results/{study}/models/{analysis}/categories"),
        coefficients="results/{study}/models/{analysis}/category_coefficients.csv",
        cross_validated="results/{study}/validation/{analysis}/category_cv.csv",
    log:
        "logs/{study}/category_models/{analysis}.log",
    benchmark:
        "benchmarks/{study}/category_models/{analysis}.tsv"
    wildcard_constraints:
        analysis=one_of(CATEGORIES),
    conda:
        "../envs/modelling.yaml"
    params:
        seed=STUDY["seed"],
        labels=labels,
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " --settings {input.settings} --seed {params.seed} --labels {params.labels:q} --models {output.models}"
        " --coefficients {output.coefficients} --cross-validated {output.cross_validated} > {log} 2>&1"


rule equations:
    """Frozen models as equations that a reader can compute by hand."""
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
