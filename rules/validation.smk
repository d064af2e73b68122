"""Floor 7: frozen models applied to every cohort. It applies, and never fits; the tables say how well."""


localrules:
    contrast,
    guards,


rule apply_models:
    """Frozen models applied to every cohort; nothing is fitted."""
    input:
        unpack(all_rows),
        models="results/{study}/models/{analysis}/frozen",
        signature=signature_file,
        out_of_fold=lambda wildcards: only(
            analyses.sees_out_of_fold(STUDY, wildcards.analysis),
            "results/{study}/signature/{analysis}/training_scores.parquet",
        ),
        script="scripts/apply_models.py",
        package=imports("scripts/apply_models.py"),
    output:
        risks="results/{study}/validation/{analysis}/risks.csv",
        scores="results/{study}/signature/{analysis}/scores.csv",
        missing="results/{study}/validation/{analysis}/missing_data.csv",
        ranges="results/{study}/validation/{analysis}/ranges.csv",
    log:
        "logs/{study}/apply_models/{analysis}.log",
    benchmark:
        "benchmarks/{study}/apply_models/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    params:
        signature=option("signature"),
        out_of_fold=option("out_of_fold"),
        labels=labels,
        seed=STUDY["seed"],
        imputations=lambda wildcards: STUDY["analyses"][wildcards.analysis]["missing"][
            "imputations"
        ],
        # kept across runs, so no output: a second look at the held-out patients must not be silent
        evaluations=lambda wildcards: f"{RESULTS}/validation/{wildcards.analysis}/evaluations.jsonl",
    shell:
        "python {input.script} --models {input.models} {params.signature} {params.out_of_fold}"
        " --cohorts {input.train_cohort} {input.heldout_cohort}"
        " --features {input.train_features} {input.heldout_features}"
        " --labels {params.labels:q} --risks {output.risks} --scores {output.scores} --ranges {output.ranges}"
        " --missing {output.missing} --imputations {params.imputations} --seed {params.seed}"
        " --log {params.evaluations} > {log} 2>&1"


rule performance:
    """How well the risks discriminate, calibrate and help, and what survival the risk groups have."""
    input:
        risks="results/{study}/validation/{analysis}/risks.csv",
        nested="results/{study}/validation/{analysis}/nested_cv.csv",
        models="results/{study}/models/{analysis}/frozen",
        script="scripts/performance.py",
        package=imports("scripts/performance.py"),
    output:
        performance="results/{study}/validation/{analysis}/heldout_and_apparent.csv",
        time_curves="results/{study}/validation/{analysis}/time_curves.csv",
        roc="results/{study}/validation/{analysis}/roc.csv",
        calibration="results/{study}/validation/{analysis}/calibration.csv",
        net_benefit="results/{study}/validation/{analysis}/net_benefit.csv",
        comparisons="results/{study}/validation/{analysis}/comparisons.csv",
        km="results/{study}/survival/{analysis}/km.csv",
        logrank="results/{study}/survival/{analysis}/logrank.csv",
        rates="results/{study}/survival/{analysis}/rates.csv",
    log:
        "logs/{study}/performance/{analysis}.log",
    benchmark:
        "benchmarks/{study}/performance/{analysis}.tsv"
    wildcard_constraints:
        analysis=one_of(SURVIVAL),
    conda:
        "../envs/modelling.yaml"
    params:
        horizons=STUDY["horizons_months"],
        thresholds=THRESHOLDS,
        labels=labels,
        seed=STUDY["seed"],
    shell:
        "python {input.script} --risks {input.risks} --nested {input.nested} --seed {params.seed}"
        " --models {input.models} --horizons {params.horizons} --thresholds {params.thresholds} --labels {params.labels:q}"
        " --validation results/{wildcards.study}/validation/{wildcards.analysis}"
        " --survival results/{wildcards.study}/survival/{wildcards.analysis} > {log} 2>&1"


# the tables that an outcome without a time has
use rule performance as binary_performance with:
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


