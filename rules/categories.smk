"""Ordinal and categorical endpoints: models of clinical terms, one-vs-rest AUC, and tests over the levels."""


rule category_models:
    input:
        cohort="results/{study}/cohort/{analysis}/train.csv",
        features="results/{study}/features/{analysis}/train.parquet",
        repeats="results/{study}/features/{analysis}/train_repeats.parquet",
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


rule category_performance:
    input:
        models="results/{study}/models/{analysis}/categories",
        cross_validated="results/{study}/validation/{analysis}/category_cv.csv",
        train_cohort="results/{study}/cohort/{analysis}/train.csv",
        train_features="results/{study}/features/{analysis}/train.parquet",
        heldout_cohort="results/{study}/cohort/{analysis}/heldout.csv",
        heldout_features="results/{study}/features/{analysis}/heldout.parquet",
        settings="results/{study}/settings/{analysis}/fit.json",
        script="scripts/category_performance.py",
        package=imports("scripts/category_performance.py"),
    output:
        risks="results/{study}/validation/{analysis}/category_risks.csv",
        performance="results/{study}/validation/{analysis}/category_performance.csv",
        tests="results/{study}/validation/{analysis}/category_tests.csv",
    log:
        "logs/{study}/category_performance/{analysis}.log",
    benchmark:
        "benchmarks/{study}/category_performance/{analysis}.tsv"
    wildcard_constraints:
        analysis=one_of(CATEGORIES),
    conda:
        "../envs/modelling.yaml"
    params:
        seed=STUDY["seed"],
        labels=labels,
    shell:
        "python {input.script} --models {input.models} --cross-validated {input.cross_validated}"
        " --cohorts {input.train_cohort} {input.heldout_cohort}"
        " --features {input.train_features} {input.heldout_features} --settings {input.settings}"
        " --seed {params.seed} --labels {params.labels:q} --risks {output.risks}"
        " --performance {output.performance} --tests {output.tests} > {log} 2>&1"
