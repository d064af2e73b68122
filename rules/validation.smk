"""Floor 7: frozen models applied to every cohort. It applies, and never fits; the tables say how well."""


rule apply_models:
    input:
        models="results/{study}/models/{analysis}/frozen",
        signature=lambda wildcards: only(
            uses_features(wildcards.analysis),
            "results/{study}/signature/{analysis}/signature.json",
        ),
        out_of_fold=lambda wildcards: only(
            sees_out_of_fold(wildcards.analysis),
            "results/{study}/signature/{analysis}/training_scores.parquet",
        ),
        train_cohort="results/{study}/cohort/{analysis}/train.csv",
        train_features="results/{study}/features/{analysis}/train.parquet",
        heldout_cohort="results/{study}/cohort/{analysis}/heldout.csv",
        heldout_features="results/{study}/features/{analysis}/heldout.parquet",
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
        signature=lambda wildcards, input: (
            ["--signature", *input.signature] if input.signature else []
        ),
        out_of_fold=lambda wildcards, input: (
            ["--out-of-fold", *input.out_of_fold] if input.out_of_fold else []
        ),
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


rule transport:
    input:
        risks="results/{study}/validation/{analysis}/risks.csv",
        models="results/{study}/models/{analysis}/frozen",
        signature=lambda wildcards: only(
            uses_features(wildcards.analysis),
            "results/{study}/signature/{analysis}/signature.json",
        ),
        train_cohort="results/{study}/cohort/{analysis}/train.csv",
        train_features="results/{study}/features/{analysis}/train.parquet",
        heldout_cohort="results/{study}/cohort/{analysis}/heldout.csv",
        heldout_features="results/{study}/features/{analysis}/heldout.parquet",
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
        signature=lambda wildcards, input: (
            ["--signature", *input.signature] if input.signature else []
        ),
        seed=STUDY["seed"],
        labels=labels,
    shell:
        "python {input.script} --risks {input.risks} --models {input.models} {params.signature}"
        " --cohorts {input.train_cohort} {input.heldout_cohort}"
        " --features {input.train_features} {input.heldout_features} --visits {input.visits}"
        " --seed {params.seed} --labels {params.labels:q} --output {output} > {log} 2>&1"


rule resample:
    input:
        cohort="results/{study}/cohort/{analysis}/train.csv",
        features="results/{study}/features/{analysis}/train.parquet",
        repeats="results/{study}/features/{analysis}/train_repeats.parquet",
        settings="results/{study}/settings/{analysis}/fit.json",
        script="scripts/resample.py",
        package=imports("scripts/resample.py"),
    output:
        "results/{study}/validation/{analysis}/resamples/{chunk}.csv",
    log:
        "logs/{study}/resample/{analysis}/{chunk}.log",
    benchmark:
        "benchmarks/{study}/resample/{analysis}/{chunk}.tsv"
    conda:
        "../envs/modelling.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        seed=STUDY["seed"],
        size=RESAMPLE_CHUNK,
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " --settings {input.settings} --seed {params.seed} --chunk {wildcards.chunk} --size {params.size}"
        " --output {output} 2>&1 | tee {log} >&2"


rule nested_cv:
    input:
        cohort="results/{study}/cohort/{analysis}/train.csv",
        features="results/{study}/features/{analysis}/train.parquet",
        repeats="results/{study}/features/{analysis}/train_repeats.parquet",
        settings="results/{study}/settings/{analysis}/fit.json",
        script="scripts/nested_cv.py",
        package=imports("scripts/nested_cv.py"),
    output:
        "results/{study}/validation/{analysis}/nested_cv.csv",
    log:
        "logs/{study}/nested_cv/{analysis}.log",
    benchmark:
        "benchmarks/{study}/nested_cv/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        seed=STUDY["seed"],
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " --settings {input.settings} --seed {params.seed} --output {output} 2>&1 | tee {log} >&2"


rule internal_validation:
    input:
        measured="results/{study}/validation/{analysis}/heldout_and_apparent.csv",
        nested="results/{study}/validation/{analysis}/nested_cv.csv",
        missing="results/{study}/validation/{analysis}/missing_data.csv",
        features="results/{study}/features/{analysis}/train.parquet",
        resamples=lambda wildcards: expand(
            "results/{study}/validation/{analysis}/resamples/{chunk}.csv",
            study=wildcards.study,
            analysis=wildcards.analysis,
            chunk=resample_chunks(wildcards.analysis),
        ),
        script="scripts/internal_validation.py",
        package=imports("scripts/internal_validation.py"),
    output:
        performance="results/{study}/validation/{analysis}/performance.csv",
        frequencies="results/{study}/signature/{analysis}/selection_frequency.csv",
    log:
        "logs/{study}/internal_validation/{analysis}.log",
    benchmark:
        "benchmarks/{study}/internal_validation/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    params:
        labels=labels,
        seed=STUDY["seed"],
        metric=lambda wildcards: "auc" if wildcards.analysis in BINARY else "c_harrell",
    shell:
        "python {input.script} --measured {input.measured} --nested {input.nested} --missing {input.missing} --features {input.features} --resamples {input.resamples}"
        " --metric {params.metric} --seed {params.seed} --labels {params.labels:q} --output {output.performance}"
        " --frequencies {output.frequencies} > {log} 2>&1"