rule category_performance:
    """Frozen models of several levels applied to every cohort, and tests over the levels."""
    input:
        unpack(all_rows),
        models="results/{study}/models/{analysis}/categories",
        cross_validated="results/{study}/validation/{analysis}/category_cv.csv",
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


rule transport:
    """Case-mix, updating and the needed size of every held-out cohort."""
    input:
        unpack(all_rows),
        risks="results/{study}/validation/{analysis}/risks.csv",
        models="results/{study}/models/{analysis}/frozen",
        signature=signature_file,
        visits="results/{study}/cohort/surveillance.csv",
        script="scripts/transport.py",
        package=imports("scripts/transport.py"),
    output:
        "results/{study}/validation/{analysis}/transport.csv",
    log:
        "logs/{study}/transport/{analysis}.log",
    benchmark:
        "benchmarks/{study}/transport/{analysis}.tsv"
    wildcard_constraints:
        analysis=one_of(SURVIVAL),
    conda:
        "../envs/modelling.yaml"
    params:
        signature=option("signature"),
        seed=STUDY["seed"],
        labels=labels,
    shell:
        "python {input.script} --risks {input.risks} --models {input.models} {params.signature}"
        " --cohorts {input.train_cohort} {input.heldout_cohort}"
        " --features {input.train_features} {input.heldout_features} --visits {input.visits}"
        " --seed {params.seed} --labels {params.labels:q} --output {output} > {log} 2>&1"


rule factors:
    """Survival by each candidate alone."""
    input:
        unpack(both_cohorts),
        settings="results/{study}/settings/{analysis}/models.json",
        script="scripts/factors.py",
        package=imports("scripts/factors.py"),
    output:
        multiext(
            "results/{study}/survival/{analysis}/factor_", "km.csv", "logrank.csv", "rates.csv"
        ),
    log:
        "logs/{study}/factors/{analysis}.log",
    benchmark:
        "benchmarks/{study}/factors/{analysis}.tsv"
    wildcard_constraints:
        analysis=one_of(SURVIVAL),
    conda:
        "../envs/modelling.yaml"
    params:
        labels=labels,
        folder=lambda wildcards: f"{RESULTS}/survival/{wildcards.analysis}",
    shell:
        "python {input.script} --cohorts {input.train} {input.heldout} --settings {input.settings}"
        " --labels {params.labels:q} --output {params.folder} > {log} 2>&1"


rule subgroups:
    """The main model in subgroups of patients."""
    input:
        unpack(both_cohorts),
        risks="results/{study}/validation/{analysis}/risks.csv",
        settings="results/{study}/settings/{analysis}/models.json",
        script="scripts/subgroups.py",
        package=imports("scripts/subgroups.py"),
    output:
        "results/{study}/validation/{analysis}/subgroups.csv",
    log:
        "logs/{study}/subgroups/{analysis}.log",
    benchmark:
        "benchmarks/{study}/subgroups/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    params:
        labels=labels,
    shell:
        "python {input.script} --risks {input.risks} --cohorts {input.train} {input.heldout} --settings {input.settings}"
        " --labels {params.labels:q} --output {output} > {log} 2>&1"


rule incidence:
    """Recurrence and death without it as competing events, also of an analysis whose endpoint censors such deaths."""
    input:
        risks="results/{study}/validation/{analysis}/risks.csv",
        endpoints="results/{study}/cohort/endpoints.csv",
        script="scripts/incidence.py",
        package=imports("scripts/incidence.py"),
    output:
        "results/{study}/survival/{analysis}/incidence.csv",
    log:
        "logs/{study}/incidence/{analysis}.log",
    benchmark:
        "benchmarks/{study}/incidence/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    params:
        endpoint=lambda wildcards: analyses.competing_endpoint(STUDY, wildcards.analysis),
        labels=labels,
    shell:
        "python {input.script} --risks {input.risks} --endpoints {input.endpoints} --endpoint {params.endpoint}"
        " --labels {params.labels:q} --output {output} > {log} 2>&1"


