"""Floor 3: pyradiomics features of every region, then separate training and held-out files."""

if IMAGES:

    rule features:
        input:
            cases="results/{study}/images/batch-{batch}.csv",
            script="scripts/features.py",
            package=imports("scripts/features.py"),
        output:
            features="results/{study}/features/batches/{batch}.parquet",
            exclusions="results/{study}/features/batches/excluded-{batch}.csv",
            missing="results/{study}/features/batches/missing-{batch}.csv",
        log:
            "logs/{study}/features/{batch}.log",
        benchmark:
            "benchmarks/{study}/features/{batch}.tsv"
        conda:
            "../envs/imaging.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 30 * attempt,
        params:
            settings=feature_settings(),
            cache=STUDY["cache_dir"],
            aggregate=IMAGES["lesion_aggregate"],
        shell:
            "python {input.script} --cases {input.cases} --cache {params.cache:q} --aggregate {params.aggregate}"
            " --settings {params.settings:q} --output {output.features} --exclusions {output.exclusions}"
            " --missing {output.missing} 2>&1 | tee {log} >&2"

    rule feature_table:
        input:
            batches=expand("results/{{study}}/features/batches/{batch}.parquet", batch=BATCHES),
            script="scripts/feature_table.py",
            package=imports("scripts/feature_table.py"),
        output:
            table="results/{study}/features/{reader}.parquet",
            manifest="results/{study}/features/{reader}.manifest.json",
        log:
            "logs/{study}/feature_table/{reader}.log",
        benchmark:
            "benchmarks/{study}/feature_table/{reader}.tsv"
        conda:
            "../envs/imaging.yaml"
        params:
            settings=feature_settings(),
        shell:
            "python {input.script} --batches {input.batches} --reader {wildcards.reader}"
            " --settings {params.settings:q} --output {output.table} --manifest {output.manifest} > {log} 2>&1"

    rule ibsi_self_test:
        """The phantom with published values: do the installed libraries compute what they should?"""
        input:
            script="scripts/ibsi_self_test.py",
            package=imports("scripts/ibsi_self_test.py"),
        output:
            "results/{study}/features/ibsi_self_test.csv",
        log:
            "logs/{study}/ibsi_self_test.log",
        benchmark:
            "benchmarks/{study}/ibsi_self_test.tsv"
        conda:
            "../envs/imaging.yaml"
        params:
            # not of the study: where it is not, the report says that nothing was tested
            phantom=only(
                studies.reference_data(),
                "--phantom",
                f"{studies.reference_data()}/ibsi1_digital_phantom",
            ),
            engine=IMAGES["extraction"]["engine"],
            cache=STUDY["cache_dir"],
        shell:
            "python {input.script} {params.phantom:q} --engine {params.engine} --cache {params.cache:q}"
            " --output {output} > {log} 2>&1"

    rule variant_features:
        """Perturbed readings of some training patients, and negative controls of all patients."""
        input:
            cases="results/{study}/images/batch-{batch}.csv",
            assigned="results/{study}/cohort/assigned.csv",
            script="scripts/variant_features.py",
            package=imports("scripts/variant_features.py"),
        output:
            features="results/{study}/features/variants/{variant}/{batch}.parquet",
            exclusions="results/{study}/features/variants/{variant}/excluded-{batch}.csv",
        log:
            "logs/{study}/variant_features/{variant}-{batch}.log",
        benchmark:
            "benchmarks/{study}/variant_features/{variant}-{batch}.tsv"
        conda:
            "../envs/imaging.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 30 * attempt,
        params:
            settings=feature_settings(),
            perturbations=json.dumps(IMAGES["perturbations"], sort_keys=True),
            cache=STUDY["cache_dir"],
            reader=READERS[0],
            aggregate=IMAGES["lesion_aggregate"],
            seed=STUDY["seed"],
        shell:
            "python {input.script} --cases {input.cases} --assigned {input.assigned} --variant {wildcards.variant}"
            " --cache {params.cache:q} --settings {params.settings:q} --perturbations {params.perturbations:q}"
            " --reader {params.reader} --aggregate {params.aggregate} --seed {params.seed}"
            " --output {output.features} --exclusions {output.exclusions} 2>&1 | tee {log} >&2"

    use rule feature_table as variant_table with:
        input:
            batches=expand(
                "results/{{study}}/features/variants/{{variant}}/{batch}.parquet", batch=BATCHES
            ),
            script="scripts/feature_table.py",
            package=imports("scripts/feature_table.py"),
        output:
            table="results/{study}/features/{reader}-{variant}.parquet",
            manifest="results/{study}/features/{reader}-{variant}.manifest.json",
        log:
            "logs/{study}/feature_table/{reader}-{variant}.log",
        benchmark:
            "benchmarks/{study}/feature_table/{reader}-{variant}.tsv"

