"""The whole fit repeated: resamples, nested cross-validation, fewer patients, fewer features, redrawn outcomes."""


rule resample:
    """The whole fit repeated on bootstrap resamples of the training rows."""
    input:
        unpack(training_rows),
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
        size=analyses.RESAMPLE_CHUNK,
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " --settings {input.settings} --seed {params.seed} --chunk {wildcards.chunk} --size {params.size}"
        " --output {output} 2>&1 | tee {log} >&2"


rule nested_cv:
    """The whole fit repeated in nested cross-validation of the training rows."""
    input:
        unpack(training_rows),
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
    """Apparent, corrected, cross-validated and held-out performance in one table."""
    input:
        measured="results/{study}/validation/{analysis}/heldout_and_apparent.csv",
        nested="results/{study}/validation/{analysis}/nested_cv.csv",
        missing="results/{study}/validation/{analysis}/missing_data.csv",
        features="results/{study}/features/{analysis}/train.parquet",
        resamples=lambda wildcards: expand(
            "results/{study}/validation/{analysis}/resamples/{chunk}.csv",
            study=wildcards.study,
            analysis=wildcards.analysis,
            chunk=analyses.resample_chunks(STUDY, wildcards.analysis),
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


rule split_distribution:
    """The whole fit on other random splits: how much one split is worth."""
    input:
        unpack(training_rows),
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
        split=lambda wildcards: json.dumps(facts.split_of(STUDY, wildcards.analysis)),
        labels=labels,
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " --heldout-cohort {input.heldout_cohort} --heldout-features {input.heldout_features}"
        " --settings {input.settings} --split {params.split:q} --seed {params.seed} --labels {params.labels:q}"
        " --output {output} 2>&1 | tee {log} >&2"


rule learning_fits:
    """The whole fit on fewer training patients."""
    input:
        unpack(training_rows),
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
        size=analyses.LEARNING_CHUNK,
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " --settings {input.settings} --seed {params.seed} --chunk {wildcards.chunk} --size {params.size}"
        " --output {output} 2>&1 | tee {log} >&2"


rule learning_curve:
    """Performance by the number of training patients."""
    input:
        runs=lambda wildcards: expand(
            "results/{study}/validation/{analysis}/learning/{chunk}.csv",
            study=wildcards.study,
            analysis=wildcards.analysis,
            chunk=analyses.learning_chunks(STUDY, wildcards.analysis),
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
    """The whole fit with one phase, region or kind of term alone."""
    input:
        unpack(training_rows),
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
    """What each of those is worth in every cohort."""
    input:
        unpack(all_rows),
        frozen="results/{study}/models/{analysis}/ablations",
        nested="results/{study}/validation/{analysis}/ablations_nested_cv.csv",
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


NULL = STUDY.get("null_study")
if NULL:

    localrules:
        null_table,

    rule null_table:
        """The generated cohort with outcomes that have nothing to do with its features."""
        input:
            script="scripts/demo_tables.py",
            package=imports("scripts/demo_tables.py"),
        output:
            clinical=STUDY["clinical"]["table"],
            images=temp(f"{RESULTS}/input/images.csv"),
            truth=temp(f"{RESULTS}/input/truth.csv"),
        log:
            f"logs/{NAME}/null_table.log",
        conda:
            "../envs/imaging.yaml"
        params:
            seed=STUDY["seed"],
        shell:
            "python {input.script} --seed {params.seed} --redraw-seed {params.seed} --signal none"
            " --clinical {output.clinical:q} --images {output.images:q} --truth {output.truth:q} > {log} 2>&1"

    rule redraw:
        """The whole fit on redrawn outcomes."""
        input:
            truth=NULL["truth"],
            clinical=NULL["clinical"],
            features=expand("results/{{study}}/features/{reader}.parquet", reader=READERS),
            study="results/{study}/settings/cohort.json",
            settings=f"results/{{study}}/settings/{ANALYSES[0]}/fit.json",
            script="scripts/redraw.py",
            package=imports("scripts/redraw.py"),
        output:
            "results/{study}/validation/redraws/{signal}-{chunk}.csv",
        log:
            "logs/{study}/redraw/{signal}-{chunk}.log",
        benchmark:
            "benchmarks/{study}/redraw/{signal}-{chunk}.tsv"
        wildcard_constraints:
            signal=one_of(analyses.null_runs(STUDY)),
        conda:
            "../envs/modelling.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 60 * attempt,
        params:
            seeds=lambda wildcards: analyses.null_seeds(
                STUDY, wildcards.signal, int(wildcards.chunk)
            ),
        shell:
            "python {input.script} --truth {input.truth:q} --clinical {input.clinical:q} --features {input.features}"
            " --study {input.study} --settings {input.settings} --signal {wildcards.signal}"
            " --seeds {params.seeds} --output {output} 2>&1 | tee {log} >&2"

    rule null:
        """How often noise looks like signal."""
        input:
            tables=expand(
                "results/{{study}}/validation/redraws/{job}.csv", job=analyses.null_jobs(STUDY)
            ),
            script="scripts/null.py",
            package=imports("scripts/null.py"),
        output:
            null="results/{study}/validation/null.csv",
            variants="results/{study}/validation/redraws.csv",
            summary="results/{study}/validation/null_summary.csv",
        log:
            "logs/{study}/null.log",
        benchmark:
            "benchmarks/{study}/null.tsv"
        conda:
            "../envs/modelling.yaml"
        shell:
            "python {input.script} --tables {input.tables} --null {output.null} --variants {output.variants}"
            " --summary {output.summary} > {log} 2>&1"