rule factors:
    input:
        train="results/{study}/cohort/{analysis}/train.csv",
        heldout="results/{study}/cohort/{analysis}/heldout.csv",
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
    input:
        risks="results/{study}/validation/{analysis}/risks.csv",
        train="results/{study}/cohort/{analysis}/train.csv",
        heldout="results/{study}/cohort/{analysis}/heldout.csv",
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
        endpoint=lambda wildcards: competing_endpoint(wildcards.analysis),
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
    input:
        train="results/{study}/cohort/{analysis}/train.csv",
        heldout="results/{study}/cohort/{analysis}/heldout.csv",
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


rule split_distribution:
    input:
        cohort="results/{study}/cohort/{analysis}/train.csv",
        features="results/{study}/features/{analysis}/train.parquet",
        repeats="results/{study}/features/{analysis}/train_repeats.parquet",
        heldout_cohort="results/{study}/cohort/{analysis}/heldout.csv",
        heldout_features="results/{study}/features/{analysis}/heldout.parquet",
        settings="results/{study}/settings/{analysis}/fit.json",
        script="scripts/split_distribution.py",
        package=imports("scripts/split_distribution.py"),
    output:
        "results/{study}/validation/{analysis}/splits.csv",
    log:
        "logs/{study}/split_distribution/{analysis}.log",
    benchmark:
        "benchmarks/{study}/split_distribution/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        seed=STUDY["seed"],
        split=lambda wildcards: json.dumps(studies.split_of(STUDY, wildcards.analysis)),
        labels=labels,
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " --heldout-cohort {input.heldout_cohort} --heldout-features {input.heldout_features}"
        " --settings {input.settings} --split {params.split:q} --seed {params.seed} --labels {params.labels:q}"
        " --output {output} 2>&1 | tee {log} >&2"


rule guards:
    input:
        study="results/{study}/settings/guards.json",
        train="results/{study}/cohort/{analysis}/train.csv",
        heldout="results/{study}/cohort/{analysis}/heldout.csv",
        models="results/{study}/models/{analysis}/frozen",
        signature=lambda wildcards: only(
            uses_features(wildcards.analysis),
            f"{RESULTS}/signature/{wildcards.analysis}/signature.json",
        ),
        tables=lambda wildcards: list(guard_tables(wildcards.analysis).values()),
        script="scripts/guards.py",
        package=imports("scripts/guards.py"),
    output:
        "results/{study}/validation/{analysis}/guards.csv",
    log:
        "logs/{study}/guards/{analysis}.log",
    conda:
        "../envs/modelling.yaml"
    params:
        signature=lambda wildcards, input: (
            ["--signature", *input.signature] if input.signature else []
        ),
        tables=lambda wildcards: [
            f"{name}={path}" for name, path in guard_tables(wildcards.analysis).items()
        ],
        evaluations=lambda wildcards: f"{RESULTS}/validation/{wildcards.analysis}/evaluations.jsonl",
        labels=labels,
    shell:
        "python {input.script} --study {input.study} --analysis {wildcards.analysis} --train {input.train}"
        " --heldout {input.heldout} --models {input.models} {params.signature} --evaluations {params.evaluations}"
        " --tables {params.tables} --labels {params.labels:q} --output {output} > {log} 2>&1"


localrules:
    collect,
    guards,
    tables_checksum,


OF_SURVIVAL = ("km", "logrank", "rates")


rule collect:
    input:
        tables=lambda wildcards: expand(
            "results/{study}/{floor}/{analysis}/{table}.csv",
            study=wildcards.study,
            floor=wildcards.floor,
            table=wildcards.table,
            analysis=SURVIVAL if wildcards.table in OF_SURVIVAL else ANALYSES,
        ),
        script="scripts/collect.py",
        package=imports("scripts/collect.py"),
    output:
        "results/{study}/{floor}/{table}.csv",
    log:
        "logs/{study}/collect/{floor}_{table}.log",
    wildcard_constraints:
        floor="models|validation|survival",
        table="coefficients|performance|comparisons|score_comparisons|scores|guards|km|logrank|rates",
    conda:
        "../envs/modelling.yaml"
    shell:
        "python {input.script} --tables {input.tables} --output {output} > {log} 2>&1"


rule tables_checksum:
    input:
        tables=all_figure_tables(),
    output:
        "results/{study}/tables.sha256",
    log:
        "logs/{study}/tables_checksum.log",
    conda:
        "../envs/modelling.yaml"
    params:
        names=[str(Path(path).relative_to(RESULTS)) for path in all_figure_tables()],
    shell:
        "(cd results/{wildcards.study} && sha256sum {params.names}) > {output} 2> {log}"