elif "features" in STUDY:

    rule import_features:
        input:
            table=STUDY["features"]["table"],
            repeat=only(STUDY["features"]["repeat"], STUDY["features"]["repeat"]),
            clinical="results/{study}/cohort/clinical.csv",
            script="scripts/import_features.py",
            package=imports("scripts/import_features.py"),
        output:
            table="results/{study}/features/reader1.parquet",
            repeat="results/{study}/features/reader2.parquet",
            exclusions="results/{study}/features/excluded.csv",
            doubts="results/{study}/features/doubts.csv",
        log:
            "logs/{study}/import_features.log",
        benchmark:
            "benchmarks/{study}/import_features.tsv"
        conda:
            "../envs/modelling.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
        params:
            settings=json.dumps(STUDY["features"]),
            reserved=json.dumps(known_after(STUDY)),
            subsets=json.dumps(studies.feature_subsets(STUDY)),
            repeat=lambda wildcards, input: ["--repeat", *input.repeat] if input.repeat else [],
        shell:
            "python {input.script} --table {input.table:q} {params.repeat:q} --settings {params.settings:q}"
            " --reserved {params.reserved:q} --subsets {params.subsets:q} --clinical {input.clinical}"
            " --output {output.table} --repeat-output {output.repeat} --exclusions {output.exclusions}"
            " --doubts {output.doubts} > {log} 2>&1"


rule analysis_set:
    input:
        assigned="results/{study}/cohort/assigned.csv",
        clinical="results/{study}/cohort/clinical.csv",
        endpoints="results/{study}/cohort/endpoints.csv",
        missing_endpoints="results/{study}/cohort/missing_endpoints.csv",
        scores=only("comparators" in STUDY, "results/{study}/cohort/scores.csv"),
        features=lambda wildcards: only(
            uses_features(wildcards.analysis),
            *expand(
                "results/{{study}}/features/{table}.parquet",
                table=studies.reading_tables(STUDY, wildcards.analysis),
            ),
        ),
        script="scripts/analysis_set.py",
        package=imports("scripts/analysis_set.py"),
    output:
        train_cohort="results/{study}/cohort/{analysis}/train.csv",
        train_features="results/{study}/features/{analysis}/train.parquet",
        train_repeats="results/{study}/features/{analysis}/train_repeats.parquet",
        heldout_cohort="results/{study}/cohort/{analysis}/heldout.csv",
        heldout_features="results/{study}/features/{analysis}/heldout.parquet",
        excluded="results/{study}/cohort/{analysis}/excluded.csv",
    log:
        "logs/{study}/analysis_set/{analysis}.log",
    benchmark:
        "benchmarks/{study}/analysis_set/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
    params:
        endpoint=lambda wildcards: STUDY["analyses"][wildcards.analysis]["endpoint"],
        competing=lambda wildcards: "--competing" if competing_death(wildcards.analysis) else "",
        follow_up=lambda wildcards: follow_up_argument(wildcards.analysis),
        scores=lambda wildcards, input: ["--scores", *input.scores] if input.scores else [],
        subset=lambda wildcards: feature_subset(wildcards.analysis),
        complete=only("features" in STUDY, "--complete"),
        tumour=json.dumps(
            {key: STUDY["clinical"][f"tumour_{key}"] for key in ("size", "volume")}
            | studies.tumour_columns(STUDY)
        ),
    shell:
        "python {input.script} --analysis {wildcards.analysis} --endpoint {params.endpoint} {params.competing}"
        " --missing-endpoints {input.missing_endpoints}"
        " {params.follow_up} {params.scores} {params.complete}"
        " --subset {params.subset:q} --tumour {params.tumour:q} --assigned {input.assigned} --clinical {input.clinical}"
        " --endpoints {input.endpoints} --features {input.features}"
        " --train-cohort {output.train_cohort} --train-features {output.train_features}"
        " --train-repeats {output.train_repeats} --heldout-cohort {output.heldout_cohort}"
        " --heldout-features {output.heldout_features} --excluded {output.excluded} > {log} 2>&1"