rule heatmap:
    """Training patients and features in clusters: what the heatmap draws."""
    input:
        cohort="results/{study}/cohort/{analysis}/train.csv",
        features="results/{study}/features/{analysis}/train.parquet",
        path="results/{study}/signature/{analysis}/lasso_path.csv",
        weights="results/{study}/signature/{analysis}/weights.csv",
        risks="results/{study}/validation/{analysis}/risks.csv",
        settings="results/{study}/settings/{analysis}/models.json",
        script="scripts/heatmap.py",
        package=imports("scripts/heatmap.py"),
    output:
        values="results/{study}/signature/{analysis}/heatmap.csv",
        clusters="results/{study}/signature/{analysis}/heatmap_clusters.csv",
        patients="results/{study}/signature/{analysis}/heatmap_patients.csv",
    log:
        "logs/{study}/heatmap/{analysis}.log",
    benchmark:
        "benchmarks/{study}/heatmap/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    params:
        seed=STUDY["seed"],
        labels=labels,
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --path {input.path}"
        " --weights {input.weights} --risks {input.risks} --settings {input.settings} --seed {params.seed}"
        " --labels {params.labels:q} --values {output.values} --clusters {output.clusters}"
        " --patients {output.patients} > {log} 2>&1"


rule compare_scores:
    """Models against published scores, paired, on the same patients."""
    input:
        unpack(both_cohorts),
        risks="results/{study}/validation/{analysis}/risks.csv",
        nested="results/{study}/validation/{analysis}/nested_cv.csv",
        own="results/{study}/models/{analysis}/frozen",
        models="results/{study}/models/{analysis}/scores",
        script="scripts/compare_scores.py",
        package=imports("scripts/compare_scores.py"),
    output:
        multiext(
            "results/{study}/validation/{analysis}/",
            "scores.csv",
            "score_curves.csv",
            "score_net_benefit.csv",
            "score_comparisons.csv",
        ),
    log:
        "logs/{study}/compare_scores/{analysis}.log",
    benchmark:
        "benchmarks/{study}/compare_scores/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    params:
        labels=labels,
        folder=lambda wildcards: f"{RESULTS}/validation/{wildcards.analysis}",
        thresholds=THRESHOLDS,
        seed=STUDY["seed"],
    shell:
        "python {input.script} --cohorts {input.train} {input.heldout} --risks {input.risks} --own {input.own}"
        " --nested {input.nested} --seed {params.seed} --models {input.models} --thresholds {params.thresholds}"
        " --labels {params.labels:q} --output {params.folder} > {log} 2>&1"


rule contrast:
    """The analyses of a study side by side on the same patients."""
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


rule guards:
    """Which of the known errors an analysis makes, and what holds each off."""
    input:
        unpack(both_cohorts),
        study="results/{study}/settings/guards.json",
        models="results/{study}/models/{analysis}/frozen",
        signature=signature_file,
        tables=lambda wildcards: list(outputs.guard_tables(STUDY, wildcards.analysis).values()),
        script="scripts/guards.py",
        package=imports("scripts/guards.py"),
    output:
        "results/{study}/validation/{analysis}/guards.csv",
    log:
        "logs/{study}/guards/{analysis}.log",
    conda:
        "../envs/modelling.yaml"
    params:
        signature=option("signature"),
        tables=lambda wildcards: [
            f"{name}={path}"
            for name, path in outputs.guard_tables(STUDY, wildcards.analysis).items()
        ],
        evaluations=lambda wildcards: f"{RESULTS}/validation/{wildcards.analysis}/evaluations.jsonl",
        labels=labels,
    shell:
        "python {input.script} --study {input.study} --analysis {wildcards.analysis} --train {input.train}"
        " --heldout {input.heldout} --models {input.models} {params.signature} --evaluations {params.evaluations}"
        " --tables {params.tables} --labels {params.labels:q} --output {output} > {log} 2>&1"
